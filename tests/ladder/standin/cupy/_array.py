"""`cupy.ndarray`: a NumPy array that says which device it lies on and refuses whatever CuPy's would.

Operators, and the methods that NumPy's arrays have too, are added by `_functions`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cupy import _streams, _world

HostArray = np.ndarray[Any, Any]
REFUSED = "NumPy's {} on an array of a device: CuPy would take it, and nnx must not rely on that"


def launch(
    name: str, reads: tuple[Any, ...], writes: tuple[Any, ...], kind: str = "launch",
    perform: Callable[[], Any] = _world.nothing,
) -> None:  # fmt: skip
    """A kernel (or a copy on the device) reads and writes memory: now, or by a captured graph."""
    if _streams.captured(name, reads, writes, perform):
        return
    perform()
    _world.note(kind, name)
    _streams.work(reads, writes)


def unwrap(value: Any) -> Any:
    """What an operation computes with: a device array's values, or a number.

    Raises
    ------
    ValueError
        If the array lies on another device than the current one.
    TypeError
        If it lies on the host.
    """
    if isinstance(value, ndarray):
        if value._memory.device != _world.current():
            raise ValueError(
                f"The device where the array resides ({value._memory.device}) is different from the current "
                f"device ({_world.current()})."
            )
        return value._host
    if isinstance(value, np.ndarray | list | str):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def make(host: HostArray, memory: _world.Memory, base: ndarray | None = None) -> ndarray:
    """An array over memory that is there."""
    array = object.__new__(ndarray)
    array._host, array._memory, array._base = host, memory, base
    if not memory.address and host.size:
        memory.place(host.ctypes.data, host.nbytes)
    return array


def owned(host: Any) -> ndarray:
    """An array of values just computed on the current device, in memory of its own."""
    host = np.asarray(host)
    return make(host, _world.allocated(host.nbytes))


def unset(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Memory as it comes: full of what nobody should read."""
    lengths = (shape,) if hasattr(shape, "__index__") else tuple(shape)
    memory = _world.allocated(math.prod(lengths) * np.dtype(dtype).itemsize)
    host = np.empty(shape, dtype, order)
    if host.dtype.kind == "f":
        host.fill(np.nan)
    else:
        host.view(np.uint8).fill(0xA5) if host.ndim else host.fill(1)
    return make(host, memory)


def uploaded(host: HostArray) -> ndarray:
    """A copy of a host array on the current device."""
    array = make(host.copy(), _world.allocated(host.nbytes))
    upload(array, host)
    return array


def upload(array: ndarray, host: HostArray, stream: Any = None) -> None:
    """Host memory is copied to an array's."""
    _world.unless_captured("host memory is copied")
    _world.note("h2d", "upload", host.nbytes, array._memory.device)
    line = _line_of(array, stream)
    _streams.work((), (array._memory,), line)
    array._host[...] = host
    if host.size and _streams.is_pinned(host):
        _streams.host_copy(line, host, host.copy(), upload=True)


def _line_of(array: ndarray, stream: Any) -> Any:
    if stream is not None:
        return stream._line
    here = array._memory.device == _world.current()
    return _streams.line() if here else _streams.default_line(array._memory.device)


