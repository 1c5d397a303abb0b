"""Check the data of figures. An error says what was found and what is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnx.errors import ConfigurationError, DataError


def _array(values: ArrayLike, what: str, dtype: type[np.float64] | None = None) -> NDArray[Any]:
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:  # ragged lists, text, arrays on another device
        reason = " ".join(str(error).split())
        raise DataError(f"{what} is not a NumPy array of numbers ({reason}): convert it first") from error


def numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Read ``values`` as float64; None becomes NaN."""
    array: NDArray[np.float64] = _array(values, what, np.float64)
    if array.size == 0:
        raise DataError(f"{what} is empty, with shape {array.shape}: give at least one value")
    return array


def series(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Read a curve of shape (n,). Values that are not finite become NaN, which is drawn as a gap."""
    array = numbers(values, what)
    if array.ndim != 1:
        raise DataError(f"{what} has shape {array.shape}, but a curve needs shape (n,)")
    return np.where(np.isfinite(array), array, np.nan)


def finite_matrix(values: ArrayLike, what: str, columns: str = "features") -> NDArray[np.float64]:
    """Read a table of finite numbers: shape (n, columns)."""
    array = numbers(values, what)
    if array.ndim != 2:
        raise DataError(f"{what} has shape {array.shape}, but needs shape (n, {columns})")
    if not np.isfinite(array).all():
        raise DataError(f"{what} has {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite")
    return array


def same_length(values: ArrayLike, what: str, other: NDArray[Any], of: str) -> NDArray[Any]:
    """Read one value for each row of ``other``: shape (n,)."""
    array = _array(values, what)
    if array.shape != other.shape[:1]:
        raise DataError(
            f"{what} has shape {array.shape}, but {of} of shape {other.shape} need shape ({len(other)},)"
        )
    return array


def positive(value: int, what: str) -> int:
    """Read a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigurationError(f"{what} must be a positive integer, not {value!r}")
    return int(value)


def image_stack(
    values: ArrayLike, image_shape: tuple[int, int], what: str, *, in_range: bool = True
) -> NDArray[Any]:
    """Read images of shape (n, height, width) or (n, height · width) as (n, height, width).

    With ``in_range``, every value must be in 0..1, the range that figures draw.
    """
    if len(image_shape) != 2 or min(image_shape) < 1:
        raise ConfigurationError(f"image_shape must be (height, width), not {image_shape!r}")
    height, width = image_shape
    array = _array(values, what)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} has dtype {array.dtype}, but needs numbers in 0..1")
    if array.size == 0:
        raise DataError(f"{what} is empty, with shape {array.shape}: give at least one image")
    if array.ndim < 2 or array.shape[1:] not in ((height, width), (height * width,)):
        raise DataError(
            f"{what} has shape {array.shape}, but images of shape ({height}, {width}) need "
            f"(n, {height * width}) or (n, {height}, {width})"
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f"{what} has values that are NaN or infinite")
    if in_range and (low < 0 or high > 1):
        raise DataError(f"{what} has values from {low:g} to {high:g}, but needs 0..1: scale them first")
    return array.reshape(-1, height, width)
