"""Every way to feed data gives the same numbers and the same training."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from support.fed import PIXELS, autoencoder, fit, floats
from support.places import JOBS

import nnx
from nnx import datasets
from nnx.backends.numpy_backend import NumpyBackend
from nnx.backends.staging import Staging
from nnx.data import samples

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 3, 300)


def assert_same(one, other):
    """Bit for bit."""
    (weights, history), (others, other_history) = one, other
    assert history.metrics == other_history.metrics
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


# ------------------------------------------------------------------------------------ bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [32, 300])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("width", [8, 200])  # the narrow one may run as one compiled loop
def test_bytes_train_as_their_floats_do(device, dtype, batch_size, width):
    kept = fit(autoencoder(device, dtype, width), nnx.Rows(PIXELS, divisor=255), batch_size=batch_size)
    assert_same(kept, fit(autoencoder(device, dtype, width), floats(dtype), batch_size=batch_size))


def test_plain_bytes_are_the_numbers_they_are():
    """Nothing is divided that nobody asked to divide."""
    options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(1e-4)}
    assert_same(fit(autoencoder(), PIXELS, **options), fit(autoencoder(), PIXELS.astype("f4"), **options))
    np.testing.assert_array_equal(autoencoder().predict(PIXELS), autoencoder().predict(PIXELS.astype("f4")))


def test_bytes_with_weights_validation_and_separate_targets():
    def classifier():
        layers = [nnx.Dense(24, 8), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
        return nnx.Network(layers, device="numpy", seed=0)

    options = {
        "loss": nnx.CategoricalCrossEntropy(), "validation": 0.25, "metrics": ["accuracy"],
        "sample_weight": RNG.random(300), "y": LABELS,
    }  # fmt: skip
    assert_same(
        fit(classifier(), nnx.Rows(PIXELS, divisor=255), **options), fit(classifier(), floats(), **options)
    )
    noisy = np.clip(floats() + 0.1, 0, 1)
    targets = nnx.Rows(PIXELS, divisor=255)
    assert_same(fit(autoencoder(), noisy, targets), fit(autoencoder(), noisy, floats()))


def test_bytes_are_augmented_as_floats():
    def augment(generator, x, y):
        assert x.dtype == np.float32
        noisy = np.clip(x + generator.normal(0, 0.1, x.shape), 0, 1).astype(x.dtype)
        return noisy, y

    rows = nnx.Rows(PIXELS, divisor=255)
    assert_same(fit(autoencoder(), rows, augment=augment), fit(autoencoder(), floats(), augment=augment))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_are_predicted_and_evaluated_as_floats(dtype):
    network, rows = autoencoder(dtype=dtype), nnx.Rows(PIXELS, divisor=255)
    np.testing.assert_array_equal(network.predict(rows), network.predict(floats(dtype)))
    options = {"loss": nnx.BinaryCrossEntropy(), "metrics": ["mse"]}
    assert network.evaluate(rows, rows, **options) == network.evaluate(
        floats(dtype), floats(dtype), **options
    )


def test_mnist_is_trained_on_as_bytes():
    """47 MB instead of 188, of the same values; a changed copy of the data set forgets the bytes."""
    data = datasets.load("auto", on_fallback=pytest.skip)
    rows = data.for_training(5000)
    assert isinstance(rows, nnx.Rows)
    assert rows.kept == np.uint8
    np.testing.assert_array_equal(np.asarray(rows), data.x_train[:5000])
    changed = dataclasses.replace(data, x_train=data.x_train[::-1])
    np.testing.assert_array_equal(changed.for_training(), changed.x_train)


# ----------------------------------------------------------------------------------- shards


def test_unshuffled_shards_train_as_one_array():
    shards = nnx.Rows([PIXELS[:100], PIXELS[100:110], PIXELS[110:]], divisor=255)
    assert_same(fit(autoencoder(), shards, shuffle=False), fit(autoencoder(), floats(), shuffle=False))


# --------------------------------------------------------------------------------- streamed


@pytest.fixture
def everything_streamed(monkeypatch):
    """Files of any size are read batch by batch."""
    monkeypatch.setattr(samples, "READ_WHOLE", 0)


def saved(folder, x, cuts=(100, 110)):
    """Shards of x in a folder, as `open_rows` gives them back."""
    folder.mkdir()
    for number, part in enumerate(np.split(x, cuts)):
        np.save(folder / f"{number:03}.npy", part)
    return datasets.open_rows(folder)


@pytest.mark.usefixtures("everything_streamed")
@pytest.mark.parametrize("stored", ["uint8", "float32", ">f4", "float64", "int16"])
@pytest.mark.parametrize("batch_size", [32, 300])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_streamed_data_train_as_data_in_memory(tmp_path, stored, batch_size, device):
    options = {"loss": nnx.MeanSquaredError(), "batch_size": batch_size}
    x = PIXELS.astype(stored)
    shards = saved(tmp_path / "x", x)
    assert shards.mapped
    kept = nnx.Rows(np.split(x, [100, 110]), shards.divisor)
    assert not kept.mapped
    wide = {"width": 200}  # not trained as a compiled loop, which wants all of the data
    assert_same(
        fit(autoencoder(device, **wide), shards, **options), fit(autoencoder(device, **wide), kept, **options)
    )


@pytest.mark.usefixtures("everything_streamed")
def test_a_mapped_array_trains_as_its_copy(tmp_path):
    """One array has one shuffle, wherever it lies."""
    np.save(tmp_path / "x.npy", floats())
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_same(fit(autoencoder(), x), fit(autoencoder(), floats()))


@pytest.mark.usefixtures("everything_streamed")
def test_streamed_labels_weights_validation_and_augmentation(tmp_path):
    def classifier():
        layers = [nnx.Dense(24, 8), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
        return nnx.Network(layers, device="numpy", seed=0)

    def augment(generator, x, y):
        return (x + generator.normal(0, 0.1, x.shape)).astype(x.dtype), y

    x, labels = saved(tmp_path / "x", PIXELS), saved(tmp_path / "y", LABELS)
    kept = nnx.Rows(np.split(PIXELS, [100, 110]), 255)
    assert labels.shape == (300,)
    options = {"loss": nnx.CategoricalCrossEntropy(), "sample_weight": RNG.random(300)}
    for more in (
        {"validation": 0.25, "metrics": ["accuracy"]}, {"augment": augment}, {"shuffle": False},
        {"validation": (x, labels)},
    ):  # fmt: skip
        streamed = fit(classifier(), x, labels, **options, **more)
        assert_same(streamed, fit(classifier(), kept, LABELS, **options, **more))


@pytest.mark.usefixtures("everything_streamed")
def test_streamed_data_are_predicted_and_evaluated(tmp_path):
    network, x = autoencoder(), saved(tmp_path / "x", PIXELS)
    np.testing.assert_array_equal(network.predict(x), network.predict(floats()))
    options = {"loss": nnx.BinaryCrossEntropy(), "metrics": ["mse"]}
    assert network.evaluate(x, x, **options) == network.evaluate(floats(), floats(), **options)


@pytest.mark.usefixtures("everything_streamed")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (np.nan, "x has a value that is NaN or infinite, first in row 200"),
        (1.5, r"targets must lie in \[0, 1\], found values .* to 1.5"),
    ],
)
def test_what_is_wrong_in_a_file_is_found_when_it_is_read(tmp_path, spoil, words):
    """The batches before it have been trained on, and the thread that met it has ended."""
    x = floats()
    x[200, 3] = spoil
    network = autoencoder()
    before = network.build(24).weights()
    with pytest.raises(nnx.DataError, match=words):
        fit(network, saved(tmp_path / "x", x), shuffle=False)
    after = network.weights()
    assert all(np.isfinite(value).all() for value in after.values())
    assert any((value != before[name]).any() for name, value in after.items())
    assert not reading()
    if np.isnan(spoil):
        with pytest.raises(nnx.DataError, match=words):
            network.evaluate(*2 * [datasets.open_rows(tmp_path / "x")], loss=nnx.MeanSquaredError())


def reading():
    """The threads that read ahead."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("nnx-reader")]


