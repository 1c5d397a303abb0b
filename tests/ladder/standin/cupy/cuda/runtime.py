"""CUDA's runtime, as far as devices are asked about."""

from __future__ import annotations

from typing import Any

from cupy import _streams, _world
from cupy._wheel import described

TEXTS = {
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
}
VERSION = 13000


class CUDARuntimeError(RuntimeError):
    """With the runtime's words."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(TEXTS[status])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status,)


def getDeviceCount() -> int:
    if not _world.machine.devices:
        raise CUDARuntimeError(100)
    return _world.machine.devices


def getDevice() -> int:
    return _world.current()


def setDevice(device: int) -> None:
    if not 0 <= device < _world.machine.devices:
        raise CUDARuntimeError(101)
    _world.make_current(device)


def getDeviceProperties(device: int) -> dict[str, Any]:
    if not 0 <= device < _world.machine.devices:
        raise CUDARuntimeError(101)
    return {
        "name": f"stand-in for CuPy {described()['version']}".encode(),
        "major": 8, "minor": 0, "totalGlobalMem": _world.machine.memory, "multiProcessorCount": 1,
        "warpSize": 32,
    }  # fmt: skip


def driverGetVersion() -> int:
    return VERSION


def runtimeGetVersion() -> int:
    return VERSION


def memGetInfo() -> tuple[int, int]:
    index, machine = _world.current(), _world.machine
    return machine.memory - machine.total[index] - machine.elsewhere(machine, index), machine.memory


def deviceSynchronize() -> None:
    _streams.wait_for_device(_world.current())
