"""Compile files of stand-alone C models with gcc, strictly and with sanitizers, and run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from support.browser import unavailable

STRICT = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wshadow",
)
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TYPES = {"float": "float32", "double": "float64", "int32_t": "int32"}

DRIVER = """\
#define {upper}_HEADER
#include "{name}.c"
#include <stdio.h>
#include <stdlib.h>

/* Compute the rows of stdin, each in memory of its own size, which a sanitizer watches. */
int main(void)
{{
    {given} *x = malloc({upper}_INPUTS * sizeof *x);
    {returned} *y = malloc({upper}_OUTPUTS * sizeof *y);
    {real} *memory = malloc({upper}_MEMORY * sizeof *memory);
    int wrong = 0;
    while (!wrong && fread(x, sizeof *x, {upper}_INPUTS, stdin) == {upper}_INPUTS) {{
        wrong = {name}_predict_in(x, y, memory);
        if (wrong)
            fprintf(stderr, "wrong %d\\n", wrong);
        else
            fwrite(y, sizeof *y, {upper}_OUTPUTS, stdout);
    }}
    free(x), free(y), free(memory);
    return wrong ? 3 : 0;
}}
"""


def gcc() -> str:
    """Return the compiler; without one, the test is skipped, or fails where everything is to be there."""
    found = shutil.which("gcc")
    if found is None:
        unavailable("gcc is not on the PATH: apt-get install gcc")
    return str(found)


def compiled(folder: Path, *given: str, flags: tuple[str, ...] = SANITIZED) -> Path:
    """Compile files and options strictly; return the program."""
    program = folder / "program"
    done = subprocess.run(
        [gcc(), *STRICT, *flags, *given, "-o", program.name, "-lm"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return program


def checked(folder: Path, name: str) -> str:
    """Run the self-check of a file, and return what it prints."""
    program = compiled(folder, f"{name}.c", f"-D{name.upper()}_MAIN")
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Compiled:
    """The program of a file that computes rows.

    Parameters
    ----------
    folder : path
        With the file NAME.c; the program is made there.
    """

    def __init__(self, folder: Path, name: str) -> None:
        text = (folder / f"{name}.c").read_text("ascii")
        head = text.split(f"int {name}_predict_in(", 1)[1].split(")", 1)[0]
        self.given, self.returned, self.real = (
            word.split()[-2 if "const" not in word else 1] for word in head.split(",")
        )
        driver = DRIVER.format(
            name=name,
            upper=name.upper(),
            given=self.given,
            returned=self.returned.strip(),
            real=self.real.strip(),
        )
        (folder / "driver.c").write_text(driver)
        self.program = compiled(folder, "driver.c", f"{name}.c")

    def run(self, x) -> subprocess.CompletedProcess[bytes]:
        given = np.ascontiguousarray(x, TYPES[self.given]).tobytes()
        return subprocess.run([self.program], input=given, capture_output=True)

    def predict(self, x) -> np.ndarray:
        """Return the answers for rows, each flat."""
        done = self.run(x)
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, TYPES[self.returned]).reshape(len(x), -1)
