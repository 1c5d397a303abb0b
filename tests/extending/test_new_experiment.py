"""A new experiment needs two files of the package: its own module, and the list of names."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.copied import copied

pytestmark = pytest.mark.slow

MODULE = '''
"""Learn whether an odd number of bits is set."""

from dataclasses import asdict, dataclass

import numpy as np

import nnx
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.options import EPOCHS, Rule
from nnx.experiments.result import Result, Stopwatch


@dataclass(frozen=True)
class Config:
    bits: int = 3
    epochs: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = "float32"


def run(config, callbacks=(), checkpoint=None):
    x = np.array([[n >> bit & 1 for bit in range(config.bits)] for n in range(2**config.bits)], config.dtype)
    y = x.sum(axis=1, keepdims=True) % 2
    network = nnx.Network(
        [nnx.Dense(config.bits, 8), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()],
        device=config.device, dtype=config.dtype, seed=config.seed,
    )
    watch = Stopwatch()
    history = network.fit(
        x, y, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(0.05), epochs=config.epochs or 20,
        batch_size=len(x), callbacks=[watch, *callbacks], checkpoint=checkpoint,
    )
    p = network.predict(x)
    return Result(
        experiment="parity", preset="", dataset="bits", device=network.device, backend=network.backend.name,
        dtype=config.dtype, seed=config.seed, metrics={"right": int(((p > 0.5) == y).sum()), "cases": len(x)},
        timing=watch.timing(), config=asdict(config), history=history, network=network,
        arrays={"y": y, "p": p},
    )


def tables(result):
    yield Table("Parity", ("", ""), [("cases that are right", str(result.metrics["right"]))])
    yield "that is all"


def figures(result, reports):
    return {"values": reports.predicted_values(result.arrays["y"], result.arrays["p"], ["parity"])}


EXPERIMENT = Experiment(
    name="parity",
    summary="Learn the parity of some bits.",
    text="Learn whether an odd number of bits is set.",
    config=Config,
    run=run,
    tables=tables,
    options={"bits": Rule("whole", "How many bits.", low=2, metavar="N"), "epochs": EPOCHS},
    figures=figures,
    libraries=("csv",),
    metrics={"right": "cases that are right"},
    verdict=lambda result: f"{result.metrics['right']} of {result.metrics['cases']} cases are right.",
)
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with a copy of the package that has one more experiment."""
    place = tmp_path_factory.mktemp("copy")
    copied(place)
    (place / "nnx/experiments/parity.py").write_text(MODULE)
    names = place / "nnx/experiments/__init__.py"
    text = names.read_text()
    assert text.count("NAMES = (") == 1
    names.write_text(text.replace("NAMES = (", 'NAMES = ("parity", '))
    return place


def command(copy, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "nnx", *arguments],
        capture_output=True, text=True, check=False, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_its_command_has_its_options_and_those_of_every_run(copy):
    status, text, _ = command(copy, "run", "parity", "--help")
    assert status == 0
    assert "Learn whether an odd number of bits is set." in text
    for option in ("--bits N", "--epochs N", "--checkpoint-every", "--resume", "--log", "--seed", "--debug"):
        assert option in text
    assert "--distributed" not in text
    assert "Learn the parity of some bits." in command(copy, "run", "--help")[1]


def test_a_run_has_its_table_its_figures_its_result_and_its_report(copy):
    status, printed, said = command(copy, "run", "parity", "--bits", "4", "--out", "run", "--quiet")
    assert (status, said) == (0, "")
    result = json.loads((copy / "run/result.json").read_text())
    assert (result["experiment"], result["config"]["bits"], result["metrics"]["cases"]) == ("parity", 4, 16)
    assert set(result["artifacts"]) == {"history", "model", "loss", "values", "report", "result"}
    for path in result["artifacts"].values():
        assert (copy / "run" / path).is_file()
    words = " ".join(printed.split())
    assert f"Parity cases that are right {result['metrics']['right']} that is all" in words
    page = (copy / "run/report.html").read_text()
    assert f"{result['metrics']['right']} of 16 cases are right." in page
    assert "<dt>cases that are right</dt>" in page
    assert "nnx run parity --bits 4" in page


def test_an_experiment_that_only_knows_dtype_takes_the_precisions_that_are_types(copy):
    status, text, said = command(copy, "run", "parity", "--precision", "float64", "--json", "--out", "double")
    assert (status, json.loads(text)["dtype"]) == (0, "float64"), said
    status, _, said = command(copy, "run", "parity", "--precision", "bfloat16")
    assert (status, "float32 or float64 only" in said) == (2, True), said
    status, _, said = command(copy, "run", "parity", "--precision", "float64", "--dtype", "float32")
    assert (status, "contradict" in said) == (2, True), said


def test_its_finished_run_is_reported_and_resumed_as_any_other(copy):
    assert command(copy, "run", "parity", "--out", "kept", "--quiet")[0] == 0
    (copy / "kept/report.html").unlink()
    assert command(copy, "report", "kept")[0] == 0
    assert "of 8 cases are right." in (copy / "kept/report.html").read_text()
    status, _, said = command(copy, "run", "parity", "--bits", "5", "--out", "kept", "--resume")
    assert status == 2
    assert "--bits 5 (the run has 3)" in said


def test_a_mistake_in_its_options_is_one_line(copy):
    status, printed, said = command(copy, "run", "parity", "--bits", "1", "--out", "never")
    assert (status, printed) == (2, "")
    assert "must be a whole number of at least 2, not '1'" in said
    assert not (copy / "never").exists()
