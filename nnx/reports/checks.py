"""Checks of what figures are given; every refusal names what was found and what would fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnx.errors import ConfigurationError, DataError


def _array(values: ArrayLike, what: str, dtype: type[np.float64] | None = None) -> NDArray[Any]:
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:  # ragged lists, texts, arrays on another device
        reason = " ".join(str(error).split())
        raise DataError(f"{what}: not a NumPy array of numbers ({reason}); convert it first") from error


def numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Read ``values`` as float64; None becomes NaN."""
    array: NDArray[np.float64] = _array(values, what, np.float64)
    if array.size == 0:
        raise DataError(f"{what}: empty, of shape {array.shape}; at least one value is needed")
    return array


def series(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Read a curve: shape (n,), values that are not finite become NaN, which draws as a gap."""
    array = numbers(values, what)
    if array.ndim != 1:
        raise DataError(f"{what}: shape {array.shape}, where a curve has the shape (n,)")
    return np.where(np.isfinite(array), array, np.nan)


def finite_matrix(values: ArrayLike, what: str, columns: str = "features") -> NDArray[np.float64]:
    """Read a table of finite numbers: shape (n, columns)."""
    array = numbers(values, what)
    if array.ndim != 2:
        raise DataError(f"{what}: shape {array.shape}, where (n, {columns}) is needed")
    if not np.isfinite(array).all():
        raise DataError(f"{what}: {np.count_nonzero(~np.isfinite(array))} values are NaN or infinite")
    return array


def same_length(values: ArrayLike, what: str, other: NDArray[Any], of: str) -> NDArray[Any]:
    """Read one value per row of ``other``: shape (n,)."""
    array = _array(values, what)
    if array.shape != other.shape[:1]:
        raise DataError(
            f"{what}: shape {array.shape} does not fit {of} of shape {other.shape}; ({len(other)},) is needed"
        )
    return array


def positive(value: int, what: str) -> int:
    """Read a whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigurationError(f"{what}: {value!r}, where a whole number of at least 1 is needed")
    return int(value)


def image_stack(
    values: ArrayLike, image_shape: tuple[int, int], what: str, *, in_range: bool = True
) -> NDArray[Any]:
    """Read images of shape (n, height, width) or (n, height · width) as (n, height, width).

    With ``in_range`` every value must lie in 0..1, the range that figures draw.
    """
    if len(image_shape) != 2 or min(image_shape) < 1:
        raise ConfigurationError(f"image_shape: {image_shape!r}, where (height, width) is needed")
    height, width = image_shape
    array = _array(values, what)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: dtype {array.dtype}, where numbers in 0..1 are needed")
    if array.size == 0:
        raise DataError(f"{what}: empty, of shape {array.shape}; at least one image is needed")
    if array.ndim < 2 or array.shape[1:] not in ((height, width), (height * width,)):
        raise DataError(
            f"{what}: shape {array.shape} does not fit images of shape ({height}, {width}); "
            f"(n, {height * width}) or (n, {height}, {width}) is needed"
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f"{what}: some values are NaN or infinite")
    if in_range and (low < 0 or high > 1):
        raise DataError(f"{what}: values from {low:g} to {high:g}, where 0..1 is needed; scale them first")
    return array.reshape(-1, height, width)
