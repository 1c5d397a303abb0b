"""Encode small pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray


def digit(image: NDArray[np.uint8]) -> str:
    """Return an image of bytes, (height, width), as ink on white: 0 is white, as in the figures."""
    return _png(255 - image)


def surface(values: NDArray[np.uint8]) -> str:
    """Return a plane of bytes in the colours of `decision_surface`. The first row, smallest y, is lowest."""
    colours = mpl.colormaps["PuOr_r"](values[::-1], bytes=True)
    return _png(colours[..., :3])


def _png(pixels: NDArray[Any]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
