"""How rows reach a training step: from the device, where they fit; drawn anew, where they are augmented."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnx.backends import Array, Backend
from nnx.errors import DataError
from nnx.rows import CHECKED, HostArray, Rows
from nnx.samples import Augmentation, Samples, check_finite

Batch = tuple[Array, Array, Array | None]
Check = Callable[[HostArray], None]


def batches(
    backend: Backend, samples: Samples, rows: int, augment: Augmentation | None, check_targets: Check
) -> Resident | Drawn:
    """The way that serves these samples, with room for batches of so many rows."""
    if augment is not None:
        return Drawn(backend, samples, rows, augment, check_targets)
    return Resident(backend, samples, rows)


class Resident:
    """The data on the device, and room for one batch of it; a full batch is used where it lies.

    Bytes stay bytes there, a quarter of what floats take: gathering a batch turns them into numbers.
    """

    on_host = False  # where the order of rows is wanted

    def __init__(self, backend: Backend, samples: Samples, rows: int) -> None:
        self.backend = backend
        self.x = _Column(backend, samples.x, "x", rows)
        self.y = self.x if samples.y is samples.x else _Column(backend, samples.y, "y", rows)
        self.weights = None if samples.weights is None else _Column(backend, samples.weights, "w", rows)

    def whole(self) -> Batch:
        """All rows, in the network's type."""
        x = self.x.numbers()
        y = x if self.y is self.x else self.y.numbers()
        return x, y, None if self.weights is None else self.weights.numbers()

    def take(self, order: Array, own: slice) -> Batch:
        """The rows that stand there in the order."""
        indices = order[own]
        x = self.x.take(indices)
        y = x if self.y is self.x else self.y.take(indices)
        return x, y, None if self.weights is None else self.weights.take(indices)


class _Column:
    """Inputs, targets or weights on the device, and room for a batch of them."""

    def __init__(self, backend: Backend, source: HostArray | Rows, name: str, rows: int) -> None:
        self.backend = backend
        held = source if isinstance(source, Rows) else Rows(source)
        self.dtype, self.divisor = held.dtype, held.divisor
        self.data = _uploaded(backend, held, name)
        self._rows = rows
        self._room: dict[int, Array] = {}

    def numbers(self) -> Array:
        """All of it; where it was bytes, it is turned into numbers for good."""
        if self.data.dtype != self.dtype:
            whole = self.backend.empty(self.data.shape, self.dtype)
            indices = self.backend.asarray(np.arange(len(self.data)))
            self.data = self.backend.gather(self.data, indices, whole, self.divisor)
        return self.data

    def take(self, indices: Array) -> Array:
        """The rows of a batch."""
        rows = indices.shape[0]
        out = self._room.get(rows)
        if out is None:  # fewer rows use the first of the room
            if not self._room:
                shape = (self._rows, *self.data.shape[1:])
                self._room[self._rows] = self.backend.empty(shape, self.dtype)
            out = self._room[rows] = self._room[self._rows][:rows]
        return self.backend.gather(self.data, indices, out, self.divisor)


def _uploaded(backend: Backend, rows: Rows, name: str) -> Array:
    """The rows on the device as they are kept there; several arrays, or mapped ones, a part at a time."""
    if len(rows.parts) == 1 and not rows.mapped:
        return backend.asarray(rows.parts[0])
    data = backend.empty(rows.shape, rows.kept)
    for start in range(0, len(rows), CHECKED):
        numbers = np.arange(start, min(start + CHECKED, len(rows)))
        stored = rows.read(numbers)
        if rows.kept != rows.stored:
            stored = rows.values(stored)
        if rows.mapped and rows.stored.kind == "f":
            check_finite(stored, name, numbers)
        data[start : start + CHECKED] = backend.asarray(stored)
    return data


class Drawn:
    """Augmented data stays on the host: each batch is drawn there and uploaded."""

    on_host = True

    def __init__(
        self, backend: Backend, samples: Samples, rows: int, augment: Augmentation, check_targets: Check
    ) -> None:
        self.backend, self.samples, self.augment = backend, samples, augment
        self.check_targets = check_targets
        self.y_is_x = samples.y is samples.x
        self._room = {
            name: backend.empty((rows, *source.shape[1:]), source.dtype)
            for name, source in (("x", samples.x), ("y", samples.y))
        }

    def take(self, indices: HostArray, generator: np.random.Generator) -> Batch:
        """The rows of these numbers, as `augment` gives them back; `generator` draws."""
        inputs = self.samples.x[indices]
        targets = inputs if self.y_is_x else self.samples.y[indices]
        drawn = self.augment(generator, inputs, targets)
        batch = []
        for (name, room), rows in zip(self._room.items(), drawn, strict=True):
            place = room[: len(indices)]
            if np.shape(rows) != place.shape or np.asarray(rows).dtype.kind != place.dtype.kind:
                raise DataError(
                    f"augment gave {name} of shape {np.shape(rows)}, {np.asarray(rows).dtype}, "
                    f"for a batch of shape {tuple(place.shape)}, {place.dtype}"
                )
            check_finite(rows, f"what augment gave for {name}")
            place[...] = self.backend.asarray(rows, place.dtype)
            batch.append(place)
        self.check_targets(drawn[1])
        weights = self.samples.weights
        return batch[0], batch[1], None if weights is None else self.backend.asarray(weights[indices])
