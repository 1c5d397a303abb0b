"""Check that a device computes correctly: learn XOR on it, and check every backward pass there."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nnx import backends, gradcheck
from nnx.errors import DeviceError
from nnx.experiments import xor

CONFIG = xor.Config("shallow", epochs=2000)
LARGEST_LOSS = 0.01  # the reference system's is 0.005 by then


@dataclass(frozen=True)
class DeviceCheck:
    """The result for a device: whether all is well, one line about it, and the time."""

    device: str
    passed: bool
    message: str
    seconds: float


def check_device(device: str) -> DeviceCheck:
    """Train XOR on `device`, and check the gradients of all layers and losses there; raise nothing."""
    began = time.perf_counter()
    try:
        wrong, done = _found(device)
    except DeviceError as error:
        wrong, done = [str(error)], ""
    return DeviceCheck(device, not wrong, "; ".join(wrong) or done, time.perf_counter() - began)


def _found(device: str) -> tuple[list[str], str]:
    result = xor.run(xor.Config(CONFIG.preset, CONFIG.epochs, device=device))
    loss, accuracy = result.metrics["loss"], result.metrics["accuracy"]
    wrong = []
    if not (accuracy == 1.0 and loss < LARGEST_LOSS):
        wrong.append(f"XOR was not learnt (loss {loss:.3g}, accuracy {accuracy:.2f})")
    reports = gradcheck.run_all(backends.resolve(device))
    wrong += [report.message for report in reports if not report.passed]
    return wrong, f"XOR learnt (loss {loss:.4f}), {len(reports)} backward passes right"
