"""Run PyTorch on images in turns; VARIANT is ``default``, ``channels_last``, ``compiled`` (so too)."""

from __future__ import annotations

from typing import Any

import torch
import torch_worker
from torch import nn
from turns import main

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers import torch_worker as peers
from nnx.experiments.compare.workers.base import Model

ACTIVATIONS = {"ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid, "SiLU": nn.SiLU}


class Images(torch_worker.Torch):
    """A `Sequential` of the job's layers; its initial weights are those of nnx, in PyTorch's order."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        Model.__init__(self, job, weights, variant)
        last = variant in ("channels_last", "compiled")
        self.format: Any = torch.channels_last if last else torch.contiguous_format
        self.network = nn.Sequential(*(layer(one) for one in job["images"]))
        self.network.to(memory_format=self.format)
        loss, self.output = peers.LOSSES[job["loss"]["reduction"] or job["loss"]["kind"]], self.network
        self.objective: Any = lambda x, y: loss(self.network(x), y)
        if variant == "compiled":
            self.objective = torch.compile(self.objective)

    def place(self, x: HostArray, y: HostArray) -> None:
        """Keep images with channels first, in the memory format of the network."""
        super().place(x, y)
        self.x = self.x.permute(0, 3, 1, 2).contiguous(memory_format=self.format)
        self.y = self.x if y is x else self.y

    def restore(self) -> None:
        """Copy the initial weights; make a new optimizer, in its fused form."""
        weights = iter(self.weights)
        with torch.no_grad():
            for one, about in zip(self.network, self.job["images"], strict=True):
                if hasattr(one, "weight"):
                    W, b = channels_first(about, *next(weights))
                    one.weight.copy_(torch.from_numpy(W.copy()))
                    one.bias.copy_(torch.from_numpy(b.copy()))
        options, parameters = self.job["optimizer"]["options"], self.network.parameters()
        betas = options["beta1"], options["beta2"]
        self.optimizer = torch.optim.Adam(parameters, peers.rate(self.job, 0), betas, fused=True)
        self.taken = 0


def channels_first(about: dict[str, Any], W: HostArray, b: HostArray) -> tuple[HostArray, HostArray]:
    """Return weights in PyTorch's order; a dense layer next to an image has its channels first too."""
    if about["type"] != "Dense":
        return W.transpose(3, 2, 0, 1), b
    if image := about["before"]:
        W = W.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(W.shape)
    if image := about["after"]:
        W = W.reshape(-1, *image).transpose(0, 3, 1, 2).reshape(W.shape)
        b = b.reshape(image).transpose(2, 0, 1).reshape(-1)
    return W.T, b


def layer(about: dict[str, Any]) -> nn.Module:
    """Return PyTorch's form of a layer.

    With "same" and strides 2, PyTorch pads both sides, Keras and nnx only the end: other windows, as many.
    """
    kind, channels, out = about["type"], about["input_shape"][-1], about["output_shape"]
    if kind in ("Conv2D", "Conv2DTranspose"):
        size, stride = about["kernel_size"][0], about["strides"][0]
        padding = size // 2 if about["padding"] == "same" else 0
        if kind == "Conv2D":
            return nn.Conv2d(channels, out[-1], size, stride, padding)
        return nn.ConvTranspose2d(channels, out[-1], size, stride, padding, stride - 1)
    if kind == "MaxPool2D":
        return nn.MaxPool2d(about["pool_size"][0])
    if kind == "Flatten":
        return nn.Flatten()
    if kind == "Reshape":
        return nn.Unflatten(1, (out[-1], *out[:-1]))
    return nn.Linear(channels, out[-1]) if kind == "Dense" else ACTIVATIONS[kind]()


if __name__ == "__main__":
    main(Images, peers.about())
