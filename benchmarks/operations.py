"""Measure what each override of the NumPy and Numba backends saves over the plain form.

Run by hand:  python benchmarks/operations.py

The arrays are those of the deep autoencoder's widest layer (256 × 512) and of its 1.15 million parameters.
The benchmark prints medians.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np

import nnx
from nnx.backends.base import Backend
from nnx.backends.numpy_backend import NumpyBackend
from nnx.errors import DeviceError
from nnx.layers.workspace import Buffers
from nnx.ops.windows import transposed_windows, windows

ROWS, INPUTS, UNITS, PARAMETERS = 256, 784, 512, 1_150_000
IMAGES = (128, 28, 28, 32)
SHARED = ("selu", "mish", "hard_sigmoid")


def cases() -> dict[str, Callable[[Backend], Any]]:
    """Return one call of each overridden operation, by name."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return generator.standard_normal(shape).astype(np.float32)

    data, x, W, b = draw(10 * ROWS, INPUTS), draw(ROWS, INPUTS), draw(INPUTS, UNITS), draw(UNITS)
    y, dy, dz, dx = draw(ROWS, UNITS), draw(ROWS, UNITS), draw(ROWS, UNITS), draw(ROWS, INPUTS)
    dW, db, target = draw(INPUTS, UNITS), draw(UNITS), generator.random((ROWS, UNITS)).astype(np.float32)
    values, gradients, m = draw(PARAMETERS), draw(PARAMETERS), draw(PARAMETERS)
    v, value, fault = np.abs(m), np.zeros(1, np.float32), np.zeros(1, np.int64)
    pixels = generator.integers(0, 256, data.shape, np.uint8)
    rows = generator.permutation(len(data))[:ROWS]
    return {
        "gather": lambda k: k.gather(data, rows, x),
        "gather of bytes": lambda k: k.gather(pixels, rows, x, 255.0),
        "dense_forward relu": lambda k: k.dense_forward(x, W, b, y, "relu"),
        "dense_backward relu": lambda k: k.dense_backward(dy, x, W, dW, db, dx, "relu", 0.0, y, dz),
        "activation_forward tanh": lambda k: k.activation_forward("tanh", dy, y),
        "activation_forward sigmoid": lambda k: k.activation_forward("sigmoid", dy, y),
        "activation_backward sigmoid": lambda k: k.activation_backward("sigmoid", dy, None, y, dz),
        "activation_forward silu": lambda k: k.activation_forward("silu", dy, y),
        "activation_backward silu": lambda k: k.activation_backward("silu", dy, dx[:, :UNITS], y, dz),
        **{
            f"activation_forward {kind}": lambda k, kind=kind: k.activation_forward(kind, dy, y)
            for kind in SHARED
        },
        **{
            f"activation_backward {kind}": lambda k, kind=kind: k.activation_backward(kind, dy, y, y, dz)
            for kind in SHARED
        },
        "prelu_forward": lambda k: k.prelu_forward(dy, b, y),
        "prelu_backward": lambda k: k.prelu_backward(dy, y, b, db, dz),
        "loss squared_error": lambda k: k.loss("squared_error", target, y, value, dz),
        "loss binary_cross_entropy_from_logits": lambda k: k.loss(
            "binary_cross_entropy_from_logits", target, y, value, dz
        ),
        "loss categorical_cross_entropy_from_logits": lambda k: k.loss(
            "categorical_cross_entropy_from_logits", target, y, value, dz
        ),
        "sgd_step": lambda k: k.sgd_step(values, gradients, None, fault, 1e-9),
        "adam_step": lambda k: k.adam_step(values, gradients, m, v, fault, 1e-9, 10),
        "average_step": lambda k: k.average_step(m, values, 0.001),
        "clip_by_norm": lambda k: k.clip_by_norm([gradients], 1e9),
        "flag_nonfinite": lambda k: k.flag_nonfinite(value, gradients, fault, 1),
    }


