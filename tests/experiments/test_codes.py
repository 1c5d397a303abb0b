"""A network that has a code gives its encoder; others are refused."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.errors import ConfigurationError, DataError
from nnx.experiments import codes


def test_encoder_of_gives_the_encoder_or_says_why_not(shallow, digits):
    encoder = codes.encoder_of(shallow.network, 64)
    assert encoder.outputs == 16
    np.testing.assert_array_equal(encoder.predict(digits.x_test), shallow.arrays["codes"])
    with pytest.raises(DataError, match=r"64 numbers.* 784"):
        codes.encoder_of(shallow.network, 784)
    with pytest.raises(ConfigurationError, match="it has no code"):
        codes.encoder_of(nnx.Network([nnx.Dense(64, 16)]), 64)
