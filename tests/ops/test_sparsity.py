"""The divergence of mean activations from their target: every backend equals the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("target", [0.05, 0.6])
def test_divergences(backend: Backend, dtype: np.dtype, rng: np.random.Generator, target: float) -> None:
    means = rng.uniform(0.01, 0.99, (1, 9))
    arguments = {"means": means, "target": target, "divergences": room(1, 9), "slopes": room(1, 9)}
    found = agree(backend, "divergences", dtype, arguments, ("divergences", "slopes"))
    assert (found["divergences"] >= -1e-6).all()
    assert ((found["slopes"] > 0) == (means > target)).all()


def test_a_mean_outside_its_range_gives_nan(backend: Backend, dtype: np.dtype) -> None:
    means = backend.asarray(np.array([[-0.1, 0.0, 1.0, 1.1, np.nan, np.inf]]), dtype)
    divergences, slopes = (backend.empty(means.shape, dtype) for _ in range(2))
    with backend.quiet():
        backend.divergences(means, 0.1, divergences, slopes)
    for found in (divergences, slopes):
        assert np.isnan(backend.to_numpy(found)[0]).tolist() == [True, False, False, True, True, True]
