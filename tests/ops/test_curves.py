"""Curves that activations are made of keep their digits where 1 + e^x would lose them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnx.backends import Backend
from nnx.ops import curves


def test_the_gate_of_mish_and_what_is_left_of_it_keep_their_digits() -> None:
    x = np.array([-300.0, -30.0, -1.0, 0.0, 1.0, 20.0, 300.0])
    t, rest = curves.mish_gate(Backend(), x)
    for number, gate, other in zip(x.tolist(), t.tolist(), rest.tolist(), strict=True):
        e = math.exp(-abs(number))
        n = e * (e + 2.0) if number <= 0 else (1.0 + 2.0 * e) / (e * e) if e * e else math.inf
        assert gate == pytest.approx(n / (n + 2.0) if n < math.inf else 1.0, rel=1e-14, abs=0.0)
        assert other == pytest.approx(2.0 / (n + 2.0), rel=1e-14, abs=0.0)


def test_selu_keeps_mean_and_variance_of_normal_numbers() -> None:
    """The fixed point of the paper: its constants are those that solve two integrals."""
    x, step = np.linspace(-12.0, 12.0, 480_001, retstep=True)
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * step
    y = curves.selu(Backend(), x)
    assert (y * density).sum() == pytest.approx(0.0, abs=1e-8)
    assert (y * y * density).sum() == pytest.approx(1.0, abs=1e-8)
