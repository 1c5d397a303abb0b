"""``nnx train`` as a command: what it prints, and its exit status."""

from __future__ import annotations

import pytest
from support.command_line import command
from support.own_files import iris
from support.own_models import here  # noqa: F401

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_command_in_a_separate_process(tmp_path):
    iris()
    done = command(tmp_path, "train", "iris.csv", "--target", "species", "--epochs", 2, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "accuracy of the commonest class" in done.stdout
    assert "epoch 2/2" in done.stderr
    done = command(tmp_path, "train", "iris.csv", "--target", "species", "--out", "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "already holds a result" in done.stderr
    done = command(tmp_path, "train", "iris.csv", "--target", "specie")
    assert done.returncode == 2
    assert done.stderr == "nnx: iris.csv: has no column 'specie': did you mean 'species'?\n"
