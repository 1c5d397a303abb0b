"""A run says once if it uses another backend than the run before it."""

from __future__ import annotations

import os

import pytest

from nnx.backends import resolve
from nnx.cli import backend_change
from nnx.experiments import Result, RunFolder


def run_of(place, name, backend, device=None, when=0):
    """A finished run's result."""
    result = Result("xor", "deep", "xor", "cpu", backend, "float32", 0, config={"device": device})
    RunFolder.create(place / name).write(result)
    os.utime(place / name / "result.json", (when, when))


@pytest.mark.usefixtures("unset")
def test_a_changed_default_is_said_once(tmp_path):
    backend = resolve("numpy")
    assert backend_change.note(tmp_path / "new", None, backend) == ""
    run_of(tmp_path, "first", "numba", when=1)
    said = backend_change.note(tmp_path / "new", None, backend)
    assert said.startswith(
        f"this run uses numpy on cpu, but the run before it ({tmp_path}/first) used numba on cpu"
    )
    assert said.endswith("install it and use --device numba")
    assert backend_change.note(tmp_path / "new", "numpy", backend) == ""  # it was asked for
    run_of(tmp_path, "second", "numpy", when=2)
    assert backend_change.note(tmp_path / "new", None, backend) == ""
    run_of(tmp_path, "third", "numba", device="numba", when=3)  # one that was asked for says nothing
    assert backend_change.note(tmp_path / "new", None, backend) == ""


@pytest.mark.usefixtures("unset")
def test_results_that_cannot_be_read_say_nothing_of_the_default(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    assert backend_change.note(tmp_path / "new", None, resolve("numpy")) == ""
    assert backend_change.note(tmp_path / "absent" / "new", None, resolve("numpy")) == ""


def test_a_device_in_the_environment_was_asked_for(tmp_path, monkeypatch):
    run_of(tmp_path, "first", "numba")
    monkeypatch.setenv("NNX_DEVICE", "numpy")
    assert backend_change.note(tmp_path / "new", None, resolve("numpy")) == ""


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv("NNX_DEVICE", raising=False)