@pytest.mark.usefixtures("everything_streamed")
def test_an_interrupt_ends_the_thread_that_reads(tmp_path):
    class Interrupt(nnx.Callback):
        def on_step_end(self, run):
            if run.step == 3:
                assert reading()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(autoencoder(), saved(tmp_path / "x", PIXELS), callbacks=[Interrupt()])
    assert not reading()


@pytest.mark.usefixtures("everything_streamed")
def test_a_fault_in_a_streamed_batch_is_explained_from_that_batch(tmp_path):
    x = np.ones((96, 24), np.float32)
    x[40:] = 1e30
    shards, options = saved(tmp_path / "x", x, [50]), {"loss": nnx.MeanSquaredError(), "shuffle": False}
    with pytest.raises(nnx.TrainingError, match="epoch 1, batch 2: the loss is inf") as streamed:
        fit(autoencoder(), shards, **options)
    with pytest.raises(nnx.TrainingError) as kept:
        fit(autoencoder(), x, **options)
    assert str(streamed.value) == str(kept.value)


def test_small_files_are_read_at_once(tmp_path):
    """So a small network may still be trained as one compiled loop; the shards' order stays."""
    shards = saved(tmp_path / "x", PIXELS)
    checked = samples.check_rows(shards, "x", "float32")
    assert not checked.mapped
    assert checked.blocks == (100, 10, 190)
    assert_same(fit(autoencoder("cpu"), shards), fit(autoencoder("cpu"), checked))


