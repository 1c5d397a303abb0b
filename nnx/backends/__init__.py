"""Backends: arrays and operations on each kind of device.

`resolve` turns a device as the user writes it (``"auto"``, ``"cpu"``, ``"gpu"``, ``"gpu:1"``, or a backend's
name) into a `Backend`; `use` sets the default; `available` says what can run here, and why the rest cannot.
"""

from __future__ import annotations

import contextvars
import difflib
import functools
import importlib.util
import logging
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nnx.backends import cupy_errors
from nnx.backends.base import Backend
from nnx.backends.cuda_driver import Driver, driver
from nnx.errors import ConfigurationError, DeviceError
from nnx.ops.base import Array

if TYPE_CHECKING:
    from nnx.backends.cupy_backend import CupyBackend
    from nnx.backends.numba_backend import NumbaBackend

__all__ = ["Array", "Backend", "DeviceStatus", "Driver", "automatic", "available", "default_device", "driver",
           "resolve", "use"]  # fmt: skip

logger = logging.getLogger("nnx")

DEVICES = ("auto", "cpu", "gpu", "numpy", "numba", "cupy")
INSTALL_NUMBA = "pip install 'nnx-arrays[fast]'"

_default: contextvars.ContextVar[str | None] = contextvars.ContextVar("nnx_device", default=None)


@dataclass(frozen=True)
class DeviceStatus:
    """A backend on a device: whether it can run here, and if not, why, and what to do.

    Attributes
    ----------
    name : str
        The backend: ``"numpy"``, ``"numba"`` or ``"cupy"``.
    device : str
        ``"cpu"``, ``"gpu:0"``, … or ``"gpu"`` if no GPU was found.
    usable : bool
    detail : str
        Versions and hardware if usable, else the reason and what to do, in one line.
    versions : dict of str to str
        Versions of the libraries and the driver, if known.
    remedy : str
        Only what to do; empty if usable.
    hardware : dict
        A GPU's name, compute capability and memory in bytes.
    """

    name: str
    device: str
    usable: bool
    detail: str
    versions: dict[str, str] = field(default_factory=dict)
    remedy: str = ""
    hardware: dict[str, Any] = field(default_factory=dict)


def default_device() -> str:
    """Return the device for ``device=None``: the one set by `use`, else ``NNX_DEVICE``, else ``"auto"``."""
    return _default.get() or os.environ.get("NNX_DEVICE") or "auto"


class use:  # noqa: N801 - reads as a statement: nnx.use("gpu")
    """Set the default device, permanently or for a ``with`` block.

    The default is read only when a network is built. It is a context variable, so threads and tasks do not
    affect each other.

    Parameters
    ----------
    device : str
        As in `resolve`.

    Raises
    ------
    ConfigurationError
        If the name is unknown.

    Examples
    --------
    >>> import nnx
    >>> with nnx.use("numpy"):
    ...     network = nnx.Network([nnx.Dense(2, 1)])
    >>> network.device
    'cpu'
    """

    def __init__(self, device: str) -> None:
        _parse(device)
        self._token = _default.set(device)

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exc: object) -> None:
        _default.reset(self._token)


def resolve(device: str | Backend | None = None) -> Backend:
    """Return the backend for a device.

    Parameters
    ----------
    device : str, Backend or None
        ``"auto"`` (a GPU if one works, else the CPU), ``"cpu"`` (Numba if installed, else NumPy), ``"gpu"``,
        ``"gpu:N"``, or a backend's name; None uses `default_device`.

    Returns
    -------
    Backend

    Raises
    ------
    ConfigurationError
        If the name is unknown.
    DeviceError
        If the device cannot be used; the text says what is missing and what to do.
    """
    if isinstance(device, Backend):
        return device
    if device is None:
        where = "" if _default.get() else " in NNX_DEVICE"
        kind, index = _parse(default_device(), where)
    else:
        kind, index = _parse(device)
    if kind == "auto":
        return _automatic()
    if kind in ("gpu", "cupy"):
        return _cupy(index)
    if kind == "numba":
        return _numba()
    return _numpy() if kind == "numpy" else _cpu()


def automatic(device: str | Backend | None) -> bool:
    """Return whether a device is left open: ``"auto"``, or None while the default is ``"auto"``."""
    if isinstance(device, Backend):
        return False
    return _parse(default_device() if device is None else device)[0] == "auto"


