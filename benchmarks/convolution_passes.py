"""Compare single passes of convolutions, without activation, with PyTorch's, which oneDNN computes.

Run by hand:  python benchmarks/convolution_passes.py

Both run in one process, in turns of ten passes with a pause before each, on the batch of convolution.py.
PyTorch gets images in the format channels last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import common
import numpy as np
import tables

import nnx

BATCH, PASSES = 128, 10
SAME = {"strides": 2, "padding": "same"}
LAYERS: dict[str, tuple[Callable[[], nnx.Layer], tuple[int, int, int]]] = {
    "LeNet, first": (lambda: nnx.Conv2D(6, 5, padding="same"), (28, 28, 1)),
    "LeNet, second": (lambda: nnx.Conv2D(16, 5), (14, 14, 6)),
    "autoencoder, first": (lambda: nnx.Conv2D(32, 3, **SAME), (28, 28, 1)),
    "autoencoder, second": (lambda: nnx.Conv2D(64, 3, **SAME), (14, 14, 32)),
    "autoencoder, third": (lambda: nnx.Conv2DTranspose(32, 3, **SAME), (7, 7, 64)),
    "autoencoder, last": (lambda: nnx.Conv2DTranspose(1, 3, **SAME), (14, 14, 32)),
}


def of_nnx(layer: nnx.Layer, x: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the passes of a layer; the backward pass computes all gradients."""
    dy = np.ones_like(layer.build(x.shape[1:], device="cpu").forward(x, training=True))
    return lambda: layer.forward(x, training=True), lambda: layer.backward(dy)


def of_torch(layer: nnx.Layer, x: np.ndarray, threads: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the same passes by PyTorch."""
    import torch

    torch.set_num_threads(threads)
    size, stride, filters = layer.kernel_size[0], layer.strides[0], layer.filters  # type: ignore[attr-defined]
    padding = size // 2 if layer.padding == "same" else 0  # type: ignore[attr-defined]
    if isinstance(layer, nnx.Conv2DTranspose):
        made: Any = torch.nn.ConvTranspose2d(x.shape[-1], filters, size, stride, padding, stride - 1)
    else:
        made = torch.nn.Conv2d(x.shape[-1], filters, size, stride, padding)
    made = made.to(memory_format=torch.channels_last)
    images = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
    y = made(images)
    dy = torch.ones_like(y)
    inputs = [images, *made.parameters()]
    return lambda: made(images), lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def seconds(run: Callable[[], Any]) -> float:
    """Return the seconds of a pass, the mean of a turn."""
    time.sleep(common.SETTLE)
    began = time.perf_counter()
    for _ in range(PASSES):
        run()
    return (time.perf_counter() - began) / PASSES


@click.command()
@common.options(rounds=7)
def main(rounds: int, threads: int, json_path: Any) -> None:
    """Print a table."""
    common.headline(threads)
    found, lines = {}, []
    for name, (make, shape) in LAYERS.items():
        x = np.random.default_rng(0).random((BATCH, *shape), dtype=np.float32)
        passes = [*of_nnx(make(), x), *of_torch(make(), x, threads)]
        times = [[seconds(one) for one in passes] for _ in range(rounds + 1)][1:]
        found[name] = [float(median) * 1e3 for median in np.median(times, axis=0)]
        lines.append([name, *(f"{median:.2f}" for median in found[name])])
    head = ["ms", "forward: nnx", "backward: nnx", "forward: PyTorch", "backward: PyTorch"]
    click.echo(tables.table(head, lines))
    common.write_json(json_path, "convolution_passes", threads, found)


if __name__ == "__main__":
    main()
