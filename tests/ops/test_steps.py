"""Operations that begin and end a step, and numbers that kernels read by a counter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnx.backends import Backend
from nnx.ops.dropout import halves
from nnx.ops.steps import PerStep
from nnx.ops.updates import corrected_rate


def test_a_step_begins_and_ends(backend: Backend, dtype: np.dtype) -> None:
    counter, losses = backend.asarray(np.array([2, 0])), backend.zeros(4, dtype)
    fault, gradients = backend.zeros(1, "int64"), backend.asarray(np.ones(5, dtype))
    backend.begin_step(counter)
    np.testing.assert_array_equal(backend.to_numpy(counter), [2, 2])
    backend.record_step(backend.asarray(np.full(1, 0.5, dtype)), losses, gradients, fault, counter)
    np.testing.assert_array_equal(backend.to_numpy(losses), [0, 0, 0.5, 0])
    np.testing.assert_array_equal(backend.to_numpy(counter), [3, 2])
    assert int(backend.to_numpy(fault)[0]) == 0


def test_the_terms_of_a_step_are_recorded(backend: Backend, dtype: np.dtype) -> None:
    counter, values = backend.asarray(np.array([3, 2])), backend.zeros((4, 2), dtype)
    terms = backend.asarray(np.array([0.5, 0.25], dtype))
    backend.record_terms(terms, values, counter)
    expected = np.zeros((4, 2))
    expected[2] = 0.5, 0.25
    np.testing.assert_array_equal(backend.to_numpy(values), expected)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("in_loss", [True, False])
def test_the_first_fault_is_recorded_and_left_out(
    backend: Backend, dtype: np.dtype, wrong: float, in_loss: bool
) -> None:
    counter, losses = backend.asarray(np.array([2, 1])), backend.zeros(4, dtype)
    fault, fine = backend.zeros(1, "int64"), np.ones(5, dtype)
    bad = fine.copy()
    bad[3] = wrong
    value, gradients = (bad[3:4], fine) if in_loss else (fine[:1], bad)
    for _ in range(2):  # the second call may search other values of the same step
        backend.record_step(backend.asarray(value), losses, backend.asarray(gradients), fault, counter)
    assert int(backend.to_numpy(fault)[0]) == 2
    state, kept = backend.asarray(fine), backend.asarray(2 * fine)
    backend.leave_out(state, kept, losses, fault, counter)
    np.testing.assert_array_equal(backend.to_numpy(state), 2.0)
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(losses)), [False, True, False, False])
    assert int(backend.to_numpy(fault)[0]) == 0
    backend.leave_out(state, backend.asarray(fine), losses, fault, counter)  # no fault: nothing changes
    np.testing.assert_array_equal(backend.to_numpy(state), 2.0)


def test_a_network_without_statistics_is_left_out_too(backend: Backend, dtype: np.dtype) -> None:
    counter, losses, nothing = (
        backend.asarray(np.array([1, 0])),
        backend.zeros(2, dtype),
        backend.zeros(0, dtype),
    )
    fault = backend.asarray(np.array([1]))
    backend.leave_out(nothing, nothing, losses, fault, counter)
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(losses)), [True, False])


@pytest.mark.gpu
def test_kernels_read_the_numbers_of_the_current_step(gpu: Backend, dtype: np.dtype) -> None:
    """A rate and a key from a table give what they give as arguments."""
    counter = gpu.asarray(np.array([9, 1]))
    rng = np.random.default_rng(0)
    values, gradients = rng.normal(size=(2, 50)).astype(dtype)
    learning_rate, step = 0.01, 3
    numbers = np.zeros(8, dtype)
    numbers[6:8] = corrected_rate(learning_rate, step, 0.9, 0.999), 1.0 - learning_rate * 0.1
    results = []
    for rate in (learning_rate, PerStep(gpu.asarray(numbers), counter, 4).at(2)):
        w, m, v = gpu.asarray(values), gpu.zeros(50, dtype), gpu.zeros(50, dtype)
        gpu.adam_step(w, gpu.asarray(gradients), m, v, gpu.zeros(1, "int64"), rate, step, weight_decay=0.1)
        results.append([gpu.to_numpy(x).tobytes() for x in (w, m, v)])
    assert results[0] == results[1]
    key = 0x123456789ABCDEF0
    keys = PerStep(gpu.asarray(np.array([0, 0, *halves(key)], np.uint32)), counter, 2)
    x = gpu.asarray(values.reshape(5, 10))
    masked = [gpu.dropout(x, gpu.empty(x.shape, dtype), 0.5, given) for given in (key, keys)]
    assert gpu.to_numpy(masked[0]).tobytes() == gpu.to_numpy(masked[1]).tobytes()


@pytest.mark.gpu
def test_rows_are_gathered_by_the_counter(gpu: Backend, dtype: np.dtype) -> None:
    source, order = np.arange(24.0).reshape(8, 3).astype(dtype), np.random.default_rng(0).permutation(8)
    counter = gpu.asarray(np.array([1, 0]))
    out = gpu.empty((3, 3), dtype)
    gpu.gather(gpu.asarray(source), PerStep(gpu.asarray(order), counter, 4).at(1), out)
    np.testing.assert_array_equal(gpu.to_numpy(out), source[order[5:8]])
    np.testing.assert_array_equal(gpu.to_numpy(counter), [1, 1])
