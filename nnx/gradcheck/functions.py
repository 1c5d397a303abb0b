"""Define the scalar functions that a gradient check differentiates: layers or a network, and a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array, Backend
from nnx.layers import Plan
from nnx.losses import Loss

HostArray = np.ndarray[Any, Any]


def upload(backend: Backend, x: HostArray) -> Array:
    """Copy an array to the device; the copy can be changed without changing the caller's array."""
    return backend.asarray(x.copy())


class Function:
    """A scalar function: the sum of `terms`. It has tensors, which are moved in place, and their gradients.

    Attributes
    ----------
    tensors : dict of str to array
    problem : str
        What a pass did wrong; empty if all is well.
    """

    backend: Backend
    tensors: dict[str, Array]
    problem: str = ""

    def terms(self, tensor: str) -> HostArray:
        """Return the terms of the sum for the current tensors; `tensor` is the one that was moved."""
        raise NotImplementedError

    def gradients(self) -> dict[str, HostArray]:
        """Return the analytic gradient of each tensor; set `problem` if a pass breaks its rules."""
        raise NotImplementedError

    def host(self, x: Array) -> HostArray:
        """Return a copy on the host."""
        return self.backend.to_numpy(x).copy()


@dataclass(frozen=True)
class Target:
    """A loss, its kind (fused or not), and what it compares the output with."""

    loss: Loss
    kind: str
    y: Array
    weights: Array | None


class Stack(Function):
    """Layers that a plan runs. Their output is multiplied by random weights, or goes to a loss."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        x: HostArray,
        training: bool,
        parameters: Sequence[tuple[str, Array, Array]],
        generator: np.random.Generator,
        target: Target | None = None,
    ) -> None:
        self.plan, self.backend, self.training, self.target = plan, backend, training, target
        self.parameters = parameters
        self.x = upload(backend, x)
        self.differentiable = self.x.dtype.kind == "f"  # in integers there is no gradient
        self.tensors = {name: value for name, value, _ in parameters}
        if self.differentiable:
            self.tensors = {"x": self.x} | self.tensors
        y = self._forward()
        self.weights = generator.standard_normal(y.shape)
        self.value, self.dy = backend.empty(1, np.float64), backend.empty(y.shape, np.float64)

    def terms(self, tensor: str) -> HostArray:
        """Return the weighted outputs, or the loss; and the terms that layers add to the loss."""
        y = self._forward()
        found = self.host(y) * self.weights if self.target is None else self._loss(y)
        added = [self.host(value) for _, value in self.plan.terms()]
        return np.concatenate([found.reshape(-1), *added]) if added else found

    def _forward(self) -> Array:
        """Return the output; every pass uses the same dropout mask."""
        return self.plan.forward(self.x, self.training, draw=0)

    def _loss(self, y: Array) -> HostArray:
        target = self.target
        assert target is not None
        target.loss.evaluate(self.backend, target.y, y, self.value, self.dy, target.weights, target.kind)
        return self.host(self.value)

    def gradients(self) -> dict[str, HostArray]:
        """Run two passes, and fill every output with NaN before the second."""
        y = self._forward()
        first = self.host(y)
        if self.plan.groups:  # else y is x itself, or a view of it
            y[...] = math.nan
        x, y = self.host(self.x), self._forward()
        self._note("forward changed x: write to y only", x, self.x)
        self._note("forward gave another output the second time, or did not write all of y", first, y)
        if self.target is None:
            self.dy[...] = self.backend.asarray(self.weights)
        else:
            self._loss(y)
        dy = self.host(self.dy)
        dx = self.plan.backward(self.dy, input_gradient=self.differentiable)
        first_dx = None if dx is None else self.host(dx)
        self._note("backward changed dy: write to dx and the gradients only", dy, self.dy)
        if dx is not None and self.plan.groups:
            dx[...] = math.nan
        for _, _, gradient in self.parameters:
            gradient[...] = math.nan
        self.plan.arena.sparse.forget()
        dx = self.plan.backward(self.dy, input_gradient=self.differentiable)
        gradients = {name: self.host(g) for name, _, g in self.parameters}
        if dx is not None and first_dx is not None:
            self._note("backward did not write all of dx, or added to it", first_dx, dx)
            gradients = {"x": self.host(dx)} | gradients
        for name, gradient in gradients.items():
            if np.isnan(gradient).any() and not self.problem:
                fault = "it adds to it or gives NaN"
                self.problem = f"backward must overwrite the whole gradient of {name}: {fault}"
        self.plan.backward(self.dy)
        for name, _, gradient in self.parameters:
            note = f"the gradient of {name} changes if dx is None (nobody needs dx)"
            self._note(note, gradients[name], gradient)
        return gradients

    def _note(self, problem: str, expected: HostArray, found: Array) -> None:
        same = np.allclose(expected, self.backend.to_numpy(found), rtol=1e-10, atol=1e-12, equal_nan=True)
        if not same and not self.problem:
            self.problem = problem


class LossValue(Function):
    """A loss as a function of y_pred: plain, weighted, and as each of its fused kinds."""

    def __init__(self, loss: Loss, backend: Backend, y: HostArray, p: HostArray, weights: HostArray) -> None:
        self.loss, self.backend = loss, backend
        self.y, self.weights = upload(backend, y), upload(backend, weights)
        self.variants: dict[str, tuple[str | None, Array | None]] = {}
        for name, kind in {"y_pred": None, **{f"{k}'s input": k for k in loss.fused}}.items():
            fused = None if kind is None else loss.fused[kind]
            self.variants[name] = (fused, None)
            self.variants[f"{name} (weighted)"] = (fused, self.weights)
        self.tensors = {name: upload(backend, p) for name in self.variants}

    def _evaluate(self, tensor: str) -> tuple[HostArray, HostArray]:
        kind, weights = self.variants[tensor]
        p = self.tensors[tensor]
        value, dy = self.backend.empty(1, np.float64), self.backend.empty(p.shape, np.float64)
        self.loss.evaluate(self.backend, self.y, p, value, dy, weights, kind)
        return self.host(value), self.host(dy)

    def terms(self, tensor: str) -> HostArray:
        """Return the loss."""
        return self._evaluate(tensor)[0]

    def gradients(self) -> dict[str, HostArray]:
        """Return the gradients as `fit` computes them; a call and `gradient` must give the same."""
        for name, (kind, weights) in self.variants.items():
            if kind is None:
                value, dy = self._evaluate(name)
                arguments = (self.y, self.tensors[name], weights)
                loss, gradient = self.host(self.loss(*arguments)), self.host(self.loss.gradient(*arguments))
                if not (np.allclose(loss, value, 1e-10) and np.allclose(gradient, dy, 1e-10, 1e-14)):
                    self.problem = "loss(y, p) and loss.gradient(y, p) differ from what evaluate gives"
        return {name: self._evaluate(name)[1] for name in self.variants}
