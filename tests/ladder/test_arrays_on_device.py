"""Arrays that lie on a GPU: used there, checked there with one read, answered in kind; on the stand-in."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import nnx
from nnx.data.checking import check_samples

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

RNG = np.random.default_rng(0)
ROWS, FEATURES, CLASSES = 600, 20, 4
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
BYTES = RNG.integers(0, 256, (ROWS, FEATURES), dtype=np.uint8)
LABELS = RNG.integers(0, CLASSES, ROWS)
DENSE = np.eye(CLASSES, dtype=np.float32)[LABELS]
WEIGHTS = RNG.uniform(0.5, 1.5, ROWS).astype(np.float32)
CROSS_ENTROPY = nnx.CategoricalCrossEntropy()


class OfAnotherLibrary:
    """An array of a library that shares its memory by DLPack, such as PyTorch's."""

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def network(device="gpu", dtype="float32"):
    layers = [nnx.Dense(FEATURES, 16), nnx.ReLU(), nnx.Dropout(0.1), nnx.Dense(CLASSES), nnx.Softmax()]
    return nnx.Network(layers, device=device, seed=0, dtype=dtype)


def fit(one, x, y, **options):
    options = {"loss": CROSS_ENTROPY, "optimizer": nnx.Adam(0.01), "epochs": 2, "batch_size": 64} | options
    return one.fit(x, y, **options)


def same(one, other):
    assert one.weights().keys() == other.weights().keys()
    for name, value in one.weights().items():
        np.testing.assert_array_equal(value, other.weights()[name], err_msg=name)


# ----------------------------------------------------------------- what is copied

READ = 4 * 8  # the smallest and largest value of x and of y
ORDERED = lambda x: cupy.asarray(np.asfortranarray(x))  # noqa: E731
KINDS = {  # how x is given; bytes to the GPU, bytes of copies within it
    "host": (lambda: X, X.nbytes, 0),
    "cupy": (lambda: cupy.asarray(X), 0, 0),
    "cupy, a view": (lambda: cupy.asarray(np.vstack([X, X]))[ROWS:], 0, 0),
    "dlpack": (lambda: OfAnotherLibrary(cupy.asarray(X)), 0, 0),
    "bytes": (lambda: cupy.asarray(BYTES), 0, 0),
    "float64": (lambda: cupy.asarray(X.astype(np.float64)), 0, X.nbytes),
    "integers": (lambda: cupy.asarray(BYTES.astype(np.int64)), 0, X.nbytes),
    "columns first": (lambda: cupy.asarray(np.ascontiguousarray(X.T)).T, 0, X.nbytes),
}


