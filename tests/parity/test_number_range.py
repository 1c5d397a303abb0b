"""Every activation and loss over the whole range of numbers, against another framework in float64."""

from __future__ import annotations

import pytest
from support.devices_here import usable
from support.number_range_tests import (  # noqa: F401
    PLAIN,
    overflowing,
    reference,
    test_activations,
    test_activations_at_the_ends,
    test_losses,
    test_losses_of_probabilities,
    test_softmax,
)

from nnx.backends import Backend

pytestmark = pytest.mark.usefixtures("on_cpu", "overflowing")


@pytest.fixture(params=["plain", "numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def every(request: pytest.FixtureRequest) -> Backend:
    """The plain form too."""
    return PLAIN if request.param == "plain" else usable(request.param)
