"""The programs whose lines are counted run; sizes are those of the installed files."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.comparing import EVERY

from nnx.experiments.compare.ease import PROGRAMS, installed_megabytes
from nnx.experiments.compare.processes import environment


@pytest.mark.parametrize("side", ["nnx", EVERY["keras"], EVERY["torch"]])
def test_the_programs_whose_lines_are_counted_run(side: str) -> None:
    ending = "\nassert codes.shape == (256, 64), codes.shape"
    program = "import numpy as np\nx = np.full((256, 784), 0.5, np.float32)\n" + PROGRAMS[side] + ending
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(1, gpu=False),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_installed_size() -> None:
    size = installed_megabytes(["numpy"])
    assert size is not None
    assert 10.0 < size < 500.0
    assert installed_megabytes(["numpy", "no-such-distribution"]) is None
