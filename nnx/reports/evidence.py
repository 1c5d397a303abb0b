"""Store what a report shows in addition to numbers, so that the page can be made again from the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnx.errors import DataError, FileFormatError
from nnx.experiments import Result
from nnx.experiments.convolutions import maps_of
from nnx.experiments.variational import STEPS
from nnx.experiments.xor import GRID
from nnx.files import replacing
from nnx.readers.npy import NUMBERS, TEXTS, open_npz
from nnx.reports.filters import filter_tiles, mosaic, scaled_maps
from nnx.reports.maps import plane

FILE = "report.npz"
EACH = 2  # images of each label shown with their reconstructions
MOST = 40  # most of these images
A_CELL = 24  # most misread images stored for a cell of the confusion matrix
MAX_BYTES = 2**26

Evidence = dict[str, NDArray[Any]]

# Arrays that belong together, and the number of axes of each; their first axes have the same length.
_GROUPS: tuple[dict[str, int], ...] = (
    {"originals": 3, "reconstructions": 3, "image_labels": 1, "image_errors": 1},
    {"points": 2, "point_labels": 1},
    {"values_true": 2, "values_predicted": 2},
    {"misread": 3, "misread_true": 1, "misread_predicted": 1, "misread_index": 1},
    {"map_images": 4, "map_labels": 1, "maps": 3},
    {"code_kl": 1, "code_spread": 1},
    {"samples": 3},
    {"interpolation": 4},
)
_OF_A_COMPARISON = ("_nnx", "_keras", "_keras_xla", "_epochs")
_IMAGES = {"originals", "reconstructions", "misread", "surface", "filters", "map_images", "maps"} | {
    "samples", "interpolation",
}  # fmt: skip
_COLOURS = (1, 3)  # numbers of channels of an image


def gather(result: Result) -> Evidence:
    """Return what the arrays of a result can show, with images as bytes."""
    arrays = result.arrays
    kept: Evidence = {}
    if {"originals", "reconstructions", "image_shape"} <= arrays.keys():
        kept |= _reconstructions(result)
    if {"codes", "labels"} <= arrays.keys() and min(arrays["codes"].shape) > 1:
        points, shares = plane(arrays["codes"])
        kept |= {"points": points.astype(np.float32), "shares": shares, "point_labels": arrays["labels"]}
    if {"images", "y_true", "y_pred", "image_shape"} <= arrays.keys():
        kept |= _misread(result)
    if {"true", "predicted"} <= arrays.keys():
        kept |= {"values_true": arrays["true"], "values_predicted": arrays["predicted"]}
    if {"samples", "interpolation", "code_kl", "image_shape"} <= arrays.keys():
        kept |= _variational(arrays)
    if "filters" in arrays:
        kept |= _convolutions(arrays)
    if "surface" in arrays:
        kept["surface"] = as_bytes(arrays["surface"])
    return kept | {name: values for name, values in arrays.items() if name.endswith(_OF_A_COMPARISON)}


def as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values in 0..1 as bytes; smaller values become 0, larger ones 255."""
    scaled: NDArray[np.uint8] = np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
    return scaled


def _reconstructions(result: Result) -> Evidence:
    arrays = result.arrays
    labels = arrays.get("labels", np.arange(1, len(arrays["originals"]) + 1))
    each = EACH if "labels" in arrays else 1
    chosen = np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])[:MOST]
    x, y = arrays["originals"][chosen], arrays["reconstructions"][chosen]
    shape = (-1, *(int(side) for side in arrays["image_shape"]))
    return {
        "originals": as_bytes(x.reshape(shape)),
        "reconstructions": as_bytes(y.reshape(shape)),
        "image_labels": labels[chosen],
        "image_errors": np.mean(np.square(x.astype(np.float64) - y), axis=1),
    }


