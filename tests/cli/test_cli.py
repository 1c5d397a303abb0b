"""The command line for its users: help, mistakes, devices, gradient checks and data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.command_line import command, environment, visible

import nnx
from nnx.backends import resolve
from nnx.backends.cuda_driver import gpu_or_driver
from nnx.cli.console import _numeric

COMMANDS = [
    (), ("run",), ("run", "xor"), ("run", "autoencoder"), ("run", "svm"), ("run", "compare"), ("run", "all"),
    ("devices",), ("gradcheck",), ("data",), ("data", "fetch"), ("data", "list"), ("data", "verify"),
    ("report",), ("encode",), ("reconstruct",), ("predict",), ("train",),
]  # fmt: skip
HEAVY = ("sklearn", "scipy", "matplotlib", "rich", "pooch", "cupy", "keras", "tensorflow", "numba", "joblib",
         "safetensors", "jinja2", "PIL")  # fmt: skip


# ------------------------------------------------------------------ help and wrong usage


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_printed_with_an_example_and_loads_nothing_heavy(tmp_path, words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nnx", *words, "--help"],
        cwd=tmp_path, env=environment(tmp_path, COLUMNS="80"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Example" in done.stdout
    assert f"nnx {' '.join(words)}".strip() in done.stdout
    assert "--debug" in done.stdout
    assert "..." not in re.sub(r"(COMMAND \[ARGS\]|INPUT)\.\.\.", "", done.stdout)  # no summary was cut off
    assert max(map(len, done.stdout.splitlines())) <= 80
    loaded = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line
    }
    assert loaded.isdisjoint(HEAVY)


WRONG = [
    ("rn", 2, "'run'"),
    ("run xorr", 2, "'xor'"),
    ("run xor --presett deep", 2, "'--preset'"),
    ("run xor --preset dep", 2, "did you mean 'deep'"),
    ("run autoencoder --preset bets", 2, "did you mean 'best'"),
    ("run xor --preset best", 2, "choose from deep, shallow"),
    ("run autoencoder --dataset digitz", 2, "did you mean 'digits'"),
    ("run autoencoder --dataset xor", 2, "choose from auto, mnist, digits"),
    ("run xor --dtype float3", 2, "did you mean 'float32'"),
    ("run xor --epochs 0", 2, "--epochs"),
    ("run xor --epochs many", 2, "'many'"),
    ("run xor --seed -1", 2, "--seed"),
    ("run autoencoder --batch-size 1.5", 2, "--batch-size"),
    ("run autoencoder --dataset digits --batch-size 100000 --out new", 2, "larger than the 1437 rows"),
    ("run xor --device gpv", 2, "did you mean 'gpu'"),
    ("run xor --device cpu:1", 2, "unknown device"),
    ("run xor --tf32 --device cpu --out new", 2, "add --device gpu, or remove --tf32"),
    ("run xor --tf32 --dtype float64 --out new", 2, "--tf32 needs float32"),
    ("run xor extra", 2, "extra"),
    ("run xor --out taken", 2, "taken"),
    ("run xor --out taken/below", 1, "taken/below"),
    ("run xor --out deep/er/new --device gpu", 1, "or choose device cpu"),
    ("run xor --device cupy", 1, "or choose device cpu"),
    ("run autoencoder --dataset mnist --out new", 1, "NNX_DATA_DIR"),
    ("run svm --model nowhere", 2, "nowhere"),
    ("run svm --model taken --epochs 3", 2, "--epochs"),
    ("run svm --svm-engine sklearnx", 2, "did you mean 'sklearnex'"),
    ("run svm --model taken --dataset digits --out new", 1, "taken"),
    ("run compare --minutes 0", 2, "--minutes"),
    ("run compare --with kears", 2, "did you mean 'keras'"),
    ("run xor --epochs two", 2, "'--epochs': must be a whole number of at least 1, not 'two'"),
    ("run xor --epochs -3", 2, "'--epochs': must be a whole number of at least 1, not '-3'"),
    ("run xor --out ./taken", 2, "'./taken' is a file: name a folder"),
    ("run xor --checkpoint-every 0", 2, "'--checkpoint-every': must be a number of steps or a time"),
    ("data verify --directory nowhere", 2, "--directory nowhere "),
    ("report empty", 1, "no result.json in empty: give the folder of a finished run"),
    ("rn xor", 2, "did you mean 'run'"),
    ("run xor --epoch 3", 2, "did you mean '--epochs'"),
    ("run compare --threads 0", 2, "--threads"),
    ("gradcheck --device tpu", 2, "did you mean 'gpu'"),
    ("encode", 2, "MODEL"),
    ("encode taken", 2, "INPUT"),
    ("encode taken taken", 1, "not a readable safetensors file"),
    ("encode taken taken --out codes.txt", 2, ".npz or .csv"),
    ("encode nowhere taken --out codes.npy", 2, "nowhere"),
    ("encode empty taken --out codes.npy", 1, "no model in empty"),
    ("data fetch --directory here", 1, "NNX_OFFLINE"),
    ("data fetch --directory taken", 2, "taken"),
]


@pytest.mark.parametrize(("line", "status", "text"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_mistake_is_one_line_with_the_right_status_and_leaves_nothing(tmp_path, answer, line, status, text):
    if "or choose device cpu" in text and any(
        found.usable for found in nnx.available() if found.name == "cupy"
    ):
        pytest.skip("a GPU is here, so asking for it is no mistake")
    (tmp_path / "taken").write_text("not a model")
    (tmp_path / "empty").mkdir()
    done = answer(*line.split())
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("nnx: ")
    assert text in done.stderr
    assert visible(tmp_path) == ["empty", "taken"]


def test_without_a_command_the_help_is_shown(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 2
    assert (done.stdout, "Commands:" in done.stderr) == ("", True)


@pytest.mark.parametrize("line", ["--debug run xor --device tpu", "run xor --device tpu --debug"])
def test_debug_shows_the_traceback_in_any_position(tmp_path, line):
    done = command(tmp_path, *line.split())
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("nnx: unknown device 'tpu'")


def test_presets_offered_are_those_of_the_experiments():
    from nnx.cli.main import cli
    from nnx.experiments import autoencoder, xor

    for words, known in (("xor", xor.PRESETS), ("autoencoder", autoencoder.PRESETS),
                         ("svm", autoencoder.PRESETS), ("all", autoencoder.PRESETS)):  # fmt: skip
        options = {option.name: option for option in cli.commands["run"].get_command(None, words).params}
        assert set(options["preset"].type.choices) == set(known)
        if "dataset" in options:
            assert tuple(options["dataset"].type.choices) == autoencoder.DATASETS


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (("1", "2,000", "-3.5e-07", "12 s", "99.5%"), True),
        (("0.98", "12 / 3", "4 of 4", "2.57e+03×", "–"), True),
        (("1.0", "-", ""), True),
        (("1.0", "one"), False),
        (("cpu", "gpu:0"), False),
        (("NumPy 2.1.0",), False),
        (("", ""), False),
        ((), False),
    ],
)
def test_columns_of_numbers_are_told_from_text(cells, numeric):
    assert _numeric(cells) is numeric


# ------------------------------------------------------------- devices, gradcheck and data


def test_devices_are_listed(tmp_path):
    done = command(tmp_path, "devices", "--json", NNX_DEVICE="cpu")
    listed = json.loads(done.stdout)
    assert listed["default"] == "cpu"
    assert listed["devices"][0]["name"] == "numpy"
    assert listed["devices"][0]["usable"] is True
    assert [status["name"] for status in listed["devices"][:2]] == ["numpy", "numba"]
    table = command(tmp_path, "devices", COLUMNS="80").stdout
    assert re.search(r"^ numpy +cpu +yes +NumPy \d", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 80


def test_usable_devices_are_checked_on_request(tmp_path):
    done = command(tmp_path, "devices", "--check", "--json", NNX_DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    usable = [one for one in listed["devices"] if one["usable"]]
    assert [check["device"] for check in listed["checks"]] == [
        one["name"] if one["device"] == "cpu" else one["device"] for one in usable
    ]
    for check in listed["checks"]:
        assert check["passed"]
        assert check["message"].startswith("XOR learnt (loss 0.00")
    assert listed["driver"]["install"].startswith("pip install") is gpu_or_driver()


@pytest.mark.parametrize(
    ("where", "fault", "told"),
    [
        ("xor.run", lambda *_: SimpleNamespace(metrics={"loss": 0.2, "accuracy": 0.5}), "XOR was not learnt"),
        (
            "gradcheck.run_all",
            lambda _: [SimpleNamespace(passed=False, message="dW is wrong")],
            "dW is wrong",
        ),
    ],
)
def test_a_device_that_computes_wrongly_is_found(monkeypatch, capsys, where, fault, told):
    from nnx.cli.main import main

    monkeypatch.setattr(f"nnx.experiments.device_check.{where}", fault)
    with pytest.raises(SystemExit) as caught:
        main(["devices", "--check"])
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed
    assert told in printed


def test_gradcheck_checks_every_case(tmp_path):
    from nnx.gradcheck import CASES

    done = command(tmp_path, "gradcheck", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["passed"], result["device"], result["backend"]) == (True, "cpu", resolve("cpu").name)
    assert [report["name"] for report in result["reports"]] == [case.name for case in CASES]
    assert all(report["worst"] < 1e-6 for report in result["reports"])


def test_gradcheck_fails_where_a_gradient_is_wrong(monkeypatch, capsys):
    from nnx import gradcheck
    from nnx.cli.main import main

    class Wrong(nnx.MeanSquaredError):
        def evaluate(self, backend, y_true, y_pred, value, dy, weights=None, kind=None):
            super().evaluate(backend, y_true, y_pred, value, dy, weights, kind)
            if dy is not None:
                dy *= 2.0

    monkeypatch.setattr(gradcheck, "run_all", lambda device: [gradcheck.check_loss(Wrong(), device=device)])
    with pytest.raises(SystemExit) as caught:
        main(["gradcheck", "--device", "cpu"])
    printed = capsys.readouterr()
    assert caught.value.code == 1
    assert "0 of 1 backward passes are right" in printed.out
    assert "y_pred" in printed.err


@pytest.mark.mnist
def test_data_is_listed_and_verified(tmp_path, mnist_directory):
    listed = json.loads(command(tmp_path, "data", "list", "--json").stdout)["datasets"]
    assert {entry["name"]: entry["available"] for entry in listed} == {
        "mnist": False, "digits": True, "xor": True}  # fmt: skip
    done = command(tmp_path, "data", "verify")
    assert done.returncode == 1
    assert done.stdout.count(" missing ") == 4
    done = command(tmp_path, "data", "verify", "--directory", mnist_directory)
    assert done.returncode == 0
    assert len(re.findall(r" ok ", done.stdout)) == 4
    done = command(tmp_path, "data", "fetch", NNX_DATA_DIR=str(mnist_directory))
    assert done.returncode == 0
    assert [Path(line).parent for line in done.stdout.splitlines()] == [mnist_directory] * 4
    assert "mnist" in command(tmp_path, "data", "list").stdout


GROUPS = ["", "run", "data", "devices", "gradcheck", "run xor", "run autoencoder", "run svm", "run compare",
          "run all", "report", "data fetch", "data list", "data verify"]  # fmt: skip


@pytest.mark.parametrize("line", GROUPS)
def test_examples_are_on_separate_lines(line, tmp_path):
    text = command(tmp_path, *line.split(), "--help").stdout
    assert "\\b" not in text
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index("Examples:" if "Examples:" in lines else "Example:")
    assert lines[start + 1].startswith("nnx")
