"""Write a convolution by hand, check every gradient by finite differences, train it and draw its filters.

Run it:  python examples/convolution.py [EPOCHS]

docs/convolution.md derives each line. The layer works on every backend, because it uses the backend's array
functions and writes its results into the arrays it is given. `nnx.Conv2D` computes the same, only faster.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import nnx
from nnx import datasets, reports
from nnx.layers import Workspace


class Convolution(nnx.Layer):
    """y[i, j] = b + Σ_(u, v) x[s i + u, s j + v] W[u, v]: the same weights at every place of an image.

    Parameters
    ----------
    filters : int
        The number of channels of the output.
    size : int
        Height and width of the window.
    stride : int
        The distance s between two windows.
    padding : int
        Rings of zeros around the image.
    """

    layout = "shape"  # the passes see a batch of images: (rows, height, width, channels)

    def __init__(self, filters: int, size: int = 3, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.filters, self.size, self.stride, self.padding = filters, size, stride, padding

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a saved network is built from them."""
        return {name: getattr(self, name) for name in ("filters", "size", "stride", "padding")}

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (height, width, filters): as many places as the window has in each direction."""
        if len(input_shape) != 3 or min(input_shape[:2]) + 2 * self.padding < self.size:
            raise nnx.ConfigurationError(f"{self!r} does not fit images of shape {input_shape}")
        height, width = ((side + 2 * self.padding - self.size) // self.stride + 1 for side in input_shape[:2])
        return height, width, self.filters

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of W and b; their gradients become ``self.dW`` and ``self.db``."""
        assert self.input_shape is not None
        return {"W": (self.size, self.size, self.input_shape[2], self.filters), "b": (self.filters,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Draw W as He does: each output is a sum over size · size · channels numbers."""
        shape = self.parameter_shapes()["W"]
        return {"W": generator.normal(0.0, (2.0 / (shape[0] * shape[1] * shape[2])) ** 0.5, shape)}

    def forward_into(self, x: Any, y: Any, workspace: Workspace) -> None:
        """Copy what each window sees into a row of `columns`; then one product computes all outputs."""
        padded, columns = self._memory(x, y, workspace)
        padded[...] = 0.0
        self._inside(padded)[...] = x
        for u, v, seen in self._places(padded, y):
            columns[:, :, :, u, v] = seen
        product = columns.reshape(-1, self._terms()) @ self.W.reshape(-1, self.filters)
        y[...] = product.reshape(y.shape) + self.b

    def backward_into(self, dy: Any, dx: Any, workspace: Workspace) -> None:
        """Compute dW, db and dx; `columns` still holds what the forward pass wrote."""
        padded, columns = self._memory(workspace.x, dy, workspace)
        slopes = dy.reshape(-1, self.filters)
        self.db[...] = workspace.backend.xp.sum(slopes, axis=0)
        self.dW[...] = (columns.reshape(-1, self._terms()).T @ slopes).reshape(self.W.shape)
        if dx is not None:
            self._add_up(slopes @ self.W.reshape(-1, self.filters).T, padded, columns.shape, dy)
            dx[...] = self._inside(padded)

    def _add_up(self, dcolumns: Any, padded: Any, shape: tuple[int, ...], dy: Any) -> None:
        """Write into `padded` for each pixel the sum of the slopes that the windows give it."""
        dcolumns = dcolumns.reshape(shape)
        padded[...] = 0.0
        for u, v, seen in self._places(padded, dy):
            seen += dcolumns[:, :, :, u, v]

    def _terms(self) -> int:
        """Return how many numbers of x one number of y depends on."""
        assert self.input_shape is not None
        return self.size * self.size * self.input_shape[2]

    def _memory(self, x: Any, y: Any, workspace: Workspace) -> tuple[Any, Any]:
        """Return memory for the image with its rings of zeros, and for the columns."""
        rows, height, width, channels = x.shape
        ring = 2 * self.padding
        padded = workspace.buffer("padded", (rows, height + ring, width + ring, channels))
        columns = workspace.buffer("columns", (*y.shape[:3], self.size, self.size, channels))
        return padded, columns

    def _inside(self, padded: Any) -> Any:
        """Return the part of a padded batch that is the image, as a view."""
        _, height, width, _ = padded.shape
        return padded[:, self.padding : height - self.padding, self.padding : width - self.padding]

    def _places(self, padded: Any, y: Any) -> Iterator[tuple[int, int, Any]]:
        """Yield (u, v, view): for each place in the window the pixels that all windows see there."""
        down, right = self.stride * y.shape[1], self.stride * y.shape[2]
        for u in range(self.size):
            for v in range(self.size):
                yield u, v, padded[:, u : u + down : self.stride, v : v + right : self.stride]


class Overwriting(Convolution):
    """`Convolution` with a mistake: each window overwrites the slopes that another window left in a pixel."""

    def _add_up(self, dcolumns: Any, padded: Any, shape: tuple[int, ...], dy: Any) -> None:
        """Overwrite where it must add, on purpose."""
        dcolumns = dcolumns.reshape(shape)
        padded[...] = 0.0
        for u, v, seen in self._places(padded, dy):
            seen[...] = dcolumns[:, :, :, u, v]


def main(epochs: int = 10) -> None:
    for layer in (Convolution(4), Convolution(3, 2, stride=2), Convolution(2, 3, 2, 1), Overwriting(2)):
        print(nnx.gradcheck.check(layer, inputs=(6, 5, 2)).message)

    data = datasets.load_digits()
    layers = [
        nnx.Reshape((8, 8, 1)), Convolution(16, padding=1), nnx.ReLU(), Convolution(32, stride=2, padding=1),
        nnx.ReLU(), nnx.Flatten(), nnx.Dense(10), nnx.Softmax(),
    ]  # fmt: skip
    network = nnx.Network(layers, seed=0)
    network.fit(
        data.x_train,
        data.y_train,
        loss=nnx.CategoricalCrossEntropy(),
        optimizer=nnx.Adam(2e-3),
        epochs=epochs,
        validation=(data.x_test, data.y_test),
        metrics=["accuracy"],
        callbacks=[nnx.Progress(every=2)],
    )
    print(network.summary())
    figure = reports.filters(network.weights()["convolution_1.W"])
    reports.save_figure(figure, "figures/convolution_filters.png")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
