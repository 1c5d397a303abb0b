"""Read a folder of images as samples; the subfolders, or those in train/, are the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnx.errors import ConfigurationError, DataError
from nnx.experiments.train.layout import Labelled, Layout
from nnx.experiments.train.targets import checked_names
from nnx.readers import images
from nnx.readers.form import Reading

_TRAIN = ("train", "training")
_HELD_OUT = ("val", "valid", "validation", "test", "testing")  # the first that exists


def from_folder(
    path: Path, task: str, size: tuple[int, int] | None, how: Reading, max_bytes: int
) -> Labelled:
    """Read the images of a folder; see `nnx.experiments.train.labelled.load_labelled`."""
    if task == "regression":
        raise ConfigurationError(f"{path}: a folder of images is for classification or autoencoding")
    notes: list[str] = []
    parts = _parts(path, notes)
    if task == "auto":
        task = "classification" if images.subfolders(parts[0]) else "autoencoding"
    files = [images.everywhere(part) for part in parts]
    for part, its in zip(parts, files, strict=True):
        if task == "classification" and its[-1].parent == part:
            raise DataError(f"{its[-1]}: lies in no subfolder, whose name would be its class")
        if skipped := images.others(part):
            notes.append(f"{part}: {len(skipped):,} files are no images that are read (first {skipped[0]})")
    every = [file for its in files for file in its]
    found = images.survey(every, size, notes)
    x = images.read_images(found, how.background, notes, max_bytes).reshape(-1, *found.shape)
    layout = Layout(
        math.prod(found.shape), image=found.shape, scaled_bytes=not found.deep, background=how.background,
        shape=found.shape,
    )  # fmt: skip
    held_out = np.arange(len(files[0]), len(every)) if len(parts) > 1 else None
    if task == "autoencoding":
        return Labelled(str(path), task, x, None, (), (), layout, notes=tuple(notes), held_out=held_out)
    classes = checked_names([folder.name for folder in images.subfolders(parts[0])], str(path))
    labels = _labels(every, classes, parts[0])
    return Labelled(str(path), task, x, labels, classes, (), layout, notes=tuple(notes), held_out=held_out)


def _parts(path: Path, notes: list[str]) -> list[Path]:
    """Return the folder itself, or its train/ and the folder with the images held out."""
    folders = {folder.name.lower(): folder for folder in images.subfolders(path)}
    train = [folders[name] for name in _TRAIN if name in folders]
    held = [folders[name] for name in _HELD_OUT if name in folders]
    if not train or not held or len(folders) != len(train) + len(held):
        return [path]
    if len(train) > 1:
        raise DataError(f"{path}: holds both {train[0].name} and {train[1].name}: remove one")
    unused = f"; {', '.join(other.name for other in held[1:])} is not used" if held[1:] else ""
    notes.append(f"{path}: {train[0].name} is trained on, {held[0].name} is held out{unused}")
    return [train[0], held[0]]


def _labels(files: Sequence[Path], classes: Sequence[str], train: Path) -> np.ndarray:
    number = {name: label for label, name in enumerate(classes)}
    for file in files:
        if file.parent.name not in number:
            raise DataError(f"{file.parent}: there is no class of this name in {train}")
    return np.array([number[file.parent.name] for file in files], np.int64)
