"""Weights of rows are refused if no row counts, and balanced classes have the same total weight."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.data.weights import balanced, refuse_unusable


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1e-9], [-1.0, -1.0]])
def test_weights_that_are_negative_or_all_0_are_refused(weights):
    with pytest.raises(nnx.DataError, match="sample_weight must not hold negative numbers"):
        refuse_unusable(np.array(weights))


def test_one_weight_above_0_is_enough():
    refuse_unusable(np.array([0.0, 1e-30]))


def test_balanced_factors_give_all_classes_the_same_total_and_keep_the_sum():
    totals = np.array([1.0, 3.0, 16.0])
    weighted = totals * balanced(totals, 3)
    np.testing.assert_allclose(weighted, totals.sum() / 3, rtol=1e-15)


def test_a_class_without_weight_has_the_factor_1():
    np.testing.assert_allclose(balanced(np.array([2.0, 0.0, 6.0]), 2), [2.0, 1.0, 8.0 / 12.0], rtol=1e-15)
