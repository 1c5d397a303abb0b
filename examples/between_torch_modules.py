"""Put a network between two modules of PyTorch: arrays by DLPack both ways, gradients passed by hand.

Run it:  python examples/between_torch_modules.py [STEPS] [DEVICE]

PyTorch computes the first and the last module, nnx the network between them. Tensors reach nnx without a
copy, on the CPU and on a GPU (DEVICE "cpu" or "gpu"). What nnx returns is copied on its device, because the
network's next pass overwrites it. The same model in PyTorch alone gives the same losses.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import nnx


class Between(torch.autograd.Function):
    """The network as one operation of PyTorch: its backward pass is `network.backward`."""

    @staticmethod
    def forward(ctx, x, network):
        """Compute the network's output."""
        ctx.network = network
        y = network.forward(network.asarray(x.detach()), training=True)
        return torch.from_dlpack(y).clone()

    @staticmethod
    def backward(ctx, dy):
        """Compute the network's gradients, and return that of x."""
        dx = ctx.network.backward(ctx.network.asarray(dy.detach()), input_gradient=True)
        return torch.from_dlpack(dx).clone(), None


def modules(device):
    """Return the first and the last module, with the same weights in each call."""
    torch.manual_seed(0)
    first = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
    return first.to(device), torch.nn.Linear(16, 3).to(device)


def train(steps, device, between, update):
    """Return the losses of a few steps of gradient descent."""
    first, last = modules(device)
    optimizer = torch.optim.SGD([*first.parameters(), *last.parameters()], lr=0.1)
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(64, 8)).astype(np.float32)).to(device)
    labels = torch.from_numpy(generator.integers(0, 3, 64)).to(device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(last(between(first(x))), labels)
        loss.backward()
        optimizer.step()
        update()
        losses.append(float(loss.detach()))
    return losses


def main(steps: int = 200, device: str = "cpu") -> None:
    network = nnx.Network([nnx.Dense(32, 16), nnx.Tanh()], device=device, seed=0)
    there = "cuda" if network.device.startswith("gpu") else "cpu"
    twin = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Tanh()).to(there)
    with torch.no_grad():  # nnx's W has the shape (inputs, units), and PyTorch's weight its transpose
        for value, given in zip(twin.parameters(), network.weights().values(), strict=True):
            value.copy_(torch.from_numpy(given.T.copy()))
    own, optimizer = torch.optim.SGD(twin.parameters(), lr=0.1), nnx.SGD(0.1)

    def step_of_twin() -> None:
        own.step()
        own.zero_grad()

    with_nnx = train(steps, there, lambda x: Between.apply(x, network), lambda: optimizer.step(network))
    alone = train(steps, there, twin, step_of_twin)
    print(f"loss after {steps} steps on {network.device}: {with_nnx[-1]:.4f}, at first {with_nnx[0]:.4f}")
    apart = max(abs(a - b) / b for a, b in zip(with_nnx, alone, strict=True))
    print(f"largest relative difference to PyTorch alone: {apart:.1e}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(*map(int, arguments[:1]), *arguments[1:])
