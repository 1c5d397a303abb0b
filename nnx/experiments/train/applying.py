"""Apply a trained model to files, which are read, scaled and checked as in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnx.checkpoints import read_metadata
from nnx.datasets import load_arrays
from nnx.errors import DataError, FileFormatError
from nnx.experiments.result import HostArray, model_path
from nnx.experiments.train.labelled import load_inputs
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.ranges import Range, Watch, are_bytes
from nnx.experiments.train.scaling import BYTES
from nnx.layers import Reshape
from nnx.network import Network, load
from nnx.readers import images
from nnx.readers.arrays import as_rows
from nnx.readers.form import Reading

SURELY_BYTES = 128  # pixels of a model trained on [0, 1]: whole numbers this large are bytes
BLACK = "the bytes are all 0 or 1, and bytes are divided by 255: if 1 means white, multiply by 255"


@dataclass(frozen=True)
class Model:
    """A network, and the description of its training data from its file.

    Attributes
    ----------
    network : Network
    prepared : Preparation or None
        How files become its inputs; None for a model that ``nnx train`` did not write.
    trained_on : Range or None
        The range of its inputs in training; None if the file does not have it.
    how : Reading
        How tables are written, if the user says so.
    notes : list of str
        What a user should know about data it was applied to; nothing is noted twice.
    digits : tuple of str
        The classes of ``nnx run classifier``, whose file has no `prepared`.
    """

    network: Network
    prepared: Preparation | None
    trained_on: Range | None
    how: Reading = field(default_factory=Reading)
    notes: list[str] = field(default_factory=list)
    digits: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | Path, device: str | None = None, how: Reading | None = None) -> Model:
        """Load the model in a run's folder, or in a file.

        Raises
        ------
        FileFormatError
            If there is none, or it is damaged.
        """
        path = model_path(Path(path))
        network, about = load(path, device=device), read_metadata(path)
        prepared, kept = Preparation.of_model(path, about, network), about.get("range")
        try:
            trained_on = None if kept is None else Range.from_metadata(kept, network.input_shape or ())
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"{path}: the range of its data is damaged ({error!r:.200})") from error
        return cls(network, prepared, trained_on, how or Reading(), digits=_digits(path, about, network))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of a classifier's classes; none for other models."""
        return self.prepared.classes if self.prepared else self.digits

    def names(self, outputs: int) -> list[str] | None:
        """Return the names of this many outputs; None if they have no names, such as codes."""
        if self.prepared is not None:
            return self.prepared.names(outputs)
        return list(self.digits) if len(self.digits) == outputs else None

    def read(self, path: str | Path) -> tuple[HostArray, list[str] | None]:
        """Read the samples of a file or folder as the network takes them; for images, also their files.

        Raises
        ------
        DataError
            If they cannot be read, or are not what the network was trained on.
        """
        if self.prepared is None:
            if _are_images(Path(path)):
                return self._images(path)
            kind = "int64" if self.network.takes_integers else self.network.dtype
            x = load_arrays(path, kind, how=self.how, notes=self.notes, shape=self.network.input_shape)
            return self._pixels(x, path), None
        x, files = load_inputs(path, self.prepared.layout, how=self.how, notes=self.notes)
        if self.prepared.layout.scaled_bytes:
            return self._bytes(x, path), files
        if x.dtype == np.uint8 and (self.trained_on is None or self._far(x)):
            raise DataError(
                f"{path}: holds bytes (uint8), but the network was trained on numbers{self._limits()}"
            )
        return x, files

    def _images(self, path: str | Path) -> tuple[HostArray, list[str] | None]:
        """Read images for a network of your own, divided by 255 as bytes from other files are."""
        shape = _image_shape(self.network)
        if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
            raise DataError(f"{path}: holds images, but the network takes rows of shape {shape}")
        place = Path(path)
        files = images.everywhere(place) if place.is_dir() else [place]
        found = images.survey(files, None, self.notes, shape[2] if len(shape) == 3 else 1)
        if found.shape[:2] != shape[:2]:
            size, takes = (" × ".join(map(str, sides[:2])) for sides in (found.shape, shape))
            raise DataError(f"{files[0]}: is {size} pixels, but the network takes {takes}: resize it")
        x = images.read_images(found, self.how.background, self.notes)
        return np.divide(x, BYTES, dtype=self.network.dtype).reshape(
            -1, *self.network.input_shape or ()
        ), list(map(str, files))

    def of_pixels(self, x: HostArray) -> HostArray:
        """Convert pixels in [0, 1] for `predict`: to bytes, if the network was trained on bytes."""
        if self.prepared is None or not self.prepared.layout.scaled_bytes:
            return x
        return np.round(x * BYTES).astype(np.uint8)

    def predict(self, x: Any, part: Network | None = None) -> HostArray:
        """Apply the network, or a part of it, to rows as they are in the user's files.

        The rows have the shape of those in training, or are flat. Inputs are scaled as in training, and
        outputs are returned in the units of the data, see `Preparation.predict`. Models that ``nnx train``
        did not write scale nothing.

        Raises
        ------
        DataError
            If a value is not finite, or the rows do not fit the network.
        """
        network, x = part or self.network, np.asarray(x)
        if network.input_shape is not None:
            x = as_rows(x, network.input_shape, "x")
        watch = None if self.trained_on is None else self._watch(self.trained_on)
        if self.prepared is not None:
            y = self.prepared.predict(network, x, watch=watch, whole=True)
        else:
            y = network.predict(x)
            if watch is not None:
                watch.see(x)
        if watch is not None:
            self._note(watch.note())
        return y

    def _watch(self, known: Range) -> Watch:
        return Watch(known, (self.prepared and self.prepared.layout.names()) or ())

    def _far(self, x: HostArray) -> bool:
        """Return whether numbers leave the common range of all inputs by more than its width."""
        assert self.trained_on is not None
        low, high = float(self.trained_on.low.min()), float(self.trained_on.high.max())
        return bool(x.min() < 2.0 * low - high or x.max() > 2.0 * high - low)

    def _limits(self) -> str:
        known = self.trained_on
        return "" if known is None else f" from {known.low.min():g} to {known.high.max():g}"

    def _note(self, text: str | None) -> None:
        if text and text not in self.notes:
            self.notes.append(text)

    def _pixels(self, x: HostArray, path: str | Path) -> HostArray:
        """Divide numbers from 0 to 255 for a network of pixels in [0, 1]; bytes are divided already."""
        if self.trained_on is None or not self.trained_on.pixels:
            return x
        if are_bytes(x, SURELY_BYTES):
            self._note(f"{path}: numbers from 0 to 255 are taken for pixels, and divided by 255")
            return np.divide(x, BYTES, dtype=x.dtype)
        if x.max() == x.dtype.type(1.0 / BYTES):
            self._note(f"{path}: {BLACK}")
        return x

    def _bytes(self, x: HostArray, path: str | Path) -> HostArray:
        """Return bytes for a network of bytes; numbers are converted if they must be bytes."""
        if x.dtype == np.uint8:
            if x.max() == 1:
                self._note(f"{path}: {BLACK}")
            return x
        if not are_bytes(x, 2) and x.any():
            raise DataError(
                f"{path}: holds numbers ({x.dtype}), but the network was trained on bytes, from 0 to 255: "
                "multiply numbers in [0, 1] by 255 and round them"
            )
        self._note(f"{path}: numbers from 0 to 255 are taken for bytes, which the network was trained on")
        return x.astype(np.uint8)


def _digits(path: Path, about: dict[str, Any], network: Network) -> tuple[str, ...]:
    """Return the classes that ``nnx run classifier`` wrote; files of version 0.1 may have none.

    Raises
    ------
    FileFormatError
        If they are no texts, or do not fit the network.
    """
    kept = about.get("classes", []) if about.get("experiment") == "classifier" else []
    fit = isinstance(kept, list) and all(isinstance(one, str) for one in kept)
    if not fit or (kept and len(kept) != network.outputs):
        raise FileFormatError(f"{path}: its classes are damaged ({kept!r:.100})")
    return tuple(kept)


def _image_shape(network: Network) -> tuple[int, ...]:
    """Return the shape of a row; of flat rows that the first layer makes images of, that of these images."""
    shape = network.input_shape or ()
    first = network.layers[0]
    return first.output_shape or shape if len(shape) == 1 and isinstance(first, Reshape) else shape


def _are_images(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in images.SUFFIXES
