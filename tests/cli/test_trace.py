"""``nnx trace``: the text in 80 columns, for XOR and for models in files; mistakes are one line."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import invoke

import nnx

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def xor():
    return nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], device="cpu", seed=0)


def test_without_a_model_xor_is_traced_in_80_columns():
    done = invoke("trace", "--weight", "dense_1.W[1,0]", "--row", "3", "--learning-rate", "0.5")
    assert max(map(len, done.stdout.splitlines())) <= 80
    trace = xor().trace(X, Y, "binary_cross_entropy", nnx.SGD(0.5))
    assert done.stdout == trace.text("dense_1.W[1, 0]", 3)


def test_a_model_and_its_data_are_read_and_the_model_stays(tmp_path):
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()], seed=4)
    network.save("model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    x, y = np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 3
    np.savez("data.npz", x=x, y=y)
    done = invoke("trace", "model.safetensors", "--data", "data.npz", "--rows", "6", "--optimizer", "adam",
                  "--through", "dense_2[1]")  # fmt: skip
    trace = network.trace(x[:6], y[:6], "cross_entropy", "adam")
    assert done.stdout == trace.text(through=("dense_2[1]",))
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_without_data_the_file_of_the_training_is_read(tmp_path):
    network = nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=4)
    np.savez("mine.npz", x=X + 0.5, y=Y)
    network.save("model.safetensors", {"dataset": "mine.npz"})
    done = invoke("trace", "model.safetensors", "--rows", "3")
    assert done.stdout == network.trace(X[:3] + 0.5, Y[:3], "binary_cross_entropy", "sgd").text()
    assert done.stderr == "rows of mine.npz, on which the model was trained\n"
    (tmp_path / "mine.npz").unlink()
    assert "  4 rows" in invoke("trace", "model.safetensors").stdout  # of XOR, which fits the network


def test_a_page_is_written_in_place_of_the_text(tmp_path):
    done = invoke("trace", "--html", "pages/step.html", "--weight", "dense_1.W[0,2]")
    assert done.stdout == "pages/step.html\n"
    text = (tmp_path / "pages" / "step.html").read_text(encoding="utf-8")
    assert '"weight":{"name":"dense_1.W","index":[0,2]}' in text
    with pytest.raises(nnx.ConfigurationError, match="--open shows a page: name its file with --html"):
        invoke("trace", "--open")


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("--optimizer adm", 2, "did you mean 'adam'"),
        ("--loss ms", 2, "'mse'"),
        ("--weight dense_1.W", 2, "such as dense_1.W[0, 2]"),
        ("--row 4", 2, "the batch has the rows 0 to 3"),
        ("--through tanh_1[9]", 2, "tanh_1[0] to [2]"),
        ("--rows 0", 2, "--rows"),
        ("--data data.npz", 2, "give MODEL too"),
        ("model.safetensors", 2, "--data FILE"),
        ("--html step.txt", 2, "must end in .html"),
        ("--html step.html --optimizer lbfgs", 2, "no optimizer 'lbfgs'"),
        ("nowhere", 2, "'nowhere' does not exist"),
        ("--loss cross_entropy", 2, "softmax"),
    ],
)
def test_a_mistake_is_one_line(answer, line, status, text):
    nnx.Network([nnx.Dense(3, 2)], seed=0).save("model.safetensors")
    np.savez("data.npz", x=X, y=Y)
    done = answer("trace", *line.split())
    assert done.returncode == status, done.stderr
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    assert text.lower() in done.stderr.lower()
