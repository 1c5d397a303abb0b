"""Run JAX on images in turns. VARIANT is ``step``."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax_worker
from jax import lax
from turns import main

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers import jax_worker as peers
from nnx.experiments.compare.workers.base import Model

ACTIVATIONS = {"ReLU": jax.nn.relu, "Sigmoid": jax.nn.sigmoid, "SiLU": jax.nn.silu}
LAYOUT = ("NHWC", "HWIO", "NHWC")


class Images(jax_worker.Jax):
    """A function over the weights of the job's layers, compiled by XLA."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        Model.__init__(self, job, weights, variant)
        self.update = partial(peers.update, job, partial(objective, job))

        @partial(jax.jit, donate_argnums=0)
        def step(state: Any, x: Any, y: Any, rows: Any) -> Any:
            inputs = x[rows]
            return self.update(state, inputs, inputs if y is None else y[rows])

        self._step = step


def objective(job: Job, parameters: Any, x: Any, y: Any) -> Any:
    """Return the loss."""
    p, weights = x, iter(parameters)
    for about in job["images"]:
        p = passed(about, weights, p)
    if job["loss"]["kind"] == "CategoricalCrossEntropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(p), y[:, None], axis=1))
    return jnp.mean(jax.nn.softplus(p) - p * y)


def passed(about: dict[str, Any], weights: Any, x: Any) -> Any:
    """Return the output of a layer."""
    kind, out = about["type"], (len(x), *about["output_shape"])
    if kind in ACTIVATIONS:
        return ACTIVATIONS[kind](x)
    if kind in ("Flatten", "Reshape"):
        return x.reshape(out)
    if kind == "MaxPool2D":
        size = (1, *about["pool_size"], 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, size, size, "VALID")
    W, b = next(weights)
    if kind == "Dense":
        return x @ W + b
    padding = about["padding"].upper()
    if kind == "Conv2D":
        return lax.conv_general_dilated(x, W, about["strides"], padding, dimension_numbers=LAYOUT) + b
    strides = about["strides"]
    return lax.conv_transpose(x, W, strides, padding, dimension_numbers=LAYOUT, transpose_kernel=True) + b


if __name__ == "__main__":
    main(Images, peers.about())
