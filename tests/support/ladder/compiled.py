"""nnx's kernels through NVIDIA's compiler, for every architecture, without a GPU.

``python tests/support/ladder/compiled.py [float32 | float64]`` prints, for each architecture, how many
registers each kernel takes, what it spills, and how many threads a multiprocessor has room for; in the
ladder's environment (docs/gpu.md).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from cupy_backends.cuda.libs import nvrtc

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.ladder.sources import DTYPES, Source, sources

# Turing, Ampere (A100, RTX 30), Ada, Hopper, Blackwell (B200, RTX 50)
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
THREADS = {"75": 1024, "80": 2048, "86": 1536, "89": 1536, "90": 2048, "100": 2048, "120": 1536}  # at once
REGISTERS = 65536  # of a multiprocessor, on all of them
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

    @property
    def local(self) -> bool:
        """Whether it uses local memory."""
        return self.spilled > 0 or self.stack > 0


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


def room(registers: int, threads: int, architecture: str) -> float:
    """The share of a multiprocessor's threads for which it has registers, in blocks of `threads`.

    A warp gets registers in units of 256, and four warps at a time.
    """
    of_warp = -(-registers * 32 // 256) * 256
    warps = REGISTERS // of_warp // 4 * 4
    blocks = min(warps // -(-threads // 32), THREADS[architecture] // threads)
    return blocks * threads / THREADS[architecture]


def row(title: str, cells: list[str]) -> str:
    """A line of the table."""
    return f"{title:62}" + "".join(f"{cell:>8}" for cell in cells)


def main(dtypes: Sequence[str]) -> None:
    """Print the table of the kernels in these types, and its summary for each."""
    count = spilled = 0
    print(row("registers of a thread", [f"sm_{one} " for one in ARCHITECTURES]))
    summary = ["", "room for less than half of the threads:"]
    for dtype in dtypes:
        most, least = [0] * len(ARCHITECTURES), [1.0] * len(ARCHITECTURES)
        for source in (one for one in sources() if one.dtype == dtype):
            every = [compiled(source, architecture) for architecture in ARCHITECTURES]
            print(row(str(source), [f"{one.registers}{'*' if one.local else ' '}" for one in every]))
            rooms = list(map(room, (one.registers for one in every), repeat(source.threads), ARCHITECTURES))
            if min(rooms) < 0.5:
                summary.append(row(str(source), [f"{one:.0%} " for one in rooms]))
            most = [max(a, b.registers) for a, b in zip(most, every, strict=True)]
            least = list(map(min, least, rooms))
            spilled += sum(one.local for one in every)
            count += len(every)
        summary.append(row(f"the most registers, {dtype}", [f"{one} " for one in most]))
        summary.append(row(f"the least room, {dtype}", [f"{one:.0%} " for one in least]))
    version = ".".join(map(str, nvrtc.getVersion()))
    print(*summary, f"{count} compiled by NVRTC {version}; {spilled} spill or use local memory (*)", sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or DTYPES))