# ----------------------------------------------------------------------------------- memory

LIMIT = 208 * 2**20  # bytes of memory that a process may ask for; the data are 256 MiB


def limited(folder, way, limit):
    command = [sys.executable, str(JOBS / "limited.py"), str(folder), way, str(limit)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # each more takes some of the memory
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_DATA does not count what is mapped")
def test_data_larger_than_memory_are_trained_on(tmp_path):
    """Under a limit at which they cannot be loaded, and to the same losses as without one."""
    generator = np.random.default_rng(0)
    for number in range(8):
        np.save(tmp_path / f"{number}.npy", generator.random((2**15, 256), dtype=np.float32))
    failed = limited(tmp_path, "loaded", LIMIT)
    assert failed.returncode == 1
    assert "MemoryError" in failed.stderr
    mapped, loaded = limited(tmp_path, "mapped", LIMIT), limited(tmp_path, "loaded", 0)
    assert mapped.returncode == 0, mapped.stderr
    assert json.loads(mapped.stdout)[2] == 2**28 > LIMIT
    assert mapped.stdout == loaded.stdout


# --------------------------------------------------------------------- a device that is apart


class Apart(Staging):
    """A host buffer that must not be written before the device has taken what was sent."""

    def __init__(self, shape, dtype):
        super().__init__(shape, dtype)
        self.device, self.buffer, self.busy = self.host.copy(), self.host, False

    def send(self, rows):
        self.device[:rows] = self.buffer[:rows]
        self.buffer[:rows] = 99  # the host's copy is worth nothing any more
        self.busy = True
        return self.device[:rows]

    def wait(self):
        self.busy = False

    @property
    def host(self):
        assert not self.busy
        return self.buffer

    @host.setter
    def host(self, buffer):
        self.busy, self.buffer = False, buffer


class SmallDevice(NumpyBackend):
    """One that has no room for the data, as a GPU may."""

    def holds(self, nbytes, in_memory):
        assert nbytes == PIXELS.nbytes
        return False

    def staging(self, shape, dtype):
        assert dtype == np.uint8  # a quarter of what floats would take on the way
        return Apart(shape, dtype)


def test_data_in_memory_that_do_not_fit_on_the_device_are_streamed():
    rows = nnx.Rows(PIXELS, divisor=255)
    assert_same(fit(autoencoder(SmallDevice()), rows), fit(autoencoder(), rows))