def cases_of_images() -> dict[str, Callable[[Backend], Any]]:
    """Return one call of each operation of pooling, on the images of a small classifier."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return generator.standard_normal(shape).astype(np.float32)

    x, dx, y, dy = draw(*IMAGES), draw(*IMAGES), draw(128, 14, 14, 32), draw(128, 14, 14, 32)
    means, position = draw(128, 32), np.zeros(y.shape, np.uint8)
    touching, overlapping = (windows((28, 28), (size, size), (2, 2), "same") for size in (2, 3))
    return {
        "max_pool_forward 2 × 2": lambda k: k.max_pool_forward(x, y, touching, position),
        "max_pool_forward 2 × 2, inference": lambda k: k.max_pool_forward(x, y, touching),
        "max_pool_backward 2 × 2": lambda k: k.max_pool_backward(dy, position, dx, touching),
        "max_pool_forward 3 × 3": lambda k: k.max_pool_forward(x, y, overlapping, position),
        "max_pool_backward 3 × 3": lambda k: k.max_pool_backward(dy, position, dx, overlapping),
        "average_pool_forward 2 × 2": lambda k: k.average_pool_forward(x, y, touching),
        "average_pool_backward 2 × 2": lambda k: k.average_pool_backward(dy, dx, touching),
        "global_average_forward": lambda k: k.global_average_forward(x.reshape(128, 784, 32), means),
        "upsample_forward": lambda k: k.upsample_forward(y, x),
        "upsample_backward": lambda k: k.upsample_backward(dx, dy),
    }


def cases_of_convolutions() -> dict[str, Callable[[Backend], Any]]:
    """Return one call of each operation of convolution, forward and backward, with ReLU.

    The images have 14 × 14 pixels and 32 channels. The last two are a convolution with a group for each
    channel, and one with a kernel of 1 × 1.
    """
    generator = np.random.default_rng(0)
    size = (14, 14)
    found: dict[str, Callable[[Backend], Any]] = {}

    def add(name: str, kernel: tuple[int, int], strides: int, groups: int, transposed: bool = False) -> None:
        of = transposed_windows if transposed else windows
        at = of(size, kernel, (strides, strides), "same")
        inputs, outputs = (at.outputs, at.size) if transposed else (at.size, at.outputs)
        x, dx = (generator.standard_normal((128, *inputs, 32)).astype(np.float32) for _ in range(2))
        y, dy, dz = (generator.random((128, *outputs, 32)).astype(np.float32) for _ in range(3))
        W, dW = (generator.standard_normal((*kernel, 32 // groups, 32)).astype(np.float32) for _ in range(2))
        b, db, memory = np.zeros(32, np.float32), np.zeros(32, np.float32), Buffers(Backend()).buffer
        before = "transposed_" if transposed else ""
        last = (at, memory) if transposed else (at, groups, memory)
        found[f"{before}convolution_forward {name}"] = lambda k: getattr(k, f"{before}convolution_forward")(
            x, W, b, y, *last, "relu"
        )
        found[f"{before}convolution_backward {name}"] = lambda k: getattr(k, f"{before}convolution_backward")(
            dy, x, W, dW, db, dx, *last, "relu", 0.0, y, dz
        )

    add("3 × 3", (3, 3), 1, 1)
    add("3 × 3, strides 2", (3, 3), 2, 1)
    add("3 × 3, strides 2", (3, 3), 2, 1, transposed=True)
    add("3 × 3, depthwise", (3, 3), 1, 32)
    add("1 × 1", (1, 1), 1, 1)
    return found


def seconds(call: Callable[[], Any]) -> float:
    """Return the wall time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median(call: Callable[[Backend], Any], backend: Backend, rounds: int) -> float:
    """Return the milliseconds of a call on a backend, after warming up or compiling, without other work."""
    time.sleep(0.15)  # the threads of NumPy's BLAS spin for 0.1 s after the last product
    call(backend)
    return statistics.median(seconds(lambda: call(backend)) for _ in range(rounds)) * 1e3


@click.command()
@click.option("--rounds", default=30, show_default=True)
def main(rounds: int) -> None:
    """Print a table."""
    backends = {"plain": Backend(), "numpy": NumpyBackend()}
    with contextlib.suppress(DeviceError):
        backends["numba"] = nnx.resolve("numba")
    click.echo(f"{'milliseconds':45}" + "".join(f"{name:>9}" for name in backends))
    for name, call in (cases() | cases_of_images() | cases_of_convolutions()).items():
        found = [median(call, backend, rounds) for backend in backends.values()]
        click.echo(f"{name:45}" + "".join(f"{value:9.3f}" for value in found))


if __name__ == "__main__":
    main()
