"""A network's values by name; copies, model files and pickles of networks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from nnx import model_files
from nnx.backends import Array, Backend, automatic, resolve
from nnx.errors import ConfigurationError, DataError, FileFormatError
from nnx.layers import stack
from nnx.layers.base import walk
from nnx.layers.descriptions import entry_of, from_entry
from nnx.network.base import NetworkBase
from nnx.network.precision import resolve as resolve_precision

HostArray = np.ndarray[Any, Any]


class StoredNetwork(NetworkBase):
    """Read and set a network's values; copy, save and load it."""

    def parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield (name, value, gradient) of each parameter, as views: ``value[...] = …`` sets a value."""
        _ = self.arena
        for layer in self.layers:
            for name, value, gradient in layer.named_parameters():
                yield f"{layer.name}.{name}", value, gradient

    def parameter_count(self) -> int:
        """Return the number of trained values."""
        return sum(value.size for _, value, _ in self.parameters())

    def weights(self) -> dict[str, HostArray]:
        """Copy all parameters and running statistics to the host, by name."""
        to_numpy = self.arena.backend.to_numpy
        persistent = list(self._persistent())
        found = {name: to_numpy(value).copy() for name, value in persistent}
        if len(found) < len(persistent):
            names = [name for name, _ in persistent]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(
                f"two parameters are called {twice!r}: give their layers different names"
            )
        return found

    def set_weights(self, weights: dict[str, Any]) -> None:
        """Set all parameters and running statistics, from a mapping as `weights` returns it.

        Raises
        ------
        DataError
            If a name or shape does not fit. No value is changed then.
        """
        persistent = dict(self._persistent())
        odd = [f"the network has no {name}" for name in weights if name not in persistent]
        odd += [f"{name} is missing" for name in persistent if name not in weights]
        if odd:
            raise DataError(f"weights do not fit the network: {', '.join(odd[:4])}")
        ready = {}
        for name, value in persistent.items():
            given = weights[name]
            shape = tuple(given.shape) if hasattr(given, "shape") else np.shape(given)
            if shape != value.shape:
                raise DataError(f"{name} has shape {value.shape}, not {shape}")
            ready[name] = self.backend.asarray(given, self.dtype)
        with self.backend.hold():
            for name, value in persistent.items():
                value[...] = ready[name]

    def _persistent(self) -> Iterator[tuple[str, Array]]:
        for name, value, _ in self.parameters():
            yield name, value
        for layer in self.layers:
            for name, value in layer.named_state():
                yield f"{layer.name}.{name}", value

    def copy(self) -> Self:
        """Return an independent network with equal layers and values, but without optimizer state.

        The copy has the same seed and has taken no step. So its first `fit` has the orders of batches and the
        dropout masks of the first `fit` of this network. (In the copy of a slice, layers have other numbers,
        so the masks differ.)
        """
        twin = type(self).from_config(self.config(), device=self.backend, draw=self._arena is None)
        if self._arena is not None:
            names = [name for name, _ in twin._persistent()]  # a slice has other names than its copy
            twin.set_weights(dict(zip(names, self.weights().values(), strict=True)))
        return twin

    def config(self) -> dict[str, Any]:
        """Return what `from_config` needs to build the network again, as values that JSON can hold.

        Raises
        ------
        ConfigurationError
            If the ``config()`` of a layer that you wrote lacks an argument of its constructor. `copy`,
            `save`, pickles and checkpoints raise it too.
        """
        return {
            "layers": list(map(entry_of, self.layers)),
            "inputs": described(self.input_shape),
            "dtype": self.precision,  # files have this name since version 0.1
            "seed": self.seed,
            "fuse": self.fuse,
            "code": self.encoder_length,  # files have this name since version 0.1
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], device: str | Backend | None = None, *, draw: bool = True
    ) -> Self:
        """Build a network from its `config`, with new initial weights.

        ``draw=False`` makes all values zero. This saves memory and time if you set them next.
        """
        layers = list(map(from_entry, config["layers"]))
        network = cls.__new__(cls)
        backend = resolve(device)
        precision = resolve_precision(config["dtype"], None, backend, walk(layers))
        network._assemble(layers, backend, precision, config["seed"], config["fuse"])
        network._undecided = automatic(device)
        if config["inputs"] is not None:
            (network.build if draw else network._allocate)(config["inputs"])
        network._adopt()
        network.encoder_length = config["code"]
        return network

    def save(self, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write layers, parameters and statistics to a safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
        metadata : dict, optional
            Anything that JSON can hold; `nnx.checkpoints.read_metadata` returns it.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        if self._parent is not None:  # a file names the layers by their place in the slice
            self.copy().save(path, metadata)
            return
        to_numpy = self.arena.backend.to_numpy  # makes no copy on the host, so saving takes hardly any memory
        values = {name: to_numpy(value) for name, value in self._persistent()}
        model_files.write(path, values, self.config(), metadata or {})

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str | Backend | None = None,
        precision: str | None = None,
    ) -> Self:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : path
        device, precision
            As for `Network`; without `precision`, the network has the one that it was saved with.

        Raises
        ------
        ConfigurationError
            If `precision` is unknown.
        DeviceError
            If the device cannot compute with the precision.
        FileFormatError
            If the file is damaged, has another kind or version, or its arrays do not fit its layers.
        OutOfMemoryError
            If there is too little memory; the text says for what. Loading needs about three times the size of
            the parameters: the arrays of the file, the values, and the gradients.
        """
        backend = resolve(device)
        resolve_precision(precision, None, backend)  # checked first, so that the error does not name the file
        chosen = {} if precision is None else {"dtype": precision}
        weights, config = model_files.read(path)

        def build() -> Any:
            _check_claim(config, weights)
            return cls.from_config(config | chosen, backend, draw=False)

        network: Self = model_files.fitted(path, build, weights)
        network._undecided = automatic(device)
        return network

    def __getstate__(self) -> dict[str, Any]:
        if self._parent is not None:
            return self.copy().__getstate__()
        weights = self.weights() if self._arena is not None else None
        # "cpu" instead of the name "numba": the machine that unpickles it may have no Numba
        device = "numpy" if self.backend.name == "numpy" else self.device
        return {"config": self.config(), "weights": weights, "device": device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        twin = type(self).from_config(state["config"], device=state["device"])
        self.__dict__ = twin.__dict__  # replaces a cached arena too
        if state["weights"] is not None:
            self.set_weights(state["weights"])


def _check_claim(config: dict[str, Any], weights: dict[str, HostArray]) -> None:
    """Refuse a file whose layers need far more values than it holds, before memory is allocated for them."""
    if config["inputs"] is None:
        return
    layers = stack.expand(list(map(from_entry, config["layers"])))
    stack.name(layers)
    stack.connect(layers, config["inputs"])
    shapes = [s for layer in walk(layers) for s in (layer.parameter_shapes(), layer.state_shapes())]
    claimed = sum(math.prod(shape) for named in shapes for shape in named.values())
    held = sum(value.size for value in weights.values())
    if claimed > 2 * held + 2**16:  # smaller differences: set_weights names the array
        raise FileFormatError(f"its layers need {claimed:,} numbers, but the file holds {held:,}")


def described(shape: tuple[int, ...] | None) -> int | list[int] | None:
    """Return a shape as files hold it: the number of features, as in version 0.1, or a list of all axes."""
    if shape is None:
        return None
    return shape[0] if len(shape) == 1 else list(shape)
