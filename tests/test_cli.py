"""The command line as its users meet it: real processes, their exit status, what they print and leave."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx import checkpoints
from nnx.cli.console import _numeric
from nnx.datasets import load_digits

COMMAND = [sys.executable, "-m", "nnx"]
KEYS = {"experiment", "preset", "dataset", "device", "backend", "dtype", "seed", "metrics", "timing",
        "artifacts", "versions"}  # fmt: skip
TIMING = {"import_seconds", "data_seconds", "first_step_seconds", "train_seconds", "steps",
          "microseconds_per_step", "total_seconds"}  # fmt: skip
COMMANDS = [
    (), ("run",), ("run", "xor"), ("run", "autoencoder"), ("run", "svm"), ("run", "compare"), ("run", "all"),
    ("devices",), ("gradcheck",), ("data",), ("data", "fetch"), ("data", "list"), ("data", "verify"),
    ("encode",), ("reconstruct",), ("predict",),
]  # fmt: skip
HEAVY = ("sklearn", "scipy", "matplotlib", "rich", "pooch", "cupy", "keras", "tensorflow", "numba", "joblib",
         "safetensors", "jinja2")  # fmt: skip


def environment(tmp_path, **variables):
    """No MNIST and no network, unless a test says otherwise."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NNX_") and k != "NO_COLOR"}
    nowhere = {"NNX_OFFLINE": "1", "NNX_CACHE_DIR": str(tmp_path / "no-cache")}
    path = os.pathsep.join(filter(None, [str(Path(nnx.__file__).parents[1]), kept.get("PYTHONPATH")]))
    return kept | nowhere | {"PYTHONPATH": path} | variables


def command(tmp_path, *arguments, limit=None, stdout=subprocess.PIPE, **variables):
    def limited():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=tmp_path,
        env=environment(tmp_path, **variables),
        text=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
        preexec_fn=limited if limit else None,
    )


def visible(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def trained(place):
    """An autoencoder on the digits, which stand in for an MNIST that is not there."""
    done = command(
        place, "run", "autoencoder", "--preset", "shallow", "--epochs", 40, "--json", "--out", "ae"
    )
    assert done.returncode == 0, done.stderr
    return place / "ae", done


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
    assert "..." not in done.stdout.replace("[OPTIONS] COMMAND [ARGS]...", "")  # no summary was cut off
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
    ("run xor extra", 2, "extra"),
    ("run xor --out taken", 2, "taken"),
    ("run xor --out taken/below", 1, "taken/below"),
    ("run xor --out deep/er/new --device gpu", 1, "pip install"),
    ("run xor --device cupy", 1, "pip install"),
    ("run autoencoder --dataset mnist --out new", 1, "NNX_DATA_DIR"),
    ("run svm --model nowhere", 2, "nowhere"),
    ("run svm --model taken --epochs 3", 2, "--epochs"),
    ("run svm --model taken --dataset digits --out new", 1, "taken"),
    ("run compare --minutes 0", 2, "--minutes"),
    ("run compare --threads 0", 2, "--threads"),
    ("gradcheck --device tpu", 2, "did you mean 'gpu'"),
    ("encode", 2, "MODEL"),
    ("encode taken", 2, "INPUT"),
    ("encode taken taken", 2, "--out"),
    ("encode taken taken --out codes.txt", 2, ".npy or .csv"),
    ("encode nowhere taken --out codes.npy", 2, "nowhere"),
    ("encode empty taken --out codes.npy", 1, "no model in empty"),
    ("data fetch --directory here", 1, "NNX_OFFLINE"),
    ("data fetch --directory taken", 2, "taken"),
]


