"""Columns are checked alike on the host and on a device; columns on another device are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y

import nnx
from nnx.backends import resolve
from nnx.data.checking import check_samples
from nnx.data.device_rows import OnDevice
from nnx.data.samples import OnHost

pytestmark = pytest.mark.usefixtures("on_cpu")
MSE = nnx.MeanSquaredError()


class OnGpu:
    """An array that says that it lies on a GPU."""

    shape, ndim, dtype = (37, 3), 2, np.dtype("float32")

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("it is not read")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 3


def network() -> nnx.Network:
    return nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(Y.shape[1])], seed=0)


@pytest.mark.parametrize("column", ["x", "y", "sample_weight"])
def test_a_column_on_a_gpu_is_refused_by_a_network_on_the_cpu(column):
    given = {"x": X, "y": Y} | {column: OnGpu()}
    with pytest.raises(
        nnx.DataError, match=rf"^{column} lies on gpu:3, but the network computes on cpu: "
    ) as e:
        network().fit(**given, loss=MSE, optimizer="adam")
    assert f"network.to('gpu:3'), or {column} = cupy.asnumpy({column})" in str(e.value)


def both(x: Any, y: Any, weights: Any, loss: nnx.Loss = MSE, dtype: Any = np.float32) -> list[Any]:
    """The samples as the host checks them, and as a device does; NumPy's backend is the device here."""
    found = []
    for take in (OnHost("cpu"), OnDevice(resolve("numpy"), "cpu")):
        rows = take.rows(x, "x", dtype)
        targets = take.labels(take.given(y, "y")) if y.ndim == 1 else take.rows(y, "y", dtype)
        counted = take.rows(weights.reshape(-1, 1), "sample_weight", dtype)
        found.append(take.samples(rows, targets, counted, loss, 3 if y.ndim == 1 else y.shape[1]))
    return found


@pytest.mark.parametrize("x", [X, X.astype("f8"), np.abs(10 * X).astype("u1"), X.T.copy().T], ids=str)
@pytest.mark.parametrize("y", [Y, (Y > 0).astype("u1"), Y.astype("i4")], ids=str)
def test_a_device_stores_the_rows_that_the_host_stores(x, y):
    host, device = both(x, y, np.ones(37))
    for one, other in zip(host.arrays(), device.arrays(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for one, other in zip(host.part(slice(5, 20)).read(slice(3)), device.part(slice(5, 20)).read(slice(3)),
                          strict=True):  # fmt: skip
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert host.columns().keys() == device.columns().keys()


def test_labels_are_checked_in_their_own_type():
    labels = np.arange(37) % 3
    host, device = both(X, labels.astype("u1"), np.ones(37), nnx.CategoricalCrossEntropy())
    assert host.targets().dtype == device.targets().dtype == np.int64
    with pytest.raises(nnx.DataError, match="labels must lie in"):
        both(X, labels + 1, np.ones(37), nnx.CategoricalCrossEntropy())


def test_a_layer_of_the_user_is_tried_on_the_first_rows():
    class Twice(nnx.Layer):
        def forward_into(self, x, y, workspace):
            y[...] = 2.0 + x * 0.0

        def backward_into(self, dy, dx, workspace):
            dx[...] = 0.0

    one = nnx.Network([nnx.Dense(3, Y.shape[1]), nnx.ReLU(), Twice()], seed=0)
    with pytest.raises(nnx.DataError, match="needs probabilities"):
        check_samples(one, nnx.BinaryCrossEntropy(), X, np.abs(np.tanh(Y)))
