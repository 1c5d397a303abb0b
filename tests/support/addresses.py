"""Where arrays lie in memory."""

from __future__ import annotations

import numpy as np


def address(array):
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def lies_within(view, array):
    return address(array) <= address(view) < address(array) + array.nbytes
