"""Folders of images: listed without leaving the folder, decoded within a bound, to bytes in rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnx.datasets.base import Array
from nnx.datasets.idx import MAX_BYTES
from nnx.datasets.npy import first_line
from nnx.datasets.opening import reading
from nnx.errors import DataError
from nnx.libraries import needed

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
# By the file's content: no other of Pillow's decoders is reached. That of WebP makes room for all pixels that
# a file claims before it says how many they are.
_DECODERS = ("PNG", "JPEG", "BMP", "GIF")
_MODES = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3}
MAX_FILES = 2**20
MAX_FILE = 2**26  # bytes of one image's file
MAX_PIXELS = 2**24  # of one image, before its size is changed


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names, without hidden ones.

    Raises
    ------
    DataError
        If it cannot be read, or one is a link that leads outside.
    """
    return [entry for entry in _entries(folder) if entry.is_dir()]


def everywhere(folder: Path) -> list[Path]:
    """The images in a folder's subfolders and then those beside them, each in the order of their names.

    Raises
    ------
    DataError
        If a folder cannot be read, an image is a link that leads outside, or a subfolder holds no image.
    """
    folders = subfolders(folder)
    files = [file for below in folders for file in _images(below)]
    return files + (_images(folder) if not folders else _listed(folder))


def _images(folder: Path) -> list[Path]:
    found = _listed(folder)
    if not found:
        raise DataError(f"{folder}: holds no images ({', '.join(SUFFIXES)})")
    return found


def _listed(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder and may be read."""
    found: list[Path] = []
    try:
        inside = folder.resolve(strict=True)
        for entry in folder.iterdir():
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not entry.resolve().is_relative_to(inside):
                raise DataError(f"{entry}: is a link that leads out of its folder: copy what it leads to")
            found.append(entry)
            if len(found) > MAX_FILES:
                raise DataError(f"{folder}: holds more than the {MAX_FILES:,} files accepted")
    except DataError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise DataError(f"{folder}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return sorted(found)


def common_shape(files: Sequence[Path], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Height, width and channels: of the size that is asked for, else of the first image.

    Three channels where the first image has colours.
    """
    with _opened(files[0]) as image:
        channels = _MODES[image.mode]
        height, width = size or (image.height, image.width)
    return (height, width, channels)


def read_images(
    files: Sequence[Path], shape: tuple[int, int, int], max_bytes: int = MAX_BYTES, resize: bool = True
) -> Array:
    """Images as rows of bytes, each of height × width × channels.

    Raises
    ------
    DataError
        If one is damaged, too large, or of another size and `resize` is not asked for; or if together they
        take more than `max_bytes`.
    """
    height, width, channels = shape
    features = height * width * channels
    if len(files) * features > max_bytes:
        raise DataError(
            f"{files[0].parent}: {len(files):,} images of {height} × {width} take more than the "
            f"{max_bytes:,} bytes accepted: give a smaller image_size"
        )
    rows = np.empty((len(files), features), np.uint8)
    for row, file in zip(rows, files, strict=True):
        with _opened(file) as image:
            if (image.height, image.width) != (height, width):
                if not resize:
                    raise DataError(
                        f"{file}: is {image.height} × {image.width} pixels, the first image "
                        f"{height} × {width}: give an image_size to bring all to one"
                    )
                image = image.convert("RGB" if channels == 3 else "L").resize((width, height))
            row[:] = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(-1)
    return rows


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image, its header read; what goes wrong within the block is the file's fault and says so."""
    with needed("datasets", "a picture"):
        from PIL import Image
    with reading(path) as file:
        if (size := file.seek(0, 2)) > MAX_FILE:
            raise DataError(f"{path}: has {size:,} bytes, more than the {MAX_FILE:,} accepted for an image")
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd metadata, and of sizes that are refused here
                with Image.open(file, formats=_DECODERS) as image:
                    _check(image, path)
                    yield image
        except DataError:
            raise
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise DataError(f"{path}: is no image that can be read ({first_line(error)})") from error


def _check(image: Any, path: Path) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{path}: is {image.height:,} × {image.width:,} pixels, more than the {MAX_PIXELS:,} accepted"
        )
    if image.mode not in _MODES:
        raise DataError(f"{path}: has {image.mode} pixels, expected 8 bits a channel: convert it")