def _misread(result: Result) -> Evidence:
    arrays = result.arrays
    truth, guess = arrays["y_true"], arrays["y_pred"]
    classes = np.unique(np.concatenate([truth, guess]))
    pairs = ((true, other) for true in classes for other in classes if true != other)
    cells = [np.flatnonzero((truth == true) & (guess == other))[:A_CELL] for true, other in pairs]
    chosen = np.concatenate([np.empty(0, int), *cells])
    if not len(chosen):
        return {"classes": classes}
    shape = (-1, *(int(side) for side in arrays["image_shape"]))
    return {
        "classes": classes,
        "misread": as_bytes(arrays["images"][chosen].reshape(shape)),
        "misread_true": truth[chosen],
        "misread_predicted": guess[chosen],
        "misread_index": chosen.astype(np.int32),
    }


def _variational(arrays: Evidence) -> Evidence:
    """Return new images, a line of images for each pair, and what each number of the code holds."""
    shape = tuple(int(side) for side in arrays["image_shape"])
    return {
        "samples": as_bytes(arrays["samples"].reshape(-1, *shape)),
        "interpolation": as_bytes(arrays["interpolation"].reshape(-1, STEPS, *shape)),
        "code_kl": arrays["code_kl"],
        "code_spread": arrays["code_spread"],
    }


def _convolutions(arrays: Evidence) -> Evidence:
    """Return the first filters, and for each image its activation maps as one picture: a line for a layer."""
    layers = list(maps_of(arrays).values())
    side = max(max(one.shape[1:3]) for one in layers)
    maps = [
        mosaic([np.moveaxis(scaled_maps(one[place]), 2, 0) for one in layers], side)
        for place in range(len(arrays["map_images"]))
    ]
    tiles = filter_tiles(arrays["filters"])
    return {
        "filters": as_bytes((tiles.reshape(*tiles.shape[:3], -1) + 1.0) / 2.0),
        "map_images": as_bytes(arrays["map_images"]),
        "map_labels": arrays["map_labels"],
        "map_layers": arrays["map_layers"],
        "maps": as_bytes(np.stack(maps)),
    }


def write(kept: Evidence, path: Path) -> None:
    """Write the evidence, whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **kept)


def read(path: Path) -> Evidence:
    """Read the evidence of a run; it is empty if the run has none or an older nnx wrote it.

    Raises
    ------
    FileFormatError
        If the file is damaged, or its arrays do not fit together.
    """
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file, open_npz(file, str(path), MAX_BYTES) as archive:
            kept = {name: archive.read(name, NUMBERS + TEXTS) for name in archive.members}
    except DataError as error:
        raise FileFormatError(f"{error}: remove it, or run the experiment again") from error
    except OSError as error:
        raise FileFormatError(f"cannot read {path} ({error.strerror or error})") from error
    problem = _misfit(kept)
    if problem:
        raise FileFormatError(f"{path}: {problem}: remove it, or run the experiment again")
    return kept


def _misfit(kept: Evidence) -> str:
    """Return what is wrong with the arrays, which nnx may not have written; empty if nothing is."""
    for name in _IMAGES & kept.keys():
        if kept[name].dtype != np.uint8:
            return f"{name} has {kept[name].dtype} values, but must have bytes"
    for group in _GROUPS:
        there = {name: kept[name] for name in group if name in kept}
        if there and len(there) != len(group):
            return f"{', '.join(group)} belong together, but it has only {', '.join(there)}"
        if any(array.ndim != group[name] for name, array in there.items()):
            return f"{', '.join(group)} must have {tuple(group.values())} axes"
        if len({len(array) for array in there.values()}) > 1:
            return f"{', '.join(group)} differ in length"
    if "values_true" in kept and kept["values_true"].shape != kept["values_predicted"].shape:
        return "values_true and values_predicted differ in shape"
    for name, wanted in (("surface", (GRID, GRID)), ("shares", (2,))):
        if name in kept and kept[name].shape != wanted:
            return f"{name} has shape {kept[name].shape}, but must have {wanted}"
    if "filters" in kept and (kept["filters"].ndim != 4 or kept["filters"].shape[3] not in _COLOURS):
        return f"filters have shape {kept['filters'].shape}"
    if "maps" in kept and ("map_layers" not in kept or kept["map_images"].shape[3] not in _COLOURS):
        return "maps are not maps of images"
    if "points" in kept and (kept["points"].shape[1] != 2 or "shares" not in kept):
        return "points are not points in a plane"
    return ""