@pytest.mark.parametrize(("line", "status", "text"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_mistake_is_one_line_with_the_right_status_and_leaves_nothing(tmp_path, line, status, text):
    if "pip install" in text and any(found.usable for found in nnx.available() if found.name == "cupy"):
        pytest.skip("a GPU is here, so asking for it is no mistake")
    (tmp_path / "taken").write_text("not a model")
    (tmp_path / "empty").mkdir()
    done = command(tmp_path, *line.split())
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
def test_debug_shows_the_traceback_wherever_it_stands(tmp_path, line):
    done = command(tmp_path, *line.split())
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("nnx: unknown device 'tpu'")


def test_presets_offered_are_those_of_the_experiments():
    from nnx.cli.main import cli
    from nnx.experiments import autoencoder, xor

    for words, known in (("xor", xor.PRESETS), ("autoencoder", autoencoder.PRESETS),
                         ("svm", autoencoder.PRESETS), ("all", autoencoder.PRESETS)):  # fmt: skip
        options = {option.name: option for option in cli.commands["run"].commands[words].params}
        assert set(options["preset"].type.choices) == set(known)
        if "dataset" in options:
            assert tuple(options["dataset"].type.choices) == autoencoder.DATASETS


# ----------------------------------------------------------------------------------- runs


def test_json_is_one_object_with_the_named_keys(trained):
    folder, done = trained
    result = json.loads(done.stdout)
    assert result.keys() >= KEYS
    assert result["timing"].keys() >= TIMING
    assert (result["experiment"], result["preset"], result["dtype"], result["seed"]) == (
        "autoencoder", "shallow", "float32", 0)  # fmt: skip
    assert (result["device"], result["backend"]) == ("cpu", "numpy")
    assert set(result["metrics"]) == {"test_mse", "test_mse_per_image", "test_bce", "pca_test_mse"}
    timing = result["timing"]
    assert timing["steps"] == 40 * 45
    assert timing["microseconds_per_step"] > 0
    parts = timing["import_seconds"] + timing["data_seconds"] + timing["train_seconds"]
    assert 0 < parts < timing["total_seconds"]
    assert result == json.loads((folder / "result.json").read_text())


def test_a_missing_mnist_is_replaced_and_said(trained):
    _, done = trained
    result = json.loads(done.stdout)
    assert result["dataset"] == "digits"
    assert "8×8 digits instead of MNIST" in result["notes"][0]
    first, *others = done.stderr.splitlines()
    assert first.startswith("note: ")
    assert "8×8 digits instead of MNIST" in first
    assert all(re.fullmatch(r"epoch \d+/40  loss \S+  val_loss \S+", line) for line in others)
    assert len(others) == 20


def test_the_folder_holds_what_the_result_names(trained):
    folder, _ = trained
    result = json.loads((folder / "result.json").read_text())
    files = [name for name in visible(folder) if (folder / name).is_file()]
    assert sorted(result["artifacts"].values()) == files
    assert set(result["artifacts"]) == {"history", "model", "result", "loss", "reconstructions", "codes"}
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 41))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])


def test_a_folder_with_a_result_is_refused_before_training(trained):
    folder, _ = trained
    before = {name: (folder / name).stat().st_mtime_ns for name in visible(folder)}
    done = command(folder.parent, "run", "xor", "--out", "ae")
    assert done.returncode == 1
    assert "ae already holds a result" in done.stderr
    assert {name: (folder / name).stat().st_mtime_ns for name in visible(folder)} == before


