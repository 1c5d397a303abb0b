"""nnx's kernels through NVIDIA's compiler, for every architecture, without a GPU.

``python tests/support/ladder/compiled.py`` prints, for each architecture, how many registers each kernel
takes and what it spills; in the ladder's environment (docs/gpu.md).
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from cupy_backends.cuda.libs import nvrtc

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.ladder.sources import Source, sources

# Turing, Ampere (A100, RTX 30), Ada, Hopper, Blackwell (B200, RTX 50)
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
RESOURCES = re.compile(
    r"Function properties for (?P<function>\w+)\s+ptxas\s+\.\s+(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\s+"
    r"ptxas info\s+: Used (?P<registers>\d+) registers"
)


@dataclass(frozen=True)
class Compiled:
    """A kernel for one architecture.

    Attributes
    ----------
    cubin : bytes
        Machine code.
    ptx : str
        What it was made from.
    registers : int
        Of a thread.
    stack, spilled : int
        Bytes of a thread's local memory, and those stored there for want of registers.
    """

    cubin: bytes
    ptx: str
    registers: int
    stack: int
    spilled: int


def compiled(source: Source, architecture: str) -> Compiled:
    """`source` through NVRTC and the assembler behind it.

    Raises
    ------
    AssertionError
        If it does not compile, with the compiler's log.
    """
    options = (*source.options, f"-arch=sm_{architecture}", "--ptxas-options=-v")  # the last: a report
    if "#include" in source.text:
        options += ("--pch",)  # CuPy's headers, the same for all, are read once
    program = nvrtc.createProgram(source.text, f"{source.name}.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        log = nvrtc.getProgramLog(program)
        found = RESOURCES.search(log)
        assert found, f"{source} for sm_{architecture}: no resources in {log!r}"
        assert found["function"] == source.function
        return Compiled(
            nvrtc.getCUBIN(program), nvrtc.getPTX(program).decode(), int(found["registers"]),
            int(found["stack"]), int(found["stores"]),
        )  # fmt: skip
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise AssertionError(f"{source} for sm_{architecture}: {error}\n{log}") from None
    finally:
        nvrtc.destroyProgram(program)


def float64_lines(ptx: str) -> list[str]:
    """The instructions of `ptx` that have to do with float64."""
    return [line.strip() for line in ptx.splitlines() if re.search(r"\.f64\b", line)]


def main() -> None:
    """Print the table, and its summary by dtype."""
    width = max(len(str(source)) for source in sources())
    print(f"{'registers of a thread':{width}}" + "".join(f"{'sm_' + one:>8}" for one in ARCHITECTURES))
    highest: dict[str, list[int]] = defaultdict(lambda: [0] * len(ARCHITECTURES))
    spilled = count = 0
    for source in sources():
        every = [compiled(source, architecture) for architecture in ARCHITECTURES]
        print(f"{source!s:{width}}" + "".join(
            f"{one.registers:>7}{'*' if one.spilled or one.stack else ' '}" for one in every
        ))  # fmt: skip
        known = highest[source.dtype]
        highest[source.dtype] = [max(a, b.registers) for a, b in zip(known, every, strict=True)]
        spilled += sum(bool(one.spilled or one.stack) for one in every)
        count += len(every)
    for dtype, numbers in highest.items():
        print(f"{'the most, ' + dtype:{width}}" + "".join(f"{number:>7} " for number in numbers))
    version = ".".join(map(str, nvrtc.getVersion()))
    print(f"{count} compiled by NVRTC {version}; {spilled} spill or use local memory (*)")


if __name__ == "__main__":
    sys.exit(main())