class ndarray:
    """See the module's text."""

    __slots__ = ("__weakref__", "_base", "_host", "_memory")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    _host: HostArray
    _memory: _world.Memory
    _base: ndarray | None

    def __new__(
        cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> Any:
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in makes arrays in memory of their own only")
        return unset(shape, dtype, order)

    # -------------------------------------------------------------- attributes

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._host.dtype

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    @property
    def nbytes(self) -> int:
        return self._host.nbytes

    @property
    def itemsize(self) -> int:
        return self._host.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self._host.strides

    @property
    def flags(self) -> Any:
        return self._host.flags

    @property
    def base(self) -> ndarray | None:
        return self._base

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(self._memory.device)

    @property
    def data(self) -> Any:
        from cupy.cuda import MemoryPointer

        return MemoryPointer(self._memory, self._host.ctypes.data)

    @property
    def T(self) -> ndarray:
        return self._view(self._host.T)

    def _view(self, host: HostArray) -> ndarray:
        return make(host, self._memory, self if self._base is None else self._base)

    # -------------------------------------------------------------- host

    def __array__(self, *args: Any, **kwargs: Any) -> HostArray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
            "array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        raise TypeError(REFUSED.format(ufunc.__name__))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(REFUSED.format(function.__name__))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3, "strides": self.strides,
                "data": (self._host.ctypes.data, False)}  # fmt: skip

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._memory.device

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        """The capsule is a view; the stream that asks waits for the one that writes. For the host, a copy."""
        if dl_device is not None and tuple(dl_device) == (1, 0):
            return self.get().__dlpack__(max_version=max_version)
        if stream is not None and self._memory.writer is not None:
            line, place = self._memory.writer
            stream._line.follows[line] = max(stream._line.follows.get(line, 0), place)
        return self._view(self._host)

    def get(
        self, stream: Any = None, order: str = "C", out: HostArray | None = None, blocking: bool = True
    ) -> HostArray:
        _world.unless_captured("the host reads")
        if out is None:
            out = np.empty(self.shape, self.dtype, order if order in "CF" else "C")
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        elif out.dtype != self.dtype or out.shape != self.shape:
            raise ValueError(
                f"out of shape {out.shape}, {out.dtype} does not hold {self.shape}, {self.dtype}"
            )
        elif not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("`out` cannot be non-contiguous")
        _world.note("d2h", "download", self.nbytes, self._memory.device)
        line = _line_of(self, stream)
        _streams.work((self._memory,), (), line)
        if blocking or not (out.size and _streams.is_pinned(out)):
            _world.note("wait", "download", device=self._memory.device)
            line.wait(line.queued)
            out[...] = self._host
        else:
            _streams.host_copy(line, out, self._host.copy(), upload=False)
        return out

    def set(self, arr: HostArray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        upload(self, arr, stream)

    def item(self, *args: int) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, form: str) -> str:
        return format(self.get()[()], form)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return uploaded, (self.get(),)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    # -------------------------------------------------------------- copies and views

    def copy(self, order: str = "C") -> ndarray:
        host = unwrap(self).copy(order)
        result = owned(host)
        launch("copy", (self._memory,), (result._memory,), "copy")
        return result

    def repeat(self, repeats: int, axis: Any = None) -> ndarray:
        result = owned(unwrap(self).repeat(repeats, axis))
        launch("repeat", (self._memory,), (result._memory,))
        return result

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        with np.errstate(all="ignore"):
            result = owned(unwrap(self).astype(dtype, order))
        launch("astype", (self._memory,), (result._memory,))
        return result

    def fill(self, value: Any) -> None:
        self[...] = value

    def take(self, indices: Any, axis: Any = None, out: ndarray | None = None) -> ndarray:
        source, at = unwrap(self), unwrap(indices)
        length = source.size if axis is None else source.shape[axis]
        _within(at, length)
        found = np.asarray(np.take(source, at, axis))
        if out is None:
            out = owned(found)
        elif out.dtype != self.dtype or out.shape != found.shape:
            raise TypeError(f"Output dtype mismatch, or shape {out.shape} for {found.shape}")
        target = unwrap(out)

        def perform() -> None:
            target[...] = np.take(source, at, axis)

        launch("take", (self._memory, *_memories((indices,))), (out._memory,), perform=perform)
        return out

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return self._viewed(self._host.reshape(*shape, order=order))

    def ravel(self, order: str = "C") -> ndarray:
        return self._viewed(self._host.ravel(order))

    def _viewed(self, host: HostArray) -> ndarray:
        if not host.size or np.may_share_memory(host, self._host):
            return self._view(host)
        unwrap(self)
        result = owned(host)
        launch("copy", (self._memory,), (result._memory,))
        return result

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._host.squeeze(axis))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self._host.swapaxes(axis1, axis2))

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    # -------------------------------------------------------------- indices

    def __getitem__(self, index: Any) -> ndarray:
        basic, index = _index(index)
        if basic:
            return self._view(self._host[index])
        hosts = tuple(_checked(self, part, axis) for axis, part in enumerate(index))
        result = owned(unwrap(self)[hosts])
        launch("gather", (self._memory, *_memories(index)), (result._memory,))
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        given, values = value, unwrap(value)
        own = unwrap(self)
        basic, index = _index(index)
        if basic:
            target = own[index]
            if isinstance(given, ndarray) and (target.shape, target.strides) == (
                values.shape,
                values.strides,
            ):
                if target.ctypes.data == values.ctypes.data:
                    return  # CuPy sees that it is the same
                if target.dtype == values.dtype and target.flags.c_contiguous:
                    perform = functools.partial(target.__setitem__, ..., values)
                    launch("copy", (given._memory,), (self._memory,), "copy", perform)
                    return
        else:
            index = tuple(_checked(self, part, axis, once=True) for axis, part in enumerate(index))
            target = own

        def write() -> None:
            with np.errstate(all="ignore"):
                target[... if basic else index] = values

        launch("setitem", _memories((given,)), (self._memory,), perform=write)


def _memories(values: Any) -> tuple[Any, ...]:
    return tuple(value._memory for value in values if isinstance(value, ndarray))


def _index(index: Any) -> tuple[bool, tuple[Any, ...]]:
    """Whether an index gives a view, and the index as a tuple."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, list | np.ndarray):
            raise TypeError(
                "an array is indexed by host values, which CuPy would upload: upload them yourself"
            )
    if any(isinstance(part, ndarray) for part in parts):
        return False, parts
    return True, parts if ... in parts else (*parts, ...)


def _checked(array: ndarray, part: Any, axis: int, once: bool = False) -> Any:
    if not isinstance(part, ndarray):
        return part
    values = unwrap(part)
    if values.dtype == bool:
        if not once:
            _world.note("wait", "mask")  # the result's size is not known before
        return values
    _within(values, array.shape[axis])
    if once and np.unique(values % array.shape[axis]).size != values.size:
        raise IndexError("an element is written twice: on a GPU it is not known which comes last")
    return values


def _within(indices: Any, length: int) -> None:
    indices = np.asarray(indices)
    if indices.size and (indices.min() < -length or indices.max() >= length):
        raise IndexError(f"an index lies outside {length} elements: CuPy would wrap it in silence")
