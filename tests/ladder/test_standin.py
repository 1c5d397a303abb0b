"""What the stand-in for CuPy must refuse and count, so that tests on it mean something."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

HOST = np.arange(12.0, dtype=np.float32).reshape(3, 4)


def square(x):
    return x.ravel()[:9].reshape(3, 3)


@pytest.fixture
def x():
    return cupy.asarray(HOST)


# ------------------------------------------------------------------- what it refuses

REFUSED = {
    "a conversion to NumPy": (lambda x: np.asarray(x), TypeError, "Implicit conversion"),
    "NumPy's function": (lambda x: np.sum(x), TypeError, "NumPy's sum"),
    "NumPy's ufunc": (lambda x: np.exp(x), TypeError, "NumPy's exp"),
    "a NumPy number before": (lambda x: np.float32(2) * x, TypeError, "NumPy's multiply"),
    "a host array after": (lambda x: x + HOST, TypeError, "Unsupported type"),
    "a host array before": (lambda x: HOST + x, TypeError, "NumPy's add"),
    "a host array in a function": (lambda x: cupy.dot(x, HOST.T), TypeError, "Unsupported type"),
    "a host array written": (lambda x: x.__setitem__(0, HOST[0]), TypeError, "Unsupported type"),
    "a list in a function": (lambda x: cupy.maximum(x, [1.0, 2.0, 3.0, 4.0]), TypeError, "Unsupported type"),
    "a host index": (lambda x: x[np.array([0, 1])], TypeError, "indexed by host values"),
    "where= of a ufunc": (lambda x: cupy.exp(x, where=x > 0), TypeError, "Wrong arguments"),
    "where= of a sum": (lambda x: cupy.sum(x, where=x > 0), TypeError, "takes no where="),
    "initial=": (lambda x: cupy.max(x, initial=0.0), TypeError, "takes no initial="),
    "mode= of take": (lambda x: cupy.take(x, x, mode="clip"), TypeError, "takes no mode="),
    "too many arguments": (lambda x: cupy.sum(x, 0, None, None, False, 1), TypeError, "5 arguments at most"),
    "an index past the end": (lambda x: cupy.take(x, cupy.asarray([0, 3]), axis=0), IndexError, "outside"),
    "a row past the end": (lambda x: x[cupy.asarray([3])], IndexError, "outside 3 elements"),
    "writing twice": (lambda x: x.__setitem__(cupy.asarray([1, 1]), 0.0), IndexError, "written twice"),
    "an out= of another type": (
        lambda x: cupy.dot(x, x.T, out=cupy.empty((3, 3))), ValueError, "dtype combination",
    ),
    "an out= of another layout": (
        lambda x: cupy.dot(x, x.T, out=cupy.empty((3, 3), "f4").T), ValueError, "C-contiguous",
    ),
    "an out= of another type in take": (
        lambda x: cupy.take(x, cupy.asarray([0]), axis=0, out=cupy.empty((1, 4))),
        TypeError, "dtype mismatch",
    ),
    "a product over its factor": (
        lambda x: cupy.dot(square(x), square(x), out=square(x)), ValueError, "reads what it writes",
    ),
    "an out= of another shape": (lambda x: cupy.exp(x, out=cupy.empty(4, "f4")), ValueError, "shape"),
    "a function CuPy has not": (lambda x: cupy.busday_count, AttributeError, "no attribute 'busday_count'"),
    "a function it does not compute": (lambda x: cupy.fuse, NotImplementedError, "does not compute"),
    "a device that is not there": (
        lambda x: cupy.cuda.Device(7).use(), RuntimeError, "cudaErrorInvalidDevice",
    ),
    "a download into another type": (
        lambda x: x.get(out=np.empty((3, 4))), ValueError, "does not hold",
    ),
    "an upload into every other column": (
        lambda x: x[:, ::2].set(HOST[:, ::2]), RuntimeError, "non-contiguous",
    ),
    "an upload of another type": (lambda x: x.set(HOST.astype("f8")), TypeError, "cannot be set"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses(x, case):
    attempt, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        attempt(x)
    np.testing.assert_array_equal(x.get(), HOST)


def test_it_computes_what_numpy_does(x):
    for found, expected in (
        (cupy.exp(x), np.exp(HOST)),
        (cupy.sum(x, axis=1, keepdims=True), HOST.sum(axis=1, keepdims=True)),
        (2.0 / (x + 1.0), 2.0 / (HOST + 1.0)),
        (x @ x.T, HOST @ HOST.T),
        (cupy.where(x > 3, x, 0.0), np.where(HOST > 3, HOST, np.float32(0))),
        (x[cupy.asarray([2, 0])], HOST[[2, 0]]),
        (cupy.log(x), np.log(HOST + np.float32(0)) if HOST.all() else None),
        (cupy.concatenate([x, x]), np.concatenate([HOST, HOST])),
        (x.max(axis=0), HOST.max(axis=0)),
    ):
        assert isinstance(found, cupy.ndarray)
        if expected is not None:
            np.testing.assert_array_equal(found.get(), expected)
            assert found.dtype == expected.dtype
    assert np.isnan(cupy.empty(3, "f4").get()).all()  # nobody may count on zeros


def test_a_number_of_numpys_keeps_its_type_and_pythons_gives_way(x):
    assert (x * np.float64(2)).dtype == np.float64
    assert (x * 2.0).dtype == (x + True).dtype == np.float32


def test_views_share_memory_and_copies_do_not(x):
    for view in (x[1], x.T, x.reshape(4, 3), x[:, ::2], x.ravel(), cupy.transpose(x)):
        with cupy.recorded() as log:
            view[...] = -1.0
        assert log.count("alloc") == 0
        assert -1.0 in x.get()
        x.set(HOST)
    for other in (x.copy(), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.T.reshape(12)):
        other[...] = -1.0
        np.testing.assert_array_equal(x.get(), HOST)


# ------------------------------------------------------------------- what it counts


def kinds(log):
    return dict(log.kinds())


def test_launches_copies_and_waits_are_counted(x):
    y = cupy.empty_like(x)
    with cupy.recorded() as log:
        cupy.exp(x, out=y)
        x += y
        y[...] = x
        x[...] = 0.0
    assert kinds(log) == {"launch": 3, "copy": 1}
    for wait in (float, bool, int, lambda one: one.item(), lambda one: one.tolist(), cupy.asnumpy, str):
        with cupy.recorded() as log:
            wait(x[0, 0])
        assert kinds(log) == {"d2h": 1, "wait": 1}
        assert log.bytes("d2h") == 4
    with cupy.recorded() as log:
        cupy.asarray(HOST)
        cupy.cuda.Device().synchronize()
    assert kinds(log) == {"alloc": 1, "h2d": 1, "wait": 1}
    assert log.bytes("h2d") == HOST.nbytes


def test_memory_is_counted_freed_and_can_run_out():
    gc.collect()  # what earlier tests left is no part of it
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.zeros(1000, "f4")
    y = x[10:]
    assert pool.used_bytes() == before + 4096
    del x
    assert pool.used_bytes() == before + 4096  # a view keeps it
    del y
    assert pool.used_bytes() == before
    pool.set_limit(size=before + 4096)
    try:
        with pytest.raises(
            cupy.cuda.memory.OutOfMemoryError, match=r"allocating 4,608 bytes \(allocated so far"
        ):
            cupy.zeros(1100, "f4")
    finally:
        pool.set_limit(size=0)
    assert pool.used_bytes() == before


def test_an_array_of_another_device_is_refused(x):
    gc.collect()  # what earlier tests left is no part of it
    with cupy.cuda.Device(1):
        used = cupy.get_default_memory_pool().used_bytes()  # the workspace of cuBLAS may be there already
        other = cupy.asarray(HOST)
        assert (other.device.id, x.device.id) == (1, 0)
        for attempt in (lambda: other + x, lambda: cupy.dot(other, x.T), lambda: x.copy(), lambda: x * 2.0):
            with pytest.raises(ValueError, match=r"resides \(0\) is different from the current device \(1\)"):
                attempt()
        np.testing.assert_array_equal(x.get(), HOST)  # a download finds its device
        assert cupy.get_default_memory_pool().used_bytes() == used + 512
    assert cupy.cuda.Device().id == 0


def test_the_current_device_is_each_threads_own():
    seen = []
    with cupy.cuda.Device(1):
        thread = threading.Thread(target=lambda: seen.append(cupy.cuda.Device().id))
        thread.start()
        thread.join()
    assert seen == [0]


# ------------------------------------------------------------------- kernels


def test_kernels_take_their_types_from_their_arguments(x):
    kernel = cupy.ElementwiseKernel("T a, T scale", "T b", "b = a * scale + i", "test_kernel")
    out = cupy.empty_like(x)
    with cupy.recorded() as log:
        assert kernel(x, 2.0, out) is out
    assert kinds(log) == {"launch": 1}
    np.testing.assert_array_equal(out.get(), HOST * 2 + np.arange(12).reshape(3, 4))
    assert kernel(x.astype("f8"), 2.0).dtype == np.float64
    with pytest.raises(TypeError, match="Type is mismatched"):
        kernel(x, 2.0, cupy.empty(x.shape))
    with pytest.raises(TypeError, match="Unsupported type"):
        kernel(HOST, 2.0, out)
    with pytest.raises(ValueError, match="overlap"):
        kernel(x[:2], 1.0, x[1:])
    with pytest.raises(TypeError, match="takes no flags="):
        cupy.RawKernel("", "f", flags=())


# ------------------------------------------------------------------- streams


def test_another_streams_work_is_waited_for(x):
    copying = cupy.cuda.Stream(non_blocking=True)
    room = cupy.empty_like(x)
    with copying:
        room.set(HOST)
        uploaded = copying.record()
    with pytest.raises(RuntimeError, match="may still be writing"):
        cupy.exp(room)
    cupy.cuda.get_current_stream().wait_event(uploaded)
    result = cupy.exp(room)
    with copying, pytest.raises(RuntimeError, match="may still be reading"):
        room.set(HOST)
    read = cupy.cuda.get_current_stream().record()
    copying.wait_event(read)
    with copying:
        room.set(HOST)
    copying.synchronize()
    np.testing.assert_array_equal(cupy.exp(room).get(), result.get())


def test_page_locked_memory_is_left_alone_until_a_copy_is_done(x):
    import cupyx

    pinned = cupyx.empty_pinned(x.shape, x.dtype)
    x.get(out=pinned, blocking=False)
    assert not np.array_equal(pinned, HOST)  # it is under way
    cupy.cuda.Stream.null.synchronize()
    np.testing.assert_array_equal(pinned, HOST)
    x.set(pinned)
    pinned[0] = 7.0
    with pytest.raises(RuntimeError, match="written before a copy from it"):
        cupy.cuda.Device().synchronize()


def test_an_event_tells_of_the_copies_before_it(x):
    import cupyx

    rooms, events = [cupyx.empty_pinned(x.shape, x.dtype) for _ in "ab"], []
    for room in rooms:
        room[...] = HOST
        cupy.empty_like(x).set(room)
        events.append(cupy.cuda.get_current_stream().record())
    events[0].synchronize()
    rooms[0][...] = 7.0  # done with
    rooms[1][...] = 7.0  # not yet
    with pytest.raises(RuntimeError, match="written before a copy from it"):
        events[1].synchronize()


# ------------------------------------------------------------------- names


def test_every_name_of_the_stand_in_is_cupys():
    from cupy import _functions, _wheel

    for name in _functions.SPECIAL:
        assert _wheel.kind(f"cupy.{name}") in ("function", "class"), name
    for name in dir(cupy.ndarray):
        if not name.startswith("_"):
            assert _wheel.kind(f"cupy.ndarray.{name}") is not None, name
    for path in ("Device", "Stream", "Event", "MemoryPool"):
        for name in vars(getattr(cupy.cuda, path)):
            if not name.startswith("_"):
                assert _wheel.kind(f"cupy.cuda.{path}.{name}") is not None, (path, name)
    for name in cupy.cuda.__all__:
        assert _wheel.kind(f"cupy.cuda.{name}") is not None, name