def test_xor_prints_its_tables_and_nothing_else_when_quiet(tmp_path):
    done = command(tmp_path, "run", "xor", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4500" in done.stdout
    assert "accuracy 100%" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert str(folder.relative_to(tmp_path)) in done.stdout.splitlines()[-1]
    assert set(visible(folder)) >= {"figures/decision_surface.png", "figures/loss.png"}
    assert "\x1b" not in done.stdout


def test_verbose_says_which_device_auto_took_and_why(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 2, "--json", "-v")
    assert done.returncode == 0
    device = json.loads(done.stdout)["device"]
    lines = [line for line in done.stderr.splitlines() if not line.startswith("epoch")]
    assert len(lines) == 2
    assert lines[0].startswith("device auto: using")
    assert lines[1].startswith(f"device: {device} ")


def test_all_runs_three_and_sums_them_up(tmp_path):
    done = command(tmp_path, "run", "all", "--preset", "shallow", "--dataset", "digits", "--out", "a/b", "-q")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["autoencoder", "svm", "xor"]
    for row in ("xor", "autoencoder", "svm"):
        assert re.search(rf"^ {row} .* s $", done.stdout, re.MULTILINE)
    svm = json.loads((tmp_path / "a" / "b" / "svm" / "result.json").read_text())
    assert svm["timing"].keys() >= TIMING
    assert (svm["timing"]["steps"], svm["preset"]) == (0, "shallow")
    assert set(svm["metrics"]) == {"accuracy", "confusion_matrix", "pca_accuracy", "mcnemar"}


def test_svm_takes_a_model(trained, tmp_path):
    folder, _ = trained
    done = command(tmp_path, "run", "svm", "--model", folder, "--dataset", "digits", "--json", "--out", "svm")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert np.sum(result["metrics"]["confusion_matrix"]) == 360


@pytest.mark.mnist
def test_svm_refuses_a_model_of_other_data(trained, tmp_path, mnist_directory):
    folder, _ = trained
    done = command(
        tmp_path, "run", "svm", "--model", folder, "--out", "no", NNX_DATA_DIR=str(mnist_directory)
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "64 pixels" in done.stderr
    assert "784" in done.stderr
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("agree", "status"), [(True, 0), (False, 1)])
def test_compare_fails_where_the_losses_do_not_agree(monkeypatch, tmp_path, capsys, agree, status):
    """The comparison itself has tests of its own; this is what the command makes of its result."""
    from nnx.cli.main import main
    from nnx.experiments import Result, compare

    asked = []

    def run(config, progress):
        asked.append(config)
        progress("at work")
        notes = [] if agree else ["no speed-up is given"]
        return Result("compare", "", "digits", "cpu", "numpy", "float32", 3, {"agree": agree}, notes=notes)

    monkeypatch.setattr(compare, "run", run)
    with pytest.raises(SystemExit) as caught:
        main(["run", "compare", "--minutes", "2", "--threads", "1", "--dataset", "digits", "--seed", "3",
              "--json", "--out", str(tmp_path / "run")])  # fmt: skip
    printed = capsys.readouterr()
    assert caught.value.code == status
    assert asked == [compare.Config(2.0, "digits", 3, None, "float32", 1)]
    assert json.loads(printed.out)["metrics"] == {"agree": agree}
    assert json.loads(printed.out)["timing"].keys() >= TIMING
    assert printed.err.splitlines() == ["at work"] + ([] if agree else ["note: no speed-up is given"])
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == {"agree": agree}


# --------------------------------------------------- interrupts, full disks, closed pipes


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_training_leaves_nothing(tmp_path, number, status):
    process = subprocess.Popen(
        [*COMMAND, "run", "autoencoder", "--dataset", "digits", "--preset", "shallow",
         "--batch-size", "1437", "--epochs", "4000", "--out", "deep/er/run"],
        cwd=tmp_path, env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 200/4000")
    assert (tmp_path / "deep/er/run").is_dir()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert out == ""
    assert err.splitlines()[-1] in ("nnx: interrupted", "nnx: terminated")
    assert visible(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="file sizes are limited on POSIX systems only")
def test_a_model_that_cannot_be_written_leaves_nothing(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 1, "--out", "new", "-q", limit=300)
    assert done.returncode == 1
    assert done.stderr.startswith("nnx: cannot write new/model.safetensors (File too large)")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name != "posix", reason="file sizes are limited on POSIX systems only")
def test_a_figure_that_cannot_be_written_leaves_the_model_and_no_result(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 10, "--out", "new", "-q", limit=6000)
    assert done.returncode == 1
    kept, error = done.stderr.splitlines()[-2:]
    assert kept == "the trained model is kept in new"
    assert error.startswith("nnx: cannot write new/figures/")
    assert [name for name in visible(tmp_path / "new") if "." in name] == ["history.csv", "model.safetensors"]
    assert nnx.load(tmp_path / "new" / "model.safetensors").inputs == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json"), ("--version",)])
def test_a_full_standard_output_is_a_failure(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        done = command(tmp_path, *arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "nnx: the system refused: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json")])
def test_a_reader_that_has_gone_is_no_traceback(tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = command(tmp_path, *arguments, stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


# ------------------------------------------------------------------------------ a terminal


def on_terminal(tmp_path, *arguments, interrupt=False, **variables):
    """What a terminal of 80 columns receives, and the exit status."""
    import fcntl
    import pty
    import termios

    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdin=line, stdout=line, stderr=line,
        env=environment(tmp_path, **{"TERM": "xterm-256color", **variables}),
    )  # fmt: skip
    os.close(line)
    seen = b""
    with os.fdopen(screen, "rb", buffering=0) as reader:
        while True:
            try:
                part = reader.read(4096)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not part:
                break
            seen += part
            if interrupt and b"loss 0." in seen:
                interrupt = False
                process.send_signal(signal.SIGINT)
    return process.wait(timeout=30), seen.decode()


TRAIN = ("run", "xor", "--out", "run")
COLOUR = re.compile(r"\x1b\[(3|4|9)\d")
pytest_posix = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")


@pytest_posix
@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_a_bar(tmp_path, no_color):
    variables = {"NO_COLOR": "1"} if no_color else {}
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "3000", **variables)
    assert status == 0
    assert "━━━" in seen
    assert "loss 0." in seen
    assert "/3000" not in seen  # the plain lines
    assert bool(COLOUR.search(seen)) is not no_color
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor came back
    assert max(len(re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", part)) for part in re.split(r"[\r\n]", seen)) <= 80


@pytest_posix
def test_an_interrupt_on_a_terminal_gives_the_cursor_back(tmp_path):
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "9000000", interrupt=True)
    assert status == 130
    assert seen.rstrip().endswith("nnx: interrupted")
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1
    assert not (tmp_path / "run").exists()


@pytest_posix
def test_a_quiet_run_shows_no_bar_on_a_terminal(tmp_path):
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "2", "-q")
    assert status == 0
    assert "━━━" not in seen
    assert "Predictions" in seen


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
    table = command(tmp_path, "devices", COLUMNS="80").stdout
    assert re.search(r"^ numpy +cpu +yes +NumPy \d", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 80


def test_gradcheck_checks_every_case(tmp_path):
    from nnx.gradcheck import CASES

    done = command(tmp_path, "gradcheck", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["passed"], result["device"], result["backend"]) == (True, "cpu", "numpy")
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
    assert "the gradient in y_pred is wrong" in printed.err


@pytest.mark.mnist
def test_data_is_listed_and_verified(tmp_path, mnist_directory):
    listed = json.loads(command(tmp_path, "data", "list", "--json").stdout)["datasets"]
    assert {entry["name"]: entry["available"] for entry in listed} == {
        "mnist": False, "digits": True, "xor": True}  # fmt: skip
    done = command(tmp_path, "data", "verify")
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == 4
    done = command(tmp_path, "data", "verify", "--directory", mnist_directory)
    assert done.returncode == 0
    assert len(re.findall(r" ok ", done.stdout)) == 4
    done = command(tmp_path, "data", "fetch", NNX_DATA_DIR=str(mnist_directory))
    assert done.returncode == 0
    assert [Path(line).parent for line in done.stdout.splitlines()] == [mnist_directory] * 4
    assert "mnist" in command(tmp_path, "data", "list").stdout


# ------------------------------------------------------------ encode, reconstruct, predict


def write_idx(path, images):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
    path.write_bytes(gzip.compress(header + images.tobytes()))


def inputs(folder):
    """The same twenty images in each format, as numbers in [0, 1]."""
    x = load_digits().x_test[:20]
    images = np.round(x * 255).astype(np.uint8).reshape(-1, 8, 8)
    x = images.reshape(20, 64).astype(np.float32) / np.float32(255)
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x, delimiter=",", fmt="%.9g")
    write_idx(folder / "x-idx3-ubyte.gz", images)
    return x


