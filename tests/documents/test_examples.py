"""Every example runs in a separate process, with warnings as errors."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"

# What each is run with (few epochs, steps or rows), a pattern its output must hold, and the figures it draws.
SCRIPTS: dict[str, tuple[tuple[str, ...], str, set[str]]] = {
    "xor.py": (("2000",), r"0 xor 1 = 1, predicted 0\.9", {"xor_loss", "xor_surface"}),
    "hand_written_loop.py": (("1001",), r"epoch  1000  loss 0\.0[\s\S]*loss per image", set()),
    "custom_layer.py": (("5",), r"Forgetful\(\): the gradient of x [\s\S]*val_accuracy 0\.9", set()),
    "convolution.py": (
        ("4",),
        r"Overwriting\([^)]*\): the gradient of x [\s\S]*val_accuracy 0\.9",
        {"convolution_filters"},
    ),
    "choosing_a_backend.py": ((), r"numpy +cpu +usable", set()),
    "data_on_a_gpu.py": (("3000",), r"numpy on cpu: 3000 rows, test accuracy 0\.[89]", set()),
    "grid_search_dask.py": (("2",), r"best: \{'hidden_layer_sizes': 64, 'l.*': 0\.01\} on 2 workers", set()),
    "intervals.py": (
        ("40", "1000"),
        r"quantiles \(Pinball\) +covers 0\.[78][\s\S]*conformal, quantiles +covers 0\.",
        set(),
    ),
    "sklearn_pipeline.py": (("30", "1437"), r"1437 rows[\s\S]*test accuracy 0\.9", set()),
    "between_torch_modules.py": (("100",), r"loss after 100 steps[\s\S]*PyTorch alone: \d\.\de-0[67]", set()),
    "outliers.py": ((), r"ROC-AUC of the autoencoder: 0\.[\s\S]*10 rows are called outliers", set()),
    "table_to_served_prediction.py": (
        ("--epochs", "4"),
        r"rooms: number\ntown: category\nR² on new homes: 0\.[89]\d+\n\(200, \{'price': \[",
        set(),
    ),
    "sparse_text.py": ((), r"26443 columns[\s\S]*test accuracy 0\.9", set()),
    "grade_on_gradescope.py": ((".", "results.json"), r"0 of 30 points", set()),
    "grade_with_nbgrader.py": ((), r"db: db\[0\] is [\s\S]*hint: db is a mean", set()),
    "compare.py": (("20",), r"largest relative difference of the losses over 20 steps: \d", set()),
}
CHAINED = {"autoencoder.py", "svm.py"}  # the second takes the network that the first saved


def environment(data: Path | None = None) -> dict[str, str]:
    """The tests' own environment, without network, and without MNIST unless it is given."""
    settings = {name: value for name, value in os.environ.items() if name != "NNX_DATA_DIR"}
    settings |= {"NNX_OFFLINE": "1", "NNX_DEVICE": "cpu", "MPLBACKEND": "agg"}
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    if data is not None:
        return settings | {"NNX_DATA_DIR": str(data)}
    return settings | {"NNX_CACHE_DIR": "no-such-cache"}


def run(name: str, arguments: tuple[str, ...], folder: Path, settings: dict[str, str]) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def figures(folder: Path) -> set[str]:
    """Names of the PNG files drawn, each checked to be one."""
    found = list((folder / "figures").glob("*"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found)
    return {path.stem for path in found}


def test_every_example_is_run_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*SCRIPTS, *CHAINED, "notebook.py"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.keras) if name == "compare.py" else name for name in SCRIPTS],
)
def test_script(name: str, tmp_path: Path):
    if name == "compare.py" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: pip install 'nnx-arrays[compare]'")
    if name == "between_torch_modules.py" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install torch")
    if name == "grid_search_dask.py" and importlib.util.find_spec("distributed") is None:
        pytest.skip("Dask is not installed: pip install 'dask[distributed]'")
    arguments, expected, drawn = SCRIPTS[name]
    output = run(name, arguments, tmp_path, environment())
    assert re.search(expected, output), output
    assert figures(tmp_path) == drawn