def available() -> Iterator[DeviceStatus]:
    """Yield each backend on each device, usable or not, the CPU first."""
    numpy = str(_numpy().xp.__version__)
    versions = {"numpy": numpy, "python": platform.python_version()}
    yield DeviceStatus("numpy", "cpu", True, f"NumPy {numpy}, {_numpy().blas_name()}", versions)
    try:
        compiled = _numba()
        yield DeviceStatus("numba", "cpu", True, compiled.describe(), versions | compiled.versions())
    except (DeviceError, ConfigurationError) as error:
        yield DeviceStatus("numba", "cpu", False, str(error), versions, INSTALL_NUMBA)
    try:
        count = _cupy_module().device_count()
    except DeviceError as error:
        yield _unusable("gpu", error)
        return
    for index in range(count):
        try:
            backend = _cupy(index)
            yield DeviceStatus(
                "cupy", f"gpu:{index}", True, backend.describe(), backend.versions(), "", backend.hardware()
            )
        except DeviceError as error:
            yield _unusable(f"gpu:{index}", error)


def _unusable(device: str, error: DeviceError) -> DeviceStatus:
    remedy = getattr(error, "remedy", "")
    return DeviceStatus("cupy", device, False, str(error), dict(cupy_errors.installed()), remedy)


def _parse(device: str, where: str = "") -> tuple[str, int]:
    text = device.strip().lower() if isinstance(device, str) else ""
    match = re.fullmatch(r"(?P<kind>[a-z]+)(:(?P<index>\d{1,3}))?", text)
    if match and match["kind"] in DEVICES and (match["index"] is None or match["kind"] in ("gpu", "cupy")):
        return match["kind"], int(match["index"] or 0)
    near = difflib.get_close_matches(text, DEVICES, n=1)
    if text.startswith(("cuda", "nvidia")):  # names in other libraries
        near = [re.sub("[a-z]+", "gpu", text, count=1)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(
        f"unknown device {device!r}{where}: choose from {', '.join(DEVICES)} or gpu:N{hint}"
    )


@functools.cache
def _numpy() -> Backend:
    from nnx.backends.numpy_backend import NumpyBackend

    return NumpyBackend()


@functools.cache
def _numba() -> NumbaBackend:
    """Return the backend with compiled kernels.

    Raises
    ------
    DeviceError
        If Numba is not installed, or does not support this Python or NumPy; the text says which, and what to
        do.
    ConfigurationError
        If ``NNX_BLAS`` asks for a BLAS that cannot be used.
    """
    try:
        from nnx.backends.numba_backend import NumbaBackend

        return NumbaBackend()
    except ConfigurationError:  # a wrong setting, which must not be ignored
        raise
    except Exception as error:  # Numba refuses a newer NumPy and an unknown threading layer
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            raise DeviceError(
                f"Numba is not installed: run {INSTALL_NUMBA}, or choose device numpy"
            ) from error
        reason = " ".join(str(error).split())
        raise DeviceError(f"Numba cannot run here ({reason}): choose device numpy") from error


@functools.cache
def _cpu() -> Backend:
    """Return the backend with compiled kernels if Numba is installed and works, else NumPy's."""
    if importlib.util.find_spec("numba") is None:
        return _numpy()
    try:
        return _numba()
    except DeviceError as error:
        logger.info("device cpu: using NumPy, because %s", error)
        return _numpy()


def host() -> Backend:
    """Return the backend for host arrays without a network: Numba's if it is already in use, else NumPy's."""
    return _numba() if _numba.cache_info().currsize else _numpy()


def _cupy_module() -> Any:
    """Return the module of the GPU backend; importing it imports CuPy."""
    cupy_errors.check_installed()
    try:
        from nnx.backends import cupy_backend
    except Exception as error:
        known = cupy_errors.explain(error)
        if known is None:
            raise
        raise known from error
    return cupy_backend


@functools.cache
def _cupy(index: int) -> CupyBackend:
    backend: CupyBackend = _cupy_module().CupyBackend(index)
    return backend


def _automatic() -> Backend:
    """Return the backend of the first GPU if it works, else of the CPU."""
    try:
        backend: Backend = _cupy(0)
        logger.info("device auto: using %s (%s)", backend.device, backend.name)
    except Exception as error:  # a broken CuPy must not prevent the use of the CPU
        backend = _cpu()
        logger.info("device auto: using the CPU (%s), because %s", backend.name, error)
    return backend
