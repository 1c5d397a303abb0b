"""The gradient of an output of a network with respect to its input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnx.backends import foreign
from nnx.data.device_rows import received
from nnx.data.rows import HostArray
from nnx.data.samples import host_array
from nnx.errors import ConfigurationError, DataError, whole
from nnx.network.receiving import receive
from nnx.network.storage import StoredNetwork
from nnx.training.evaluation import EVALUATION_ROWS


class Differentiable(StoredNetwork):
    """A network with the gradient of its output with respect to its input."""

    def input_gradient(self, x: Any, output: Any = None, batch_size: int = EVALUATION_ROWS) -> HostArray:
        """Compute the gradient of an output with respect to the input: ∂y[i, output] / ∂x[i] for each row i.

        The pass is one of inference: without dropout, and with the running statistics of batch
        normalization. Parameters, and the gradients of the last training step, stay as they are.

        Parameters
        ----------
        x : array_like of shape (rows, *input_shape)
        output : int, or array of int of shape (rows,), optional
            Which number of a row of the output; an array chooses one for each row. With several axes, the
            numbers are counted in C order. None is the only one.
        batch_size : int
            The number of rows in one pass.

        Returns
        -------
        array of shape (rows, *input_shape)
            On the device of x, as from `predict`.

        Raises
        ------
        ConfigurationError
            If the network takes integers, or has several outputs and none is chosen.
        DataError
            If x does not fit the network, or there is no such output.

        References
        ----------
        Simonyan, Vedaldi and Zisserman (2014), Deep inside convolutional networks, section 3.

        Examples
        --------
        >>> import nnx
        >>> network = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], seed=0)
        >>> network.input_gradient([[0.0, 1.0, 2.0]], output=1).shape
        (1, 3)
        """
        return _computed(self, x, output, batch_size)


def _computed(network: StoredNetwork, x: Any, output: Any, batch_size: int) -> HostArray:
    """Compute ∂y[output]/∂x for each row; `Differentiable.input_gradient` describes it."""
    network.follow(x)
    if network.takes_integers:
        raise ConfigurationError("input_gradient: this network takes integers, which have no gradient")
    given, on_gpu, batch_size = x, foreign.on_gpu(x), whole("batch_size", batch_size)
    x = received(network.backend, x, "x") if on_gpu else host_array(x, "x")
    if x.ndim < 2 or x.shape[0] == 0:
        raise DataError(f"input_gradient takes x of shape (rows, inputs) with at least a row, not {x.shape}")
    with network._lock:
        receive(network, "input_gradient", x)
        places = _places(output, len(x), math.prod(network.output_shape))
        backend = network.backend
        result: HostArray = (backend.empty if on_gpu else np.empty)(x.shape, network.dtype)
        plan, gradients = network.plan("gradient"), network.arena.gradients
        with backend.hold():
            kept = gradients.copy()  # the pass overwrites those of the last training step
            used = network.arena.sparse.used()
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                y = plan.forward(network.asarray(x[rows]), False)
                chosen = np.zeros((y.shape[0], math.prod(network.output_shape)), network.dtype)
                chosen[np.arange(len(chosen)), places[rows]] = 1.0
                dx = plan.backward(backend.asarray(chosen.reshape(y.shape)), input_gradient=True)
                result[rows] = dx if on_gpu else backend.to_numpy(dx)
            gradients[...] = kept
            network.arena.sparse.use(used)
    network.backend.return_borrowed(given)
    return result


def _places(output: Any, rows: int, outputs: int) -> HostArray:
    """Return the number of the chosen output of each row."""
    if output is None:
        if outputs > 1:
            raise ConfigurationError(
                f"input_gradient: the network has {outputs:,} outputs: choose one with output=0, or one for "
                "each row with an array"
            )
        output = 0
    places = np.asarray(output)
    if places.dtype.kind not in "iu" or places.shape not in ((), (rows,)):
        raise DataError(
            f"output must be a whole number, or one for each of the {rows:,} rows, not {output!r:.60}"
        )
    if places.size and not (-outputs <= places.min() and places.max() < outputs):
        raise DataError(f"output must lie in 0 to {outputs - 1:,}, not {output!r:.60}")
    found: HostArray = np.broadcast_to(places, (rows,)) % outputs
    return found