@pytest.mark.parametrize("source", ["x.npy", "x.csv", "x-idx3-ubyte.gz"])
@pytest.mark.parametrize("name", ["encode", "reconstruct"])
def test_a_model_is_applied_to_files_of_each_format(trained, tmp_path, name, source):
    folder, _ = trained
    x = inputs(tmp_path)
    done = command(tmp_path, name, folder, source, "--out", "out/y.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    network = nnx.load(folder / "model.safetensors")
    expected = (network[: network.code] if name == "encode" else network).predict(x)
    result = np.load(tmp_path / "out" / "y.npy", allow_pickle=False)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
    assert done.stderr == f"out/y.npy: 20 rows of {16 if name == 'encode' else 64}\n"


def test_predict_writes_csv_that_gives_the_same_numbers(trained, tmp_path):
    folder, _ = trained
    x = inputs(tmp_path)
    done = command(tmp_path, "predict", folder / "model.safetensors", "x.npy", "--out", "y.csv")
    assert done.returncode == 0, done.stderr
    expected = nnx.load(folder / "model.safetensors").predict(x)
    result = np.loadtxt(tmp_path / "y.csv", delimiter=",").astype(np.float32)
    np.testing.assert_array_equal(result, expected)


def test_codes_are_turned_back_by_the_decoder(trained, tmp_path):
    """Encode by one command, decode the file by another: together they reconstruct."""
    folder, _ = trained
    inputs(tmp_path)
    network = nnx.load(folder / "model.safetensors")
    network[network.code :].save(tmp_path / "decoder.safetensors")
    for line in (
        f"encode {folder} x.npy --out codes.csv",
        "predict decoder.safetensors codes.csv --out y.npy",
        f"reconstruct {folder} x.npy --out whole.npy",
    ):
        assert command(tmp_path, *line.split()).returncode == 0
    decoded, whole = np.load(tmp_path / "y.npy"), np.load(tmp_path / "whole.npy")
    np.testing.assert_allclose(decoded, whole, rtol=0, atol=1e-6)


def test_models_and_inputs_that_do_not_fit_are_named(trained, tmp_path):
    folder, _ = trained
    inputs(tmp_path)
    np.save(tmp_path / "narrow.npy", np.zeros((3, 5), np.float32))
    np.save(tmp_path / "nan.npy", np.full((3, 64), np.nan, np.float32))
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    nnx.Network([nnx.Dense(64, 3)], device="cpu").save(tmp_path / "plain.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[:-100])
    (tmp_path / "flipped.safetensors").write_bytes(whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:])
    weights, config = checkpoints.read(folder / "model.safetensors")
    config["layers"][0]["config"]["units"] = 38
    checkpoints.write(tmp_path / "misfit.safetensors", weights, config, {})
    for line, status, text in (
        (f"encode {folder} narrow.npy", 1, "5"),
        (f"predict {folder} narrow.npy", 1, "5 features"),
        (f"predict {folder} nan.npy", 1, "not finite"),
        (f"predict {folder} object.npy", 1, "object"),
        ("encode plain.safetensors x.npy", 2, "which layer is its code"),
        ("reconstruct plain.safetensors x.npy", 2, "which layer is its code"),
        ("predict short.safetensors x.npy", 1, "short.safetensors"),
        ("predict flipped.safetensors x.npy", 1, "checksum"),
        ("predict misfit.safetensors x.npy", 1, "misfit.safetensors"),
        ("predict x.npy x.npy", 1, "x.npy"),
        (f"predict {folder} x.npy --device gpu:7", 1, "gpu"),
    ):
        done = command(tmp_path, *line.split(), "--out", "y.npy")
        assert done.returncode == status, (line, done.stderr)
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1), line
        assert text.lower() in done.stderr.lower(), line
        assert not (tmp_path / "y.npy").exists()
    done = command(tmp_path, "predict", folder, "x.npy", "--out", "x.npy/below/y.npy")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
