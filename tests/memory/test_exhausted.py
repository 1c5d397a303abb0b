"""Too little memory: one line says what needs how much."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.backends import host_memory

X = np.random.default_rng(0).random((4000, 16), dtype=np.float32)
LEFT = 2**20


def network(width=64):
    return nnx.Network([nnx.Dense(16, width), nnx.ReLU(), nnx.Dense(16)], device="numpy", seed=0)


def fit(built, batch_size):
    return built.fit(X, X, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=batch_size)


@pytest.fixture
def little(monkeypatch):
    """A machine on which a mebibyte is left."""
    monkeypatch.setattr(host_memory, "free", lambda **_: LEFT)


@pytest.mark.usefixtures("little")
def test_a_batch_too_large_is_refused_with_its_size_before_training():
    built = network().build(16)
    before = built.weights()
    # the outputs, two gradients of at most 64 numbers a row, the input, the target and what goes back
    size = 4000 * 4 * (64 + 16 + 2 * 64 + 16 + 2 * 16)
    expected = rf"a batch of 4,000 rows .*{size / 2**20:.4g} MiB .*1 MiB .*batch_size"
    with pytest.raises(nnx.OutOfMemoryError, match=expected) as caught:
        fit(built, 4000)
    assert isinstance(caught.value, MemoryError)
    for name, value in built.weights().items():
        np.testing.assert_array_equal(value, before[name])
    assert len(fit(built, 100)["loss"]) == 1  # and it is none the worse for it


@pytest.mark.usefixtures("little")
def test_predictions_are_made_in_batches_that_fit():
    built = network(1024)
    with pytest.raises(
        nnx.OutOfMemoryError, match=r"a batch of 4,000 rows .* 31.49 MiB .*: lower batch_size"
    ):
        built.predict(X, batch_size=4000)
    assert built.predict(X, batch_size=50).shape == X.shape


@pytest.mark.usefixtures("little")
def test_a_network_or_data_too_large_are_refused():
    with pytest.raises(nnx.OutOfMemoryError, match=r"a network of 330,016 parameters .* 2\.518 MiB"):
        network(10_000).build(16)
    wide = np.zeros((4000, 100), np.int16)
    with pytest.raises(nnx.OutOfMemoryError, match=r"x of shape \(4000, 100\) in float32 .* 1.526 MiB"):
        nnx.Network([nnx.Dense(1)], seed=0).fit(
            wide, wide[:, 0], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD()
        )


def test_a_small_training_reads_nothing_of_the_system(monkeypatch):
    monkeypatch.setattr(host_memory, "free", lambda **_: pytest.fail("looked"))
    built = network().build(16)
    built.fit(X[:50], X[:50], loss="mse", optimizer="adam", batch_size=20)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_DATA")
def test_a_system_that_refuses_memory_is_explained():
    """The limit is one that only asking for memory finds, where the system says nothing of it."""
    code = (
        "import resource, numpy as np, nnx\n"
        "from nnx.backends import host_memory\n"
        "host_memory.free = lambda **_: None\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28))\n"
        "network = nnx.Network([nnx.Dense(1, 2**16), nnx.Dense(1)], device='numpy', seed=0)\n"
        "x = np.zeros((10_000, 1), np.float32)\n"
        "try:\n    network.predict(x, batch_size=10_000)\n"
        "except nnx.OutOfMemoryError as error:\n    print(error)\n"
        "print(network.predict(x, batch_size=100).shape)\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    refusal, shape = done.stdout.splitlines()
    assert re.fullmatch(r"a batch of 10,000 rows .* 4\.9 GiB .*batch_size", refusal)
    assert shape == "(10000, 1)"


def in_a_limit(tmp_path, code, mebibytes):
    """Run code in a process that may have so many MiB more than after its start."""
    start = (
        "import resource, sys, numpy as np, nnx, nnx.model_files, safetensors.numpy\n"
        "def limit(mebibytes):\n"
        "    now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (now + int(mebibytes * 2**20),) * 2)\n"
        "mebibytes = float(sys.argv[1])\n"
        "nnx.backends.resolve('numpy')\n"  # modules are loaded before the limit
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "NNX_DEVICE": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", start + code, str(mebibytes)], cwd=tmp_path, env=environment, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADS = (
    "limit(mebibytes)\n"
    "try:\n    print(nnx.load('m.safetensors').predict(np.ones((1, 2000), 'f4')).shape)\n"
    "except nnx.OutOfMemoryError as error:\n    print('refused:', error)\n"
)
SAVES = (
    "network = nnx.load('m.safetensors')\nlimit(mebibytes)\n"
    "try:\n    network.save('n.safetensors'); print('saved')\n"
    "except nnx.OutOfMemoryError as error:\n    print('refused:', error)\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file of 30.5 MiB."""
    folder = tmp_path_factory.mktemp("model")
    nnx.Network([nnx.Dense(2000, 4000)], seed=0, device="numpy").save(folder / "m.safetensors")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_AS")
class TestAModelFileUnderALimitOfMemory:
    @pytest.mark.parametrize("mebibytes", [2, 32, 60])
    def test_is_not_read_where_it_does_not_fit(self, model, mebibytes):
        told = in_a_limit(model, LOADS, mebibytes)
        assert re.fullmatch(r"refused: reading m.safetensors .*38.5\d MiB of memory, .* left: .*", told)

    @pytest.mark.parametrize("mebibytes", [80])
    def test_says_what_its_network_takes(self, model, mebibytes):
        told = in_a_limit(model, LOADS, mebibytes)
        expected = r"refused: .*m.safetensors: .* 8,004,000 parameters .* 61.07 MiB .*"
        assert re.fullmatch(expected, told), told

    def test_is_loaded_where_three_times_its_size_is_left(self, model):
        assert in_a_limit(model, LOADS, 150) == "(1, 4000)"

    @pytest.mark.parametrize("mebibytes", [12])
    def test_is_written_where_hardly_anything_is_left(self, model, mebibytes):
        assert in_a_limit(model, SAVES, mebibytes) == "saved"
        assert (model / "n.safetensors").read_bytes() == (model / "m.safetensors").read_bytes()


def test_a_model_that_memory_is_too_short_for_is_not_called_damaged(tmp_path, monkeypatch):
    network().build(16).save(tmp_path / "m.safetensors")
    monkeypatch.setattr(host_memory, "free", lambda **_: 1000)
    with pytest.raises(nnx.OutOfMemoryError, match=r"reading .*m\.safetensors .* 8\.\d* MiB"):
        nnx.load(tmp_path / "m.safetensors")
