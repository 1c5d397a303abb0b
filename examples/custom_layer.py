"""Write your own layers, check them against finite differences, train, save and load them.

Run it:  python examples/custom_layer.py [EPOCHS]

`Maxout` (Goodfellow et al., 2013) returns the largest of each group of neighbouring inputs. `Scale`
multiplies every input by a trained factor. Both run on every backend, because they use the backend's array
functions (``workspace.backend.xp``) and write their results into the arrays they are given.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nnx
from nnx import datasets
from nnx.layers import Workspace


class Scale(nnx.Layer):
    """y = x ∘ s; ds = Σ_rows dy ∘ x, dx = dy ∘ s."""

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one factor for each input: it becomes ``self.factor``, its gradient ``self.dfactor``."""
        assert self.inputs is not None
        return {"factor": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Draw the factors on the host, so that every device starts from the same numbers."""
        return {"factor": generator.uniform(0.5, 1.5, self.inputs)}

    def forward_into(self, x: Any, y: Any, workspace: Workspace) -> None:
        """Write y. The network's plan stores what backward needs: ``workspace.x`` and ``workspace.y``."""
        y[...] = x * self.factor

    def backward_into(self, dy: Any, dx: Any, workspace: Workspace) -> None:
        """Overwrite the gradient; dx is None if nobody needs it (in the first layer)."""
        self.dfactor[...] = workspace.backend.xp.sum(dy * workspace.x, axis=0)
        if dx is not None:
            dx[...] = dy * self.factor


class Maxout(nnx.Layer):
    """y_j = max of group j of `pieces` inputs; the gradient goes to the largest input."""

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a saved network is built from them."""
        return {"pieces": self.pieces}

    def width(self, inputs: int) -> int:
        """Return the number of outputs: one for each group."""
        if inputs % self.pieces:
            raise nnx.ConfigurationError(f"Maxout: {inputs} inputs do not split into groups of {self.pieces}")
        return inputs // self.pieces

    def forward_into(self, x: Any, y: Any, workspace: Workspace) -> None:
        """Write y, of shape (rows, groups)."""
        y[...] = workspace.backend.xp.max(x.reshape(*y.shape, self.pieces), axis=2)

    def backward_into(self, dy: Any, dx: Any, workspace: Workspace) -> None:
        """Write dx. Two equal inputs both get the gradient; the check excludes such a kink."""
        if dx is not None:
            groups = workspace.x.reshape(*dy.shape, self.pieces)
            dx[...] = ((groups == workspace.y[:, :, None]) * dy[:, :, None]).reshape(dx.shape)


class Forgetful(Scale):
    """`Scale` with a mistake: the factor is missing from dx."""

    def backward_into(self, dy: Any, dx: Any, workspace: Workspace) -> None:
        """Write a wrong dx, on purpose."""
        super().backward_into(dy, None, workspace)
        if dx is not None:
            dx[...] = dy


def main(epochs: int = 20) -> None:
    for layer in (Scale(), Maxout(2), Forgetful()):
        print(nnx.gradcheck.check(layer, inputs=6).message)

    data = datasets.load_digits()
    network = nnx.Network([Scale(), nnx.Dense(64, 128), Maxout(2), nnx.Dense(10), nnx.Softmax()], seed=0)
    network.fit(
        data.x_train,
        data.y_train,
        loss=nnx.CategoricalCrossEntropy(),
        optimizer=nnx.Adam(1e-3),
        epochs=epochs,
        validation=(data.x_test, data.y_test),
        metrics=["accuracy"],
        callbacks=[nnx.Progress(every=5)],
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "custom_layer.safetensors"
        network.save(path)
        again = nnx.load(path)  # layers are found by the name of their class
    assert (again.predict(data.x_test) == network.predict(data.x_test)).all()
    print(again.summary())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
