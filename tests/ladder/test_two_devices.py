"""With two stand-ins for GPUs, all work for ``gpu:1`` runs there, whichever device is current."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import nnx
from nnx.gradcheck import CASES

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 40)]


def network(device, **options):
    layers = [
        nnx.Dense(5, 8), nnx.BatchNorm(), nnx.GELU(), nnx.Dropout(0.2), nnx.Dense(6), nnx.LayerNorm(),
        nnx.Dense(3, activation="relu"), nnx.Dense(3), nnx.Softmax(),
    ]  # fmt: skip
    return nnx.Network(layers, device=device, **{"seed": 0, **options})


def fit(trained, **options):
    defaults = {
        "loss": nnx.CategoricalCrossEntropy(), "optimizer": nnx.Adam(0.01, clip_norm=1.0), "epochs": 3,
        "batch_size": 16, "validation": 0.2,
    }  # fmt: skip
    return trained.fit(X, Y, **(defaults | options))


@pytest.fixture(params=[0, 1], ids=["device 0 is current", "device 1 is current"])
def elsewhere(request):
    """The device that is current when nnx is called: it must not matter, and must be so afterwards."""
    with cupy.cuda.Device(request.param):
        yield
        assert cupy.cuda.Device().id == request.param


@pytest.fixture(scope="module")
def expected():
    """What training gives on the CPU.

    In float64: the gradient of a bias before `BatchNorm` is only rounding, and Adam makes whole steps of it.
    """
    trained = network("cpu", dtype="float64")
    return fit(trained).metrics, trained.predict(X)


def optimizers():
    return [
        nnx.SGD(0.1), nnx.SGD(0.1, momentum=0.9), nnx.Adam(0.01, l2=0.1, clip_norm=1.0, clip_value=0.5),
        nnx.AdamW(0.01), nnx.RMSprop(0.01, momentum=0.9), nnx.Adagrad(0.1),
    ]  # fmt: skip


def test_training_stays_on_its_device(elsewhere, expected):
    with cupy.recorded() as log:
        trained = network("gpu:1", dtype="float64")
        history = fit(trained)
        predicted = trained.predict(X)
        scores = trained.evaluate(X, Y, loss=nnx.CategoricalCrossEntropy())
    assert log.devices() == {1}
    assert trained.device == "gpu:1"
    for name, values in expected[0].items():
        np.testing.assert_allclose(history.metrics[name], values, rtol=1e-9)
    np.testing.assert_allclose(predicted, expected[1], atol=1e-9)
    assert np.isfinite(scores["loss"])


@pytest.mark.parametrize("optimizer", optimizers(), ids=repr)
def test_every_optimizer_stays_there(elsewhere, optimizer):
    with cupy.recorded() as log:
        fit(network("gpu:1"), optimizer=optimizer, sample_weight=np.linspace(0.5, 1.5, 40))
    assert log.devices() == {1}


def test_the_hand_written_loop_stays_there(elsewhere):
    with cupy.recorded() as log:
        trained, loss, optimizer = network("gpu:1"), nnx.CategoricalCrossEntropy(), nnx.Adam(0.01)
        x, y = trained.asarray(X), trained.asarray(Y)
        for _ in range(3):
            y_pred = trained.forward(x, training=True)
            value = float(loss(y, y_pred))
            trained.backward(loss.gradient(y, y_pred))
            optimizer.step(trained)
        assert all(gradient.device.id == 1 for _, _, gradient in trained.parameters())
    assert np.isfinite(value)
    assert log.devices() == {1}


def test_files_copies_and_moves_land_where_they_were_asked_to(elsewhere, tmp_path, expected):
    trained = network("gpu:1")
    optimizer = nnx.Adam(0.01, clip_norm=1.0)
    fit(trained, optimizer=optimizer)
    reference = trained.predict(X)
    with cupy.recorded() as log:
        trained.save(tmp_path / "m.safetensors")
        same = trained.copy()
        np.testing.assert_array_equal(same.predict(X), reference)
    assert log.devices() == {1}
    with cupy.recorded() as log:
        back = nnx.load(tmp_path / "m.safetensors", device="gpu:0")
        np.testing.assert_array_equal(back.predict(X), reference)
    assert log.devices() == {0}
    with cupy.recorded() as log:  # from one device to the other by way of the host
        trained.to("gpu:0")
    assert {event.device for event in log if event.kind in ("alloc", "h2d")} == {0}
    assert {event.device for event in log if event.kind == "d2h"} == {1}
    with cupy.recorded() as log:
        fit(trained, optimizer=optimizer)
        np.testing.assert_array_equal(trained[:3].predict(X), trained[:3].predict(X))
    assert log.devices() == {0}
    trained.to("cpu")
    with cupy.recorded() as log:
        fit(trained, optimizer=optimizer)
    assert log == []
    assert trained.to("gpu:1").device == "gpu:1"


def test_memory_that_is_no_longer_needed_is_freed():
    def used():
        gc.collect()
        found = []
        for index in (0, 1):
            with cupy.cuda.Device(index):
                found.append(cupy.get_default_memory_pool().used_bytes())
        return found

    fit(network("gpu:1"))
    before = used()
    trained = network("gpu:1")
    fit(trained)
    trained.to("gpu:0")
    assert used()[1] == before[1]
    assert used()[0] > before[0]
    del trained
    assert used() == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_are_checked_there(case):
    with cupy.recorded() as log:
        case.check(nnx.resolve("gpu:1")).raise_if_failed()
    assert log.devices() == {1}


def test_an_array_of_the_other_device_is_refused():
    trained = network("gpu:1")
    with cupy.cuda.Device(0):
        stranger = cupy.asarray(X)
    with pytest.raises(nnx.DeviceError, match=r"x lies on gpu:0, but .* gpu:1: network\.to\('gpu:0'\)"):
        trained.asarray(stranger)
    with pytest.raises(nnx.DataError, match=r"x lies on gpu:0, but .* gpu:1: network\.to\('gpu:0'\)"):
        trained.forward(stranger)


def test_its_buffers_are_found_whichever_device_is_current():
    """A recorded step keeps them."""
    backend = nnx.resolve("gpu:1")
    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        with backend.hold():
            made = backend._buffer("for this test", 3, "float32")
        with cupy.cuda.Device(0):
            assert any(one is made for one in backend.buffers())


def test_threads_that_share_two_devices_give_the_numbers_of_one():
    alone = {device: fit(network(device)).metrics for device in ("gpu:0", "gpu:1")}
    assert alone["gpu:0"] == alone["gpu:1"]
    found, faults = {}, []

    def work(number):
        try:
            device = f"gpu:{number % 2}"
            found[number] = fit(network(device)).metrics
            assert cupy.cuda.Device().id == 0
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert all(metrics == alone["gpu:0"] for metrics in found.values())


def test_a_device_that_is_full_leaves_the_network_where_it_was():
    trained = network("gpu:1")
    reference = trained.predict(X)
    gc.collect()  # what earlier tests left is no part of it
    with cupy.cuda.Device(0):
        pool = cupy.get_default_memory_pool()
        pool.set_limit(size=pool.used_bytes() + 1024)
    try:
        with pytest.raises(nnx.DeviceError, match="gpu:0 is out of memory"):
            trained.to("gpu:0")
        with pytest.raises(nnx.DeviceError, match="gpu:0 is out of memory"):
            network("gpu:0")
    finally:
        with cupy.cuda.Device(0):
            pool.set_limit(size=0)
    assert trained.device == "gpu:1"
    np.testing.assert_array_equal(trained.predict(X), reference)