DRAWN = {
    "autoencoder_loss", "autoencoder_reconstructions", "autoencoder_codes", "svm_confusion", "svm_predictions"
}  # fmt: skip


def autoencoder_and_svm(folder: Path, settings: dict[str, str], epochs: str, rows: str) -> tuple[str, float]:
    output = run("autoencoder.py", (epochs,), folder, settings)
    match = re.search(r"test accuracy (0\.\d+)", run("svm.py", (rows,), folder, settings))
    assert match
    assert figures(folder) == DRAWN
    return output, float(match[1])


@pytest.mark.mnist
def test_autoencoder_and_svm_on_mnist(tmp_path: Path, mnist_directory: Path):
    output, accuracy = autoencoder_and_svm(tmp_path, environment(mnist_directory), "1", "2000")
    assert "instead of MNIST" not in output
    assert accuracy > 0.9


@pytest.mark.mnist
def test_pipeline_on_mnist(tmp_path: Path, mnist_directory: Path):
    output = run("sklearn_pipeline.py", ("3", "2000"), tmp_path, environment(mnist_directory))
    match = re.search(r"2000 rows[\s\S]*test accuracy (0\.\d+)", output)
    assert match, output
    assert float(match[1]) > 0.8


def test_autoencoder_and_svm_on_the_digits_that_stand_in(tmp_path: Path):
    output, accuracy = autoencoder_and_svm(tmp_path, environment(), "10", "1437")
    assert "8×8 digits instead of MNIST" in output
    assert accuracy > 0.9


def test_notebook_runs_cell_by_cell(tmp_path: Path):
    for package in ("jupytext", "nbclient", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'nnx-arrays[test]'")
    # In a process of its own: the kernel's client and this suite disagree about warnings.
    script = (
        "import jupytext, nbclient, sys\n"
        "notebook = jupytext.read(sys.argv[1])\n"
        "nbclient.NotebookClient(notebook, timeout=280).execute()\n"
        "jupytext.write(notebook, 'executed.ipynb')\n"
    )
    settings = environment() | {"EPOCHS": "20", "SVM_ROWS": "1437", "IPYTHONDIR": str(tmp_path / "ipython")}
    del settings["MPLBACKEND"]  # the notebook's own, which shows figures beneath their cells
    command = [sys.executable, "-c", script, str(EXAMPLES / "notebook.py")]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    cells = json.loads((tmp_path / "executed.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    match = re.search(r"test accuracy from 1437 training codes: (0\.\d+)", printed)
    assert match
    assert float(match[1]) > 0.9


def test_notebook_runs_as_a_script(tmp_path: Path):
    settings = environment() | {"EPOCHS": "1", "SVM_ROWS": "500"}
    assert "test accuracy from 500 training codes" in run("notebook.py", (), tmp_path, settings)


def test_the_served_model_answers_requests_with_its_predictions(tmp_path: Path):
    """A real web server on this machine: right rows, a cell that is no number, and no JSON."""
    path = EXAMPLES / "table_to_served_prediction.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.train(tmp_path / "m.safetensors", epochs=2)
    server = module.serve(module.answering(tmp_path / "m.safetensors"), 0)
    with ExitStack() as stack:
        stack.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)

        def ask(body: str) -> tuple[int, dict]:
            address = f"http://127.0.0.1:{server.server_port}/"
            try:
                with urllib.request.urlopen(address, body.encode()) as answered:
                    return answered.status, json.load(answered)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        rows = [{"area": 80, "rooms": 3, "town": "Oslo"}, {"town": "Paris", "area": 50}]
        columns = {"area": [80.0, 50.0], "rooms": [3.0, None], "town": ["Oslo", "Paris"]}
        expected = module.TabularRegressor.load(tmp_path / "m.safetensors").predict(columns)
        assert ask(json.dumps(rows)) == (200, {"price": expected.round(1).tolist()})
        status, answer = ask('[{"area": "large", "rooms": 3, "town": "Oslo"}]')
        assert (status, "'large'" in answer["error"]) == (422, True)
        assert ask("80, 3, Oslo")[0] == ask("[1]")[0] == 400
