"""What takes more memory than there is ends in one line that says how much it takes."""

from __future__ import annotations

import os
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
    monkeypatch.setattr(host_memory, "free", lambda: LEFT)


@pytest.mark.usefixtures("little")
def test_a_batch_too_large_is_refused_with_its_size_before_training():
    built = network().build(16)
    before = built.weights()
    # the outputs, two gradients of at most 64 numbers a row, the input, the target and what goes back
    size = 4000 * 4 * (64 + 16 + 2 * 64 + 16 + 2 * 16)
    expected = (
        f"a batch of 4,000 rows takes {size / 2**20:.4g} MiB of memory, and 1 MiB are left: lower batch_size"
    )
    with pytest.raises(nnx.OutOfMemoryError) as caught:
        fit(built, 4000)
    assert str(caught.value) == expected
    assert isinstance(caught.value, MemoryError)
    for name, value in built.weights().items():
        np.testing.assert_array_equal(value, before[name])
    assert len(fit(built, 100)["loss"]) == 1  # and it is none the worse for it


@pytest.mark.usefixtures("little")
def test_predictions_are_made_in_batches_that_fit():
    built = network(1024)
    with pytest.raises(
        nnx.OutOfMemoryError, match=r"a batch of 4,000 rows takes 31.49 MiB .*: lower batch_size"
    ):
        built.predict(X, batch_size=4000)
    assert built.predict(X, batch_size=50).shape == X.shape


@pytest.mark.usefixtures("little")
def test_a_network_or_data_too_large_are_refused():
    with pytest.raises(nnx.OutOfMemoryError, match=r"a network of 330,016 parameters takes 2\.518 MiB"):
        network(10_000).build(16)
    wide = np.zeros((4000, 100), np.int16)
    with pytest.raises(nnx.OutOfMemoryError, match=r"x of shape \(4000, 100\) in float32 takes 1.526 MiB"):
        nnx.Network([nnx.Dense(1)], seed=0).fit(
            wide, wide[:, 0], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD()
        )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_DATA")
def test_a_system_that_refuses_memory_is_explained():
    """The limit is one that only asking for memory finds."""
    code = (
        "import resource, numpy as np, nnx\n"
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
    assert done.stdout.splitlines() == [
        "a batch of 10,000 rows takes 4.9 GiB of memory, which is refused: lower batch_size", "(10000, 1)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("meminfo", "limits", "expected"),
    [
        ("MemAvailable:    1000 kB\nSwapFree:          24 kB\n", [], 2**20),
        ("MemAvailable:    1000 kB\nSwapFree:          24 kB\n", ["max\n"], 2**20),
        ("MemAvailable:    1000 kB\nSwapFree:          24 kB\n", ["4096\n"], 4096),
        ("nothing known", ["4096\n"], 4096),
        ("nothing known", [], None),
    ],
)
def test_what_is_left_is_asked_of_the_system(tmp_path, monkeypatch, meminfo, limits, expected):
    (tmp_path / "meminfo").write_text(meminfo)
    for number, text in enumerate(limits):
        (tmp_path / str(number)).write_text(text)
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(host_memory, "LIMITS", [tmp_path / "0", tmp_path / "absent"])
    assert host_memory.free() == expected


def test_sizes_have_units():
    assert [host_memory.size(n) for n in (12, 2048, 3 * 2**20, 5 * 2**40)] == [
        "12 bytes", "2 KiB", "3 MiB", "5120.0 GiB",
    ]  # fmt: skip