@pytest.mark.parametrize(("give", "up", "within"), KINDS.values(), ids=list(KINDS))
def test_what_is_copied(give, up, within):
    x, y = give(), cupy.asarray(LABELS)
    host = isinstance(x, np.ndarray)
    one = network()
    with cupy.recorded() as log:
        samples = check_samples(one, CROSS_ENTROPY, x, LABELS if host else y)
    downloads = [] if host else [READ]
    assert [event.size for event in log if event.kind == "d2h"] == downloads
    assert log.count("h2d") == 0
    large = [event for event in log if event.kind == "alloc" and event.size >= X.nbytes // 2]
    assert sum(event.size for event in large) == -(-within // 512) * 512
    with cupy.recorded() as log:
        fit(one, x, LABELS if host else y, epochs=3)
    ups = [event.size for event in log if event.kind == "h2d"]
    tables = ups[-3:]  # of each epoch: the order, and the few other numbers of its steps
    assert ups[:-3] == ([up, LABELS.nbytes] if up else [])  # the data
    assert all(8 * ROWS < size <= 8 * ROWS + 1024 for size in tables)
    assert len(samples) == ROWS


@pytest.mark.parametrize(
    ("given", "own", "waits"),
    [(lambda: cupy.asarray(X), False, 0), (lambda: cupy.asarray(BYTES), False, 1),
     (lambda: cupy.asarray(X).T, False, 1), (lambda: cupy.asarray(BYTES), True, 0)],
    ids=["the same memory", "another type", "another order", "cupy"],
)  # fmt: skip
def test_an_array_of_another_library_has_been_read_when_its_copy_is_returned(given, own, waits):
    """Its memory may be used again as soon as nobody holds it."""
    x = given() if own else OfAnotherLibrary(given())
    with cupy.recorded() as log:
        nnx.resolve("gpu").asarray(x, "float32")
    assert log.count("wait") == waits


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_labels_of_int64_are_not_copied(dtype):
    y = cupy.asarray(LABELS.astype(dtype))
    samples = check_samples(network(), CROSS_ENTROPY, cupy.asarray(X), y)
    assert (samples.y.data is y) == (dtype == "int64")
    np.testing.assert_array_equal(samples.targets(), LABELS)


def test_weights_are_read_once_and_host_targets_are_sent_once():
    x = cupy.asarray(X)
    with cupy.recorded() as log:
        check_samples(network(), CROSS_ENTROPY, x, LABELS, cupy.asarray(WEIGHTS))
    assert [event.size for event in log if event.kind == "d2h"] == [6 * 8, WEIGHTS.nbytes]
    one = network()
    with cupy.recorded() as log:
        check_samples(one, CROSS_ENTROPY, x, LABELS, WEIGHTS)
    assert [event.size for event in log if event.kind == "h2d"] == [LABELS.nbytes, WEIGHTS.nbytes]


def steps(give, **weights):
    """What happens in the steps of an epoch but the first, with the data as `give` makes them."""
    ends = []

    class Ends(nnx.Callback):
        def on_step_end(self, run):
            ends.append(len(log))

    one, given = network(), {name: give(value) for name, value in weights.items()}
    x, y = give(X), give(DENSE)
    with cupy.recorded() as log:
        fit(one, x, y, epochs=1, batch_size=100, callbacks=[Ends()], graph=False, **given)
    return log[ends[0] : ends[-1]]


def test_a_step_only_launches_as_with_data_that_fit_uploads():
    found = steps(cupy.asarray)
    assert {event.kind for event in found} == {"launch"}
    assert found == steps(np.asarray)
    assert steps(cupy.asarray, sample_weight=WEIGHTS) == steps(np.asarray, sample_weight=WEIGHTS)


# ----------------------------------------------------------------- the same numbers

OPTIONS = {
    "labels": {},
    "dense targets": {"y": DENSE},
    "weights": {"sample_weight": WEIGHTS},
    "validation": {"validation": (X, LABELS, WEIGHTS), "metrics": ["accuracy"]},
    "a share": {"validation": 0.25, "metrics": ["accuracy"], "sample_weight": WEIGHTS},
    "one batch": {"batch_size": ROWS},
    "a small last batch": {"batch_size": 97, "shuffle": False},
    "bytes": {"x": BYTES},
    "float64": {"x": X.astype(np.float64)},
    "a squared error": {"y": DENSE, "loss": nnx.MeanSquaredError()},
    "bytes as targets": {"x": BYTES, "y": BYTES[:, :CLASSES], "loss": nnx.MeanSquaredError()},
    "augmented": {"augment": lambda generator, x, y: (x + generator.normal(size=x.shape).astype("f4"), y)},
}


def sent(value):
    if isinstance(value, tuple):
        return tuple(map(sent, value))
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_training_is_that_on_host_data(options):
    host = {"x": X, "y": LABELS} | options
    a, b = network(), network()
    on_host = fit(a, **host)
    on_device = fit(b, **{name: sent(value) for name, value in host.items()})
    assert on_host.metrics == on_device.metrics
    same(a, b)


def test_an_autoencoder_s_rows_are_gathered_once_also_if_some_are_held_out():
    """In each step, one launch brings a batch, and not another one the same batch as targets."""
    one = nnx.Network([nnx.Dense(FEATURES, 5), nnx.Dense(FEATURES)], device="gpu", seed=0)
    for validation in (None, 0.2):
        x = cupy.asarray(X)
        with cupy.recorded() as log:
            fit(one, x, x, loss="mse", epochs=1, batch_size=60, validation=validation, graph=False)
        steps = ROWS // 60 * (4 if validation else 5) // 5
        assert sum("gather" in event.name for event in log) == steps


def test_an_autoencoder_s_data_are_there_once_and_stay_as_they_were():
    def autoencoder():
        return nnx.Network([nnx.Dense(FEATURES, 5), nnx.Dense(FEATURES)], device="gpu", seed=0)

    a, b = autoencoder(), autoencoder()
    options = {"loss": nnx.MeanSquaredError(), "epochs": 2, "validation": 0.2}
    x = cupy.asarray(X)
    fit(a, X, X, **options)
    fit(b, x, x, **options)
    same(a, b)
    np.testing.assert_array_equal(x.get(), X)
    samples = check_samples(b, nnx.MeanSquaredError(), x, x)
    assert samples.y is samples.x
    assert samples.x.data is x


def test_rounding_outside_0_and_1_is_moved_inside():
    y = DENSE.copy()
    y[0, LABELS[0]] = np.float32(1.0 + 5e-7)
    a, b = network(), network()
    fit(a, X, y)
    fit(b, cupy.asarray(X), cupy.asarray(y))
    same(a, b)


# ----------------------------------------------------------------- answers in kind


@pytest.mark.parametrize("give", [cupy.asarray, lambda x: OfAnotherLibrary(cupy.asarray(x))])
def test_gpu_data_give_gpu_answers(give):
    one, x = network(), give(X)
    expected = one.predict(X)
    assert isinstance(expected, np.ndarray)
    one.predict(x, batch_size=256)  # the first product of a shape is a test, which the host reads
    with cupy.recorded() as log:
        found = one.predict(x, batch_size=256)
        again = one(x)
    assert isinstance(found, cupy.ndarray)
    assert {event.kind for event in log} <= {"launch", "copy", "alloc", "wait"}  # the host reads nothing
    # another library may use its memory again as soon as nobody holds x: it must have been read by then
    waits = 0 if isinstance(x, cupy.ndarray) else 1
    assert log.count("wait") == 2 * waits
    with cupy.recorded() as log:
        one.input_gradient(x, output=0)
    assert [event.kind for event in log][-1:].count("wait") == waits
    np.testing.assert_allclose(found.get(), expected, atol=1e-6)
    np.testing.assert_array_equal(again.get(), expected)
    np.testing.assert_array_equal(one.predict(cupy.asarray(BYTES)).get(), one.predict(BYTES))


def test_evaluate_reads_only_what_it_answers():
    one = network()
    x, y, weights = cupy.asarray(X), cupy.asarray(LABELS), cupy.asarray(WEIGHTS)
    expected = one.evaluate(X, LABELS, loss=CROSS_ENTROPY, metrics=["accuracy"], sample_weight=WEIGHTS)
    assert one.evaluate(x, y, loss=CROSS_ENTROPY, metrics=["accuracy"], sample_weight=weights) == expected
    with cupy.recorded() as log:
        one.evaluate(x, y, loss=CROSS_ENTROPY)
    assert log.count("h2d") == 0
    assert [event.size for event in log if event.kind == "d2h"] == [READ, 4]  # the checks, and the loss


def test_a_hand_written_step_takes_arrays_of_another_library():
    one = network()
    x = one.asarray(OfAnotherLibrary(cupy.asarray(X)))
    with cupy.recorded() as log:
        one.asarray(OfAnotherLibrary(cupy.asarray(X)))
    assert log.kinds().keys() == {"alloc", "h2d"}  # those of the test
    one.forward(x, training=True)


def test_losses_take_arrays_of_another_library_and_weights_may_lie_there():
    y, p = cupy.asarray(DENSE), cupy.asarray(np.clip(X[:, :CLASSES], 0.1, 0.9))
    found = CROSS_ENTROPY.gradient(OfAnotherLibrary(y), OfAnotherLibrary(p))
    np.testing.assert_array_equal(found.get(), CROSS_ENTROPY.gradient(y, p).get())
    one, given = network(), {name: value + 1.0 for name, value in network().weights().items()}
    one.set_weights({name: cupy.asarray(value) for name, value in given.items()})
    for name, value in one.weights().items():
        np.testing.assert_array_equal(value, given[name])


# ----------------------------------------------------------------- another device


def refused(call, *words):
    with pytest.raises(nnx.DataError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "forward"])
@pytest.mark.parametrize("device", ["cpu", "gpu:1"])
@pytest.mark.parametrize("give", [cupy.asarray, lambda x: OfAnotherLibrary(cupy.asarray(x))])
def test_data_on_another_device_are_refused_with_the_call_that_moves_them(method, device, give):
    one, x = network(device), give(X)
    calls = {
        "fit": lambda: fit(one, x, LABELS), "evaluate": lambda: one.evaluate(x, LABELS, loss=CROSS_ENTROPY),
        "predict": lambda: one.predict(x), "forward": lambda: one.forward(x),
    }  # fmt: skip
    refused(
        calls[method], "x lies on gpu:0", f"computes on {device}", "network.to('gpu:0')", "cupy.asnumpy(x)"
    )


def test_device_and_type_of_dy_are_checked():
    """Without it, kernels would read and write past their arrays, and an upload would wait for the device."""
    one, dy = network(), DENSE[:5].astype("f8")
    one.forward(one.asarray(X[:5]), training=True)
    refused(lambda: one.backward(dy), "backward takes arrays of gpu:0, not a ndarray on the host",
            "dy = network.asarray(dy)")  # fmt: skip
    with cupy.cuda.Device(1):
        stranger = cupy.asarray(dy)
    refused(lambda: one.backward(stranger), "dy lies on gpu:1, but the network computes on gpu:0")
    one.backward(cupy.asarray(dy))
    converted = one.arena.gradients.get()
    one.backward(cupy.asarray(dy.astype("f4")))
    np.testing.assert_array_equal(converted, one.arena.gradients.get())


@pytest.mark.parametrize("column", ["y", "sample_weight", "validation"])
def test_all_columns_are_looked_at(column):
    with cupy.cuda.Device(1):
        stranger = cupy.asarray(WEIGHTS if column == "sample_weight" else LABELS)
    given = {"x": cupy.asarray(X), "y": cupy.asarray(LABELS)}
    given[column] = (given["x"], stranger) if column == "validation" else stranger
    name = "y" if column == "validation" else column
    refused(lambda: fit(network(), **given), f"{name} lies on gpu:1", "on gpu:0")


def test_targets_on_the_gpu_need_inputs_there():
    y = cupy.asarray(LABELS)
    refused(lambda: fit(network(), X, y), "y lies on gpu:0, but x on the host", "x = cupy.asarray(x)")


def test_the_device_that_was_left_open_is_that_of_the_first_data(monkeypatch):
    monkeypatch.delenv("NNX_DEVICE", raising=False)
    with cupy.cuda.Device(1):
        x, y = cupy.asarray(X), cupy.asarray(LABELS)
    for device in (None, "auto"):
        one = network(device)
        fit(one, x, y)
        assert one.device == "gpu:1"
        two = network(device)
        two.predict(X)
        refused(lambda two=two: two.predict(x), "x lies on gpu:1")  # the first data were on the host
    monkeypatch.setenv("NNX_DEVICE", "gpu:0")
    refused(lambda: network(None).predict(x), "x lies on gpu:1")


# ----------------------------------------------------------------- checks on the device


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


FAULTS = {
    "x": ({"x": changed(X, (7, 3), np.nan)}, "x has a value that is NaN or infinite, first in row 7"),
    "x, too large": ({"x": changed(X.astype("f8"), (9, 0), 1e300)}, "first in row 9: in float32"),
    "y": ({"y": changed(DENSE, (5, 1), np.inf)}, "y has a value that is NaN or infinite, first in row 5"),
    "weights": ({"sample_weight": changed(WEIGHTS, 4, np.nan)}, "sample_weight has a value that is NaN"),
    "a negative weight": ({"sample_weight": changed(WEIGHTS, 4, -1.0)}, "must not hold negative numbers"),
    "no weight": ({"sample_weight": np.zeros(ROWS)}, "at least one must be above 0"),
    "a label": ({"y": changed(LABELS, 3, CLASSES)}, f"labels must lie in [0, {CLASSES - 1}]"),
    "a negative label": ({"y": changed(LABELS, 3, -1)}, "found [-1, 3]"),
    "labels as floats": ({"y": LABELS.astype("f4")}, "labels must be integers, not float32"),
    "targets": ({"y": 2.0 * DENSE}, "must lie in [0, 1], found values from 0 to 2"),
    "rows": ({"y": LABELS[:-1]}, "equally many rows"),
    "columns": ({"y": DENSE[:, :-1]}, "do not fit an output of shape"),
    "the shape of weights": ({"sample_weight": DENSE}, f"must have shape ({ROWS},)"),
    "features": ({"x": X[:, :-1]}, "x has 19 features"),
    "one axis": ({"x": X[:, 0]}, "must have two dimensions"),
    "no row": ({"x": X[:0]}, "none of them may be 0"),
    "complex numbers": ({"x": X.astype("c8")}, "x must hold numbers, not complex64"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "text"), FAULTS.values(), ids=list(FAULTS))
def test_what_is_wrong_is_found_before_a_step_and_said_as_on_the_host(given, text):
    host = {"x": X, "y": LABELS} | given
    device = {name: cupy.asarray(value) for name, value in host.items()}
    one = network()
    before = one.weights()
    with pytest.raises(nnx.DataError) as on_host:
        fit(network("cpu"), **host)
    with cupy.recorded() as log, pytest.raises(nnx.DataError) as on_device:
        fit(one, **device)
    assert text in str(on_device.value)
    assert str(on_device.value) == str(on_host.value)
    assert not any("loss" in event.name or "entropy" in event.name for event in log)
    for name, value in one.weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("loss", [nnx.Hinge(), nnx.SquaredHinge()], ids=repr)
@pytest.mark.parametrize(
    "y", [[-1, 0, 1], [0.0, 0.5, 1.0], [0, 1, 2], [-1, 0, 0], [0, 1, 1], [-1, 1, 1]], ids=repr
)
def test_a_loss_of_two_values_refuses_what_lies_between_them_as_on_the_host(loss, y):
    told, y = [], np.resize(np.array(y, np.float32), (ROWS, 1))
    for give in (np.asarray, cupy.asarray):
        one = nnx.Network([nnx.Dense(FEATURES, 1)], device="gpu", seed=0)
        with cupy.recorded() as log:
            try:
                told.append(fit(one, give(X), give(y), loss=loss, epochs=1).metrics)
            except nnx.DataError as error:
                told.append(str(error))
                reads = [event.size for event in log if event.kind == "d2h"]
                assert reads == ([] if give is np.asarray else [READ + 8])
    assert told[0] == told[1]
    assert isinstance(told[0], str) == (set(y.flat) not in ({0, 1}, {-1, 1}))


def test_labels_of_a_loss_of_two_values_must_be_integers():
    one = nnx.Network([nnx.Dense(FEATURES, CLASSES)], device="gpu", seed=0)
    for y in (LABELS.astype("f4"), LABELS > 1):
        refused(lambda y=y: fit(one, cupy.asarray(X), cupy.asarray(y), loss="hinge"), "do not fit an output")


def test_labels_are_refused_after_one_read():
    x, y = cupy.asarray(X), cupy.asarray(changed(LABELS, 3, CLASSES))
    with cupy.recorded() as log, pytest.raises(nnx.DataError):
        fit(network(), x, y)
    assert [event.size for event in log if event.kind == "d2h"] == [READ]


def test_a_label_beyond_int64_is_out_of_range():
    y = cupy.asarray(changed(LABELS.astype(np.uint64), 3, 2**64 - 1))
    refused(lambda: fit(network(), cupy.asarray(X), y), "labels must lie in [0, 3]")


def test_a_loss_with_checks_of_its_own_gets_targets_on_the_host():
    seen = []

    class Own(nnx.MeanSquaredError):
        def check_targets(self, y, features):
            super().check_targets(y, features)
            seen.append(y)

    fit(network(), cupy.asarray(X), cupy.asarray(DENSE), loss=Own())
    np.testing.assert_array_equal(seen[0], DENSE)


# ----------------------------------------------------------------- streams and checkpoints


def test_everything_runs_on_the_callers_stream():
    host = network()
    fit(host, X, LABELS, validation=(X, LABELS))
    with cupy.cuda.Stream(non_blocking=True):
        one = network()
        x, y = cupy.asarray(X), cupy.asarray(LABELS)
        fit(one, x, y, validation=(x, y))
        result = one.evaluate(x, y, loss=CROSS_ENTROPY)
        predicted = one.predict(x) + 0.0
        np.testing.assert_array_equal(predicted.get(), host.predict(X))
    assert result == host.evaluate(X, LABELS, loss=CROSS_ENTROPY)
    same(one, host)


def test_dlpack_waits_for_the_stream_that_computes_the_array():
    one = network()
    with cupy.cuda.Stream(non_blocking=True):
        x = cupy.asarray(X) + 0.0
    with pytest.raises(RuntimeError, match="another stream may still be writing"):
        one.predict(x)  # nothing says that it is ready: with CuPy alone, this is the caller's task
    one.predict(OfAnotherLibrary(x))


def test_one_thread_may_use_two_streams_without_a_wait():
    """Two networks share a thread's memory for sums and counts, but not that of a stream."""
    alone, streams = network(), [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    twins = []
    for stream in streams:
        with stream:
            twins.append((network(), cupy.asarray(X), cupy.asarray(LABELS), nnx.Adam()))

    def step(one, x, y, optimizer):
        predicted = one.forward(x, training=True)
        value = CROSS_ENTROPY(y, predicted)
        one.backward(CROSS_ENTROPY.gradient(y, predicted))
        optimizer.step(one)
        return value

    values = []
    for _ in range(3):
        for stream, twin in zip(streams, twins, strict=True):
            with stream:
                values.append(step(*twin))
    for stream in streams:
        stream.synchronize()
    x, y, optimizer = cupy.asarray(X), cupy.asarray(LABELS), nnx.Adam()
    expected = [step(alone, x, y, optimizer).copy() for _ in range(3)]
    assert [float(value) for value in values] == [float(value) for value in expected for _ in twins]
    for one, *_ in twins:
        same(one, alone)


def test_one_network_may_be_used_on_one_stream_after_another():
    """Its passes share memory, so the second waits for the first: nobody else puts them in order."""
    one, x, labels = network(), cupy.asarray(X), cupy.asarray(LABELS)
    expected = one.predict(X)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    cupy.cuda.Device(0).synchronize()  # x is there
    answers = []
    for stream in streams:
        with stream:
            answers.append(one.predict(x))
    for stream, answer in zip(streams, answers, strict=True):
        with stream:
            np.testing.assert_array_equal(answer.get(), expected)
    twin = network()
    with streams[0]:
        fit(one, x, labels)
    fit(twin, X, LABELS)
    with streams[1], cupy.recorded() as log:
        first = one.predict(x)
        waits = log.count("wait")
        one.predict(x)
        assert log.count("wait") == waits  # only where the stream is another one
        np.testing.assert_array_equal(first.get(), twin.predict(X))


@pytest.mark.parametrize(("address", "waits"), [(0, 0), (2, 1)], ids=["the default", "each thread's own"])
def test_one_network_may_be_used_by_threads_with_streams_of_their_own(monkeypatch, address, waits):
    """The default streams of threads have one address, but are several."""
    backend, one = nnx.resolve("gpu"), network()
    monkeypatch.setattr(backend, "_stream", lambda: address)
    with cupy.recorded() as log:
        for _ in range(2):
            backend.in_order(one.arena)
        thread = threading.Thread(target=backend.in_order, args=(one.arena,))
        thread.start()
        thread.join()
    assert log.count("wait") == waits


def test_a_run_resumes_with_the_data_on_either_side(tmp_path):
    x, y = cupy.asarray(X), cupy.asarray(LABELS)
    uninterrupted, half, whole = network(), network(), network()
    fit(uninterrupted, X, LABELS, epochs=4)
    fit(half, x, y, epochs=2, checkpoint=nnx.Checkpoint(tmp_path))
    fit(whole, X, LABELS, epochs=4, checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    same(whole, uninterrupted)
    with pytest.raises(nnx.ConfigurationError, match="training data"):
        fit(network(), x + 1.0, y, epochs=5, checkpoint=nnx.Checkpoint(tmp_path, resume=True))
