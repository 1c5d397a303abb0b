"""The compiled backend, for the tests of its kernels."""

from __future__ import annotations

import pytest

from nnx.backends import Backend


@pytest.fixture(params=["team", "8 parts", "one thread"])
def compiled(request: pytest.FixtureRequest) -> Backend:
    """The backend as it is here, with as many parts as on eight cores, and as it is where TBB is missing."""
    from nnx.backends.numba_backend import NumbaBackend

    backend = NumbaBackend()
    if request.param == "one thread":
        backend.blas, backend.threads = None, 1
    elif backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    elif request.param == "8 parts":
        backend.threads = 8
    else:
        assert backend.threads >= 2
    return backend
