"""Read the Python and the commands in the pages of the documentation."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SHELLS = {"sh", "shell", "bash", "console"}


def blocks(page: Path, kinds: set[str]) -> list[tuple[int, str]]:
    """(number of its first line, text) of each fenced block of these kinds."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start("text")), found["text"])
        for found in BLOCK.finditer(text)
        if found["kind"] in kinds
    ]


END = "\x1e"  # printed after each block of a page


def as_program(page: Path) -> str:
    """The page's Python as one program whose line numbers are the page's."""
    lines = [""] * page.read_text(encoding="utf-8").count("\n")
    for first, text in blocks(page, {"python"}):
        block = text.splitlines()
        lines[first : first + len(block) + 1] = [*block, f"print({END!r}, end='')"]
    return "\n".join(lines)


def commands_in(text: str) -> list[list[str]]:
    """The arguments of every `nnx …` in a shell block."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words[:1] == ["nnx"]:
            end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))
            found.append(words[1:end])
    return found


def commands(page: Path) -> list[list[str]]:
    """The arguments of every `nnx …` in the page's shell blocks."""
    return [arguments for _, text in blocks(page, SHELLS) for arguments in commands_in(text)]


WITH_COMMANDS = {"own-data.md"}  # pages that make all files which their commands need
RUN = """
def nnx_command(*arguments):
    from click.testing import CliRunner
    from nnx.cli.main import cli
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, f"nnx {arguments}: {done.output}"
"""


def with_commands(page: Path) -> str:
    """The page's Python and its `nnx …` commands as one program, in the order of the page."""
    parts = [RUN]
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found["kind"] == "python":
            parts.append(found["text"])
        elif found["kind"] in SHELLS:
            parts += [f"nnx_command(*{arguments!r})" for arguments in commands_in(found["text"])]
    return "\n".join(parts)
