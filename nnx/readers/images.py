"""Read folders of images as rows of numbers, without leaving the folder and within a limit of memory.

Transparency, orientation, 16 bits and inverted greys are read as the file describes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import DataError
from nnx.libraries import needed
from nnx.readers.idx import MAX_BYTES
from nnx.readers.npy import first_line
from nnx.readers.opening import reading
from nnx.readers.types import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_DECODERS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # chosen by the file's content; no others run
_MODES = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3}
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION, _PHOTOMETRIC, _BITS = 0x0112, 0x0106, 0x0102  # numbers of EXIF and TIFF tags
_SRGB = 1 / 2.2  # the gamma of nearly all files, whether they say so or not
MAX_FILES = 2**20
MAX_FILE = 2**26  # bytes in the file of one image
MAX_PIXELS = 2**24  # of one image, before it is resized


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones."""
    return [entry for entry in _entries(folder) if entry.is_dir()]


def everywhere(folder: Path) -> list[Path]:
    """Return the images in a folder's subfolders, then the images in the folder itself, sorted by name."""
    folders = subfolders(folder)
    files = [file for below in folders for file in _images(below)]
    return files + _images(folder, required=not folders)


def others(folder: Path) -> list[Path]:
    """Return what is not read in a folder and its subfolders: files of other kinds, and deeper folders."""
    folders = subfolders(folder)
    found = [entry for entry in _entries(folder) if not entry.is_dir() and not _is_image(entry)]
    for below in folders:
        found += [entry for entry in _entries(below) if entry.is_dir() or not _is_image(entry)]
    return found


def _is_image(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES and not entry.is_dir()


def _images(folder: Path, required: bool = True) -> list[Path]:
    found = [entry for entry in _entries(folder) if _is_image(entry)]
    if required and not found:
        raise DataError(f"{folder}: holds no images ({', '.join(SUFFIXES)})")
    return found


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted, without hidden files; refuse links that lead outside."""
    found: list[Path] = []
    try:
        inside = folder.resolve(strict=True)
        for entry in folder.iterdir():
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not entry.resolve().is_relative_to(inside):
                raise DataError(f"{entry}: is a link that leads out of its folder: copy its target here")
            found.append(entry)
            if len(found) > MAX_FILES:
                raise DataError(f"{folder}: holds more than the {MAX_FILES:,} files accepted")
    except DataError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: links that form a loop
        raise DataError(f"{folder}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return sorted(found)


@dataclass(frozen=True)
class Survey:
    """How to read images: their shape (height, width, channels; three channels if any image has colours).

    If any is `deep` (16 bits per pixel), all are read as float32, 0 to 255; else as bytes. `resize` states
    whether all are resized to one size.
    """

    files: Sequence[Path]
    shape: tuple[int, int, int]
    deep: bool
    resize: bool


def survey(
    files: Sequence[Path], size: tuple[int, int] | None, notes: list[str], channels: int | None = None
) -> Survey:
    """Read the headers of all images and decide how to read them; `channels`, if given, is not decided here.

    Images of several sizes are refused if no `size` is given.
    """
    sizes: dict[tuple[int, int], Path] = {}
    coloured, several, gammas, cut, deep = 0, [], [], [], False
    for file in files:
        with _opened(file) as image:
            if _is_cut(image):  # first: it needs to know how the file is stored, which reading discards
                cut.append(file)
            sizes.setdefault(_size(image), file)
            coloured += _has_colours(image)
            deep |= _is_deep(image)
            if abs(image.info.get("gamma", _SRGB) - _SRGB) > 0.05:
                gammas.append(file)
            if _has_several(image):  # last: it moves on from the first picture
                several.append(file)
    if len(sizes) > 1 and size is None:
        (one, first), (two, other) = list(sizes.items())[:2]
        raise DataError(
            f"{other}: is {two[0]} × {two[1]} pixels, {first} is {one[0]} × {one[1]}: resize all images, "
            f"for example with --image-size {one[0]}x{one[1]}"
        )
    folder = files[0].parent
    if several:
        notes.append(f"{several[0]}: holds several pictures; only the first is read{_more(several)}")
    if gammas:
        notes.append(f"{gammas[0]}: its gamma differs from sRGB's and is not applied{_more(gammas)}")
    if cut:
        notes.append(
            f"{cut[0]}: has several channels of 16 bits; only the upper 8 bits are read{_more(cut)} (nnx "
            "reads all 16 bits of grey images without transparency)"
        )
    if channels == 1 and coloured:
        notes.append(f"{folder}: {coloured:,} images have colours, but the network takes grey images")
    if channels is None and 0 < coloured < len(files):
        notes.append(f"{folder}: {len(files) - coloured:,} grey images are read in colour, like the others")
    height, width = size or next(iter(sizes))
    return Survey(files, (height, width, channels or (3 if coloured else 1)), deep, size is not None)


def _more(files: Sequence[Path]) -> str:
    return f", as in {len(files) - 1:,} more" if len(files) > 1 else ""


def _size(image: Any) -> tuple[int, int]:
    """Return the height and width of the image when it is upright."""
    sides = (image.height, image.width)
    turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return sides[::-1] if turned else sides


def _has_colours(image: Any) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette != palette[:, :1]).any())
    return _MODES.get(image.mode, 1) == 3


def _is_deep(image: Any) -> bool:
    return image.mode in _DEEP or (image.mode == "I" and image.format == "PNG")


def _is_cut(image: Any) -> bool:
    """Return whether Pillow reads only 8 of the 16 bits of each channel."""
    if _is_deep(image):
        return False
    if image.format == "TIFF":
        return bool(max(image.tag_v2.get(_BITS, (8,))) > 8)
    return image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in image.tile)


def _has_several(image: Any) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def read_images(
    found: Survey, background: str = "white", notes: list[str] | None = None, max_bytes: int = MAX_BYTES
) -> Array:
    """Read images as rows of height × width × channels: bytes, or float32 from 0 to 255 if any is deep.

    Images that take more than `max_bytes` in all are refused, and an image in the colour of the `background`.
    """
    height, width, channels = found.shape
    files, features = found.files, height * width * channels
    kind = np.dtype(np.float32 if found.deep else np.uint8)
    if len(files) * features * kind.itemsize > max_bytes:
        raise DataError(
            f"{files[0].parent}: {len(files):,} images of {height} × {width} take more than the "
            f"{max_bytes:,} bytes accepted: give a smaller --image-size"
        )
    rows = np.empty((len(files), height, width, channels), kind)
    through, highest = [], 0.0
    for row, file in zip(rows, files, strict=True):
        with _opened(file) as image:
            deep, transparent = _is_deep(image), image.has_transparency_data
            seen = _deep_pixels(image, background) if deep else _seen(image, background, channels, file)
            if seen.size != (width, height):
                seen = seen.resize((width, height))
            pixels = np.asarray(seen)
        if transparent:
            through.append(file)
        if deep:
            highest = max(highest, float(pixels.max()))
        row[:] = (np.rint(pixels) if not found.deep else pixels).reshape(height, width, -1)
    if notes is not None and through:
        notes.append(f"{through[0]}: transparent parts are read as {background}{_more(through)}")
    if notes is not None and 0.0 < highest < 255.0 / 8:
        notes.append(
            f"{files[0].parent}: images of 16 bits have values up to {round(highest * 257):,} of 65,535: "
            "consider --scale standard"
        )
    return rows.reshape(len(files), features)


def _seen(image: Any, background: str, channels: int, path: Path) -> Any:
    """Return an image with 8 bits per channel, upright and on its background."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    mode = "RGB" if channels == 3 else "L"
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, background)
    seen = Image.alpha_composite(ground, image).convert(mode)
    alpha = image.getchannel("A").getextrema()
    if alpha[0] != alpha[1] and all(low == high for low, high in np.reshape(seen.getextrema(), (-1, 2))):
        other = "black" if background == "white" else "white"
        raise DataError(
            f"{path}: is {background} where it is not transparent, so nothing of it would be seen: use "
            f"--background {other}"
        )
    return seen


