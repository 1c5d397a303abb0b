"""PyTorch's side. VARIANT is ``eager``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers.base import PREDICT_ROWS, Model, main, rate

DEVICE = "cuda" if os.environ.get("NNX_COMPARE_GPU") else "cpu"
ACTIVATIONS: dict[str, Any] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}
LAST = {"BinaryCrossEntropy": torch.sigmoid, "CategoricalCrossEntropy": lambda p: torch.softmax(p, -1)}
LOSSES: dict[str, Any] = {
    "BinaryCrossEntropy": functional.binary_cross_entropy_with_logits,
    "CategoricalCrossEntropy": functional.cross_entropy,
    "mean": functional.mse_loss,
    "sum_over_features": lambda p, y: functional.mse_loss(p, y, reduction="sum") / len(y),
}


class Torch(Model):
    """A `Sequential` of dense layers with their activations, trained by the shortest loop."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        blocks = []
        for (W, _), (_, _, activation) in zip(weights, job["layers"], strict=True):
            blocks.append(nn.Sequential(nn.Linear(*W.shape), ACTIVATIONS.get(activation, nn.Identity)()))
        if self.logits:
            blocks[-1] = blocks[-1][:1]
        self.number_type = getattr(torch, self.dtype)
        self.network = nn.Sequential(*blocks).to(DEVICE, self.number_type)
        loss = LOSSES[job["loss"]["reduction"] or job["loss"]["kind"]]
        self.output: Any = self.network
        self.objective: Any = lambda x, y: loss(self.computed(self.network, x), y)

    def computed(self, network: Any, x: Any) -> Any:
        """Return the output of a network, under autocast if products have bfloat16 factors."""
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.rounds):
            return network(x).to(self.number_type)

    def place(self, x: HostArray, y: HostArray) -> None:
        """Keep tensors on the device."""
        self.x = torch.from_numpy(x).to(DEVICE)
        self.y = self.x if y is x else torch.from_numpy(y).to(DEVICE)
        if self.job["loss"]["kind"] == "CategoricalCrossEntropy":
            self.y = self.y.long()

    def number(self, rows: HostArray) -> Any:
        """Return a tensor."""
        return torch.from_numpy(rows.copy()).to(DEVICE)

    def restore(self) -> None:
        """Copy the initial weights; make a new optimizer, in its fused form."""
        with torch.no_grad():
            for block, (W, b) in zip(self.network, self.weights, strict=True):
                block[0].weight.copy_(torch.from_numpy(W.T.copy()))
                block[0].bias.copy_(torch.from_numpy(b))
        how, parameters = self.job["optimizer"], self.network.parameters()
        first = rate(self.job, 0)
        if how["kind"] == "Adam":
            betas = (how["options"]["beta1"], how["options"]["beta2"])
            self.optimizer: Any = torch.optim.Adam(parameters, first, betas, fused=True)
        else:
            self.optimizer = torch.optim.SGD(parameters, first, fused=True)
        self.taken = 0

    def schedule(self) -> None:
        """Set the rate of the next step, and for Adam its ε.

        PyTorch divides √v by √(1 − β₂ᵗ) before it adds ε; Keras and nnx add ε to √v. With ε / √(1 − β₂ᵗ) the
        two are equal.
        """
        (group,), how = self.optimizer.param_groups, self.job["optimizer"]
        if how["schedule"]["kind"] != "Constant":
            group["lr"] = rate(self.job, self.taken)
        self.taken += 1
        if how["kind"] == "Adam":
            group["eps"] = how["options"]["epsilon"] / (1 - how["options"]["beta2"] ** self.taken) ** 0.5

    def step(self, rows: Any) -> Any:
        """Forward, backward, update."""
        x = self.x if rows is None else self.x[rows]
        y = x if self.y is self.x else self.y if rows is None else self.y[rows]
        self.schedule()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def read(self, losses: list[Any]) -> list[float]:
        """Wait once for all."""
        return [float(value) for value in torch.stack(losses).tolist()]

    def predict(self, x: HostArray | torch.Tensor, layers: int | None = None) -> HostArray:
        """Predict in batches, without gradients."""
        run = self.output if layers is None else self.network[:layers]
        last = LAST.get(self.job["loss"]["kind"]) if layers is None else None
        found = []
        with torch.inference_mode():
            for part in torch.as_tensor(x).split(self.job.get("predict_rows", PREDICT_ROWS)):
                output = self.computed(run, part.to(DEVICE))
                found.append(last(output) if last else output)
            return np.asarray(torch.cat(found).cpu().numpy())


def about() -> dict[str, Any]:
    """Give PyTorch its threads, and TF32 if nnx uses it; return the version, and the GPUs it sees."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.backends.cuda.matmul.allow_tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return {"gpus": torch.cuda.device_count(), "versions": {"torch": torch.__version__}}


if __name__ == "__main__":
    main(Torch, about())
