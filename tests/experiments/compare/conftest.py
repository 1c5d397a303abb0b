"""Fixtures of the comparison: a job folder, and its problems on the digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx import datasets
from nnx.experiments.compare.jobs import Problem, problems
from nnx.experiments.compare.sides import FRAMEWORKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def known(folder: Path) -> dict[str, Problem]:
    return problems(folder, datasets.load_digits(), 0, FRAMEWORKS["keras"].problems)
