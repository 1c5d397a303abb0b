"""Every backend takes arrays and gives them back; the CPU refuses those of a GPU."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.contract import ORACLE

from nnx.backends import Backend
from nnx.errors import DeviceError


def test_asarray_and_back(backend: Backend, dtype: np.dtype) -> None:
    host = np.arange(12.0).reshape(3, 4).T[::2]
    array = backend.asarray(host, dtype)
    assert backend.owns(array)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    back = backend.to_numpy(array)
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, host)


def test_empty_and_zeros(backend: Backend, dtype: np.dtype) -> None:
    assert backend.empty((2, 3), dtype).shape == (2, 3)
    zeros = backend.zeros((2, 3), dtype)
    assert zeros.dtype == dtype
    assert not backend.to_numpy(zeros).any()


def test_an_array_of_another_device_is_refused_by_the_cpu() -> None:
    class Foreign:
        __cuda_array_interface__ = None

    with pytest.raises(DeviceError, match=r"GPU.*cpu.*cupy.asnumpy"):
        ORACLE.asarray(Foreign())


def test_a_copy_of_a_backend_is_the_same_device(backend: Backend) -> None:
    assert copy.deepcopy(backend) is backend
    unpickled = pickle.loads(pickle.dumps(backend))
    assert unpickled.device == backend.device
    assert (unpickled.name == "numpy") == (backend.name == "numpy")