def _deep_pixels(image: Any, background: str) -> Any:
    """Return an image of 16 bits as grey floating-point values, 0 to 255."""
    from PIL import Image, ImageOps

    inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
    hidden = image.info.get("transparency")
    pixels = np.asarray(ImageOps.exif_transpose(image)).astype(np.float32)
    grey = (65535.0 - pixels if inverted else pixels) / np.float32(257.0)
    if isinstance(hidden, int):
        grey[pixels == hidden] = 255.0 if background == "white" else 0.0
    return Image.fromarray(grey)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an image and read its header; every error inside the block becomes a DataError with the path."""
    with needed("datasets", "a picture"):
        from PIL import Image
    with reading(path) as file:
        if (size := file.seek(0, 2)) > MAX_FILE:
            raise DataError(f"{path}: has {size:,} bytes, more than the {MAX_FILE:,} accepted for an image")
        file.seek(0)
        _check_webp(file.read(30), path)
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about odd metadata, and about sizes that nnx refuses itself
                with Image.open(file, formats=_DECODERS) as image:
                    _check(image, path)
                    yield image
        except DataError:
            raise
        except Exception as error:  # on damaged files, decoders raise every kind of error
            raise DataError(f"{path}: is not a readable image ({first_line(error)})") from error


def _check_pixels(height: int, width: int, path: Path) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"{path}: is {height:,} × {width:,} pixels, more than the {MAX_PIXELS:,} accepted")


def _check(image: Any, path: Path) -> None:
    _check_pixels(image.height, image.width, path)
    if image.mode not in _MODES and not _is_deep(image):
        raise DataError(f"{path}: has {image.mode} pixels, expected 8 or 16 bits per channel: convert it")


def _check_webp(start: bytes, path: Path) -> None:
    """Refuse a WebP file with too many pixels before its decoder allocates memory for all of them."""
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return
    kind = start[12:16]
    if kind == b"VP8X":
        sides = [1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27)]
    elif kind == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        sides = [1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)]
    else:
        sides = [int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (26, 28)]
    _check_pixels(sides[1], sides[0], path)
