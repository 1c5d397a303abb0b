"""A run has one precision, from the option of that name or from the older --dtype."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.command_line import command

import nnx
from nnx.checkpoints import Checkpoint
from nnx.cli.execute import Options
from nnx.experiments import xor
from nnx.experiments.precision import stored_type
from nnx.experiments.result import read_run


@pytest.mark.parametrize(
    ("given", "precision", "dtype"),
    [
        ({}, "float32", "float32"),
        ({"dtype": "float64"}, "float64", "float64"),
        ({"precision": "float64"}, "float64", "float64"),
        ({"precision": "bfloat16"}, "bfloat16", "float32"),
        ({"precision": "bfloat16", "dtype": "float32"}, "bfloat16", "float32"),
        ({"precision": "auto"}, "auto", "float32"),
    ],
)
def test_both_names_have_a_value(given, precision, dtype):
    config = xor.Config(**given)
    assert (config.precision, config.dtype) == (precision, dtype)
    assert stored_type(precision) == dtype


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "bf16"}, "there is no precision 'bf16': did you mean 'bfloat16'?"),
        ({"dtype": "float16"}, "there is no precision 'float16': did you mean 'bfloat16'?"),
        ({"precision": "float32", "dtype": "float64"}, "leave --dtype out"),
    ],
)
def test_an_unknown_precision_and_a_contradiction_are_refused(given, words):
    with pytest.raises(nnx.ConfigurationError, match=words.replace("?", r"\?")):
        xor.Config(**given)


def test_a_run_in_bfloat16_says_so_and_is_resumed_with_the_same_only(tmp_path: Path):
    options = ("run", "xor", "--epochs", "40", "--device", "numpy", "--out", "run")
    done = command(tmp_path, *options, "--precision", "bfloat16", "--checkpoint-every", "20")
    assert "cpu (numpy, bfloat16)" in done.stdout, done.stderr
    result = read_run(tmp_path / "run")
    assert (result.precision, result.dtype, result.config["precision"]) == ("bfloat16", "float32", "bfloat16")
    assert nnx.load(tmp_path / "run" / "model.safetensors", "numpy").precision == "bfloat16"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "in bfloat16, seed 0" in page
    assert "--precision bfloat16 --device numpy" in page
    assert "--dtype" not in page
    other = command(tmp_path, *options, "--precision", "float32", "--resume")
    assert "--precision float32 (the run has bfloat16)" in other.stderr
    (tmp_path / "run" / "result.json").unlink()  # as if it had been stopped
    other = command(tmp_path, *options, "--checkpoint-every", "20", "--resume")
    assert "with --precision bfloat16, and this one is with --precision float32" in other.stderr
    again = command(tmp_path, *options, "--precision", "bfloat16", "--checkpoint-every", "20", "--resume")
    assert again.returncode == 0, again.stderr


def test_a_result_from_before_there_were_precisions_has_that_of_its_dtype(tmp_path: Path):
    done = command(tmp_path, "run", "xor", "--epochs", "5", "--dtype", "float64", "--out", "run")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "run" / "result.json"
    stored = json.loads(path.read_text())
    assert stored["config"]["precision"] == stored["precision"] == "float64"
    del stored["precision"], stored["config"]["precision"], stored["checksums"]
    path.write_text(json.dumps(stored))
    assert read_run(tmp_path / "run").precision == "float64"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_from_before_there_were_precisions_is_resumed(tmp_path: Path, dtype: str):
    config = xor.Config(epochs=40, device="numpy", dtype=dtype)
    newer = ("precision", "device", "epochs")
    about = {name: value for name, value in asdict(config).items() if name not in newer}
    xor.run(config, checkpoint=Checkpoint(tmp_path / "checkpoints", 30, about=about))

    def again(precision: str) -> None:
        same = replace(config, dtype="", precision=precision)
        how = Options.of("numpy", same, True, False, False, "30", True)
        xor.run(same, checkpoint=how.checkpoint(tmp_path))

    with pytest.raises(nnx.ConfigurationError, match=f"{dtype}.*, not .*bfloat16|--dtype {dtype}"):
        again("bfloat16")
    again(dtype)
