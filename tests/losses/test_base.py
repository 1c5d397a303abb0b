"""What all losses share: weights, the type of the result, and the checks of targets and predictions."""

from __future__ import annotations

import numpy as np
import pytest
from support.losses import ALL, NEW, P, Y, on

import nnx
from nnx.backends import Backend, resolve
from nnx.errors import DataError

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_a_weight_of_two_is_a_row_given_twice(
    backend: Backend, rng: np.random.Generator, loss: nnx.Loss
) -> None:
    y, p = rng.uniform(0.1, 0.9, (2, 3, 4))
    weights = np.array([1.0, 2.0, 0.0])
    repeated = on(backend, y[[0, 1, 1]], p[[0, 1, 1]])
    weighted = on(backend, y, p, weights)
    assert float(loss(*weighted)) == pytest.approx(float(loss(*repeated)), rel=1e-13)
    gradient = backend.to_numpy(loss.gradient(*weighted))
    expected = backend.to_numpy(loss.gradient(*repeated))
    np.testing.assert_allclose(gradient[0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(gradient[1], 2.0 * expected[1], rtol=1e-13)
    assert not gradient[2].any()


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_only_the_proportions_of_weights_count(
    backend: Backend, rng: np.random.Generator, loss: nnx.Loss
) -> None:
    y, p, w = on(backend, *rng.uniform(0.1, 0.9, (2, 5, 4)), rng.uniform(0.5, 1.0, 5))
    assert float(loss(y, p, 10.0 * w)) == pytest.approx(float(loss(y, p, w)), rel=1e-13)
    equal = backend.asarray(np.full(5, 0.3))
    assert float(loss(y, p, equal)) == pytest.approx(float(loss(y, p)), rel=1e-13)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_the_type_of_the_predictions_is_kept(loss: nnx.Loss, dtype: np.dtype) -> None:
    p = P.astype(dtype)
    assert loss(Y, p).dtype == dtype
    assert loss.gradient(Y, p).dtype == dtype


class OfAnotherLibrary:
    """An array with DLPack, as PyTorch's and JAX's: it has none of NumPy's flags, and its own types."""

    dtype = "its own"

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("give", [OfAnotherLibrary, lambda p: p.astype(p.dtype.newbyteorder())])
def test_predictions_of_any_library_and_byte_order(backend: Backend, loss: nnx.Loss, give) -> None:
    p, y = P.astype(np.float32), Y.astype(np.float32)
    if backend.name == "numba":
        resolve("numba")  # in use: then it computes the losses of arrays on the host
    assert float(loss(y, give(p))) == float(loss(y, p))
    found, expected = loss.gradient(y, give(p)), loss.gradient(y, p)
    assert type(found) is np.ndarray
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("call", ["__call__", "gradient"])
def test_shapes_that_differ_are_named(loss: nnx.Loss, call: str) -> None:
    with pytest.raises(DataError, match=r"\(2, 1\).*\(2, 2\) must have equal shapes"):
        getattr(loss, call)(Y[:, :1], P)  # would broadcast
    with pytest.raises(DataError, match=r"\(rows, features\).*\(2,\)"):
        getattr(loss, call)(Y[0], P[0])
    with pytest.raises(DataError, match=r"sample_weight .*\(2,\).*\(3,\)"):
        getattr(loss, call)(Y, P, np.ones(3))


def drawn_for(loss: nnx.Loss, rng: np.random.Generator, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    p = rng.uniform(0.1, 0.9, (rows, 4, loss.width) if loss.per_target else (rows, 4))
    y = rng.uniform(0.1, 0.9, (rows, 4, *((1,) if loss.width == 1 and loss.per_target else ())))
    return (np.round(y) if loss.decides else y), p


@pytest.mark.parametrize("loss", NEW, ids=repr)
def test_the_newer_losses_take_weights_and_keep_the_type(
    backend: Backend, rng: np.random.Generator, loss: nnx.Loss, dtype: np.dtype
) -> None:
    y, p = drawn_for(loss, rng)
    y, p = y.astype(dtype), p.astype(dtype)
    weights = np.array([1.0, 2.0, 0.0], dtype)
    repeated = on(backend, y[[0, 1, 1]], p[[0, 1, 1]], dtype=dtype.name)
    weighted = on(backend, y, p, weights, dtype=dtype.name)
    tolerance = 32 * float(np.finfo(dtype).eps)
    value = loss(*weighted)
    assert value.dtype == loss.gradient(*weighted).dtype == dtype
    assert float(value) == pytest.approx(float(loss(*repeated)), rel=tolerance)
    gradient = backend.to_numpy(loss.gradient(*weighted))
    expected = backend.to_numpy(loss.gradient(*repeated))
    np.testing.assert_allclose(gradient[1], 2.0 * expected[1], rtol=tolerance)
    assert not gradient[2].any()


def test_losses_with_several_numbers_for_a_target_say_what_they_need() -> None:
    loss = nnx.Pinball((0.1, 0.5, 0.9))
    with pytest.raises(
        DataError, match=r"Pinball.*y_true of shape \(2, 2\).*\(2, 2\).*3 numbers for each target"
    ):
        loss(Y, P)
    for targets in (np.zeros(5), np.zeros((5, 1))):
        assert float(loss(targets, np.ones((5, 3)))) == pytest.approx((0.9 + 0.5 + 0.1) / 3)
    network = nnx.Network([nnx.Dense(3, 4)], seed=0)
    with pytest.raises(DataError, match=r"Pinball.*needs 3 outputs for each target.*nnx.Dense\(3\)"):
        network.fit(np.zeros((8, 3)), np.zeros(8), loss=loss, optimizer=nnx.SGD(), batch_size=8)
    with pytest.raises(DataError, match=r"targets of shape \(8, 2\) do not fit"):
        nnx.Network([nnx.Dense(3, 3)], seed=0).fit(
            np.zeros((8, 3)), np.zeros((8, 2)), loss=loss, optimizer=nnx.SGD(), batch_size=8
        )


def test_labels_out_of_range_are_refused() -> None:
    loss = nnx.CategoricalCrossEntropy()
    with pytest.raises(DataError, match=r"labels .*\[0, 1\].* 2 classes.*\[0, 2\]"):
        loss(np.array([0, 2]), P)
    with pytest.raises(DataError, match=r"found \[-1, 1\]"):
        loss(np.array([-1, 1]), P)
    with pytest.raises(DataError, match="labels must be integers, not float64"):
        loss(np.array([0.0, 1.0]), P)
    with pytest.raises(DataError, match=r"\(3,\) and y_pred of shape \(2, 2\)"):
        loss(np.array([0, 1, 1]), P)


def test_targets_that_are_no_probabilities_are_refused_in_training() -> None:
    for loss in (nnx.BinaryCrossEntropy(), nnx.CategoricalCrossEntropy()):
        with pytest.raises(DataError, match=r"\[0, 1\]"):
            loss.check_targets(np.array([[0.0, 255.0]]), 2)
    with pytest.raises(DataError, match=r"targets of shape \(1, 2\) do not fit.*\(1, 3\)"):
        nnx.MeanSquaredError().check_targets(np.ones((1, 2)), 3)


def test_a_list_is_not_an_array() -> None:
    with pytest.raises(DataError, match="y_pred must be an array, not list"):
        nnx.MeanSquaredError()(Y, P.tolist())
