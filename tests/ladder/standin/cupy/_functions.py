"""CuPy's functions and ufuncs, computed by NumPy: whatever both have under one name."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

from cupy import _array, _wheel, _world
from cupy._array import launch, ndarray, owned, unwrap


class ufunc:
    """An elementwise function; one launch.

    Attributes
    ----------
    name : str
        With its module.
    """

    def __init__(self, name: str, function: Any) -> None:
        described = _wheel.described()["names"][name]
        self.name, self._function = name, function
        self.nin, self.nout = described["nin"], described["nout"]
        self.nargs = self.nin + self.nout
        # without CuPy's half complex numbers, which NumPy lacks
        self.types = [form for form in described["types"] if "E" not in form]
        self._keywords = set(described["keywords"])
        self._taken: dict[Any, bool] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        if not self._keywords.issuperset(kwargs):
            raise TypeError(f"Wrong arguments {kwargs} for {self.name!r}")
        out = kwargs.pop("out", None)
        if len(args) > self.nin:
            args, out = args[: self.nin], args[self.nin]
        hosts = [unwrap(one) for one in args]
        self._refuse_types(hosts)
        reads = tuple(one._memory for one in args if type(one) is ndarray)
        perform = _world.nothing
        with np.errstate(all="ignore"):
            if out is None:
                result = self._function(*hosts, **kwargs)
                if self.nout > 1:
                    results = tuple(owned(one) for one in result)
                    launch(self.name, reads, tuple(one._memory for one in results))
                    return results
                out = owned(result)
            else:
                if not isinstance(out, ndarray):
                    raise TypeError("Output arguments type must be cupy.ndarray")
                target = unwrap(out)
                for one in args:  # then CuPy copies what is read
                    if isinstance(one, ndarray) and one is not out and _overlap(one._host, target):
                        _world.allocated(one.nbytes)
                        launch("copy", (), (), "copy")
                shape = np.broadcast_shapes(*(np.shape(one) for one in hosts))
                if shape != target.shape:
                    raise ValueError("Out shape is mismatched")
                perform = functools.partial(_quietly, self._function, *hosts, out=target, **kwargs)
        launch(self.name, reads, (out._memory,), perform=perform)
        return out

    def _refuse_types(self, hosts: list[Any]) -> None:
        dtypes = tuple(getattr(one, "dtype", None) for one in hosts)
        taken = self._taken.get(dtypes)
        if taken is None:
            taken = self._taken[dtypes] = any(
                all(d is None or np.can_cast(d, t) for d, t in zip(dtypes, form, strict=False))
                for form in self.types
            )
        if not taken:
            raise TypeError(f"Wrong type {dtypes} of arguments for {self.name!r}")

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"


def _quietly(compute: Any, *args: Any, **kwargs: Any) -> None:
    with np.errstate(all="ignore"):
        compute(*args, **kwargs)


def _overlap(a: Any, b: Any) -> bool:
    """Whether two arrays lie over one another, unless they are the same elements."""
    return bool(np.may_share_memory(a, b))


def function(name: str, compute: Any) -> Any:
    """A function of CuPy's with its signature; counted as one launch.

    `compute` is called with host arrays where CuPy has device arrays, and its results are brought back: a
    view as a view, anything else in memory of its own.
    """
    call = _wheel.call(name)

    @functools.wraps(compute, updated=())
    def computed(*args: Any, **kwargs: Any) -> Any:
        call.check(args, kwargs)
        out = kwargs.pop("out", None)
        hosts = [_deep(one) for one in args]
        keywords = {key: _deep(one) for key, one in kwargs.items()}
        arrays = [*_arrays(args), *_arrays(kwargs.values())]
        if not arrays:
            raise TypeError(f"{name} takes arrays of a device, not {[type(one).__name__ for one in args]}")
        with np.errstate(all="ignore"):
            if out is None:
                return _brought_back(name, compute(*hosts, **keywords), arrays)
            target = unwrap(out)
            result = np.asarray(compute(*hosts, **keywords))
        if result.shape != target.shape or result.dtype != target.dtype:
            raise ValueError(
                f"{name}: out of {target.shape}, {target.dtype} for {result.shape}, {result.dtype}"
            )

        def perform() -> None:
            _quietly(lambda: target.__setitem__(..., compute(*hosts, **keywords)))

        if name.rpartition(".")[2] in WITH_WORKSPACE:
            _world.allocated(out.nbytes)
        launch(name, tuple(one._memory for one in arrays), (out._memory,), perform=perform)
        return out

    computed.__name__ = computed.__qualname__ = name.rpartition(".")[2]
    return computed


def _deep(value: Any) -> Any:
    if isinstance(value, list | tuple) and any(isinstance(one, ndarray | np.ndarray) for one in value):
        return type(value)(unwrap(one) for one in value)
    return value if isinstance(value, str | list) else unwrap(value)


def _arrays(values: Any) -> list[ndarray]:
    found = []
    for value in values:
        parts = value if isinstance(value, list | tuple) else (value,)
        found += [part for part in parts if isinstance(part, ndarray)]
    return found


def _brought_back(name: str, result: Any, arrays: list[ndarray]) -> Any:
    if isinstance(result, tuple | list):
        return type(result)(_brought_back(name, one, arrays) for one in result)
    if isinstance(result, bool | int | str | np.dtype) or result is None:
        return result
    result = np.asarray(result)
    for array in arrays:
        if result.size and result.base is not None and np.may_share_memory(result, array._host):
            return array._view(result)
    back = owned(result)
    launch(name, tuple(one._memory for one in arrays), (back._memory,))
    return back


# ------------------------------------------------------------------- special ones


def array(
    obj: Any, dtype: Any = None, copy: bool | None = True, order: str = "K", subok: bool = False,
    ndmin: int = 0, *, blocking: bool = False,
) -> ndarray:  # fmt: skip
    """Host data is uploaded; a device array is copied, or given as it is."""
    if isinstance(obj, ndarray):
        if dtype is not None and obj.dtype != dtype:
            return obj.astype(dtype)
        return obj.copy() if copy else obj
    if isinstance(obj, list | tuple) and _arrays(obj):
        raise TypeError("the stand-in makes no array of a list of arrays")
    return _array.uploaded(np.array(obj, dtype, ndmin=ndmin))


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """See `array`; a NumPy array that fits is uploaded from where it lies."""
    if isinstance(a, np.ndarray) and (dtype is None or a.dtype == dtype):
        return _array.uploaded(a)
    return array(a, dtype, copy=copy or False, order=order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """The same array where it is contiguous and of the dtype; else a copy, which is a launch."""
    if not isinstance(a, ndarray):
        return array(a, dtype)
    if a.flags.c_contiguous and (dtype is None or a.dtype == dtype):
        return a
    result = owned(np.ascontiguousarray(unwrap(a), dtype))
    launch("ascontiguousarray", (a._memory,), (result._memory,))
    return result


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> ndarray:
    """The same memory, after the current stream has been put behind the one that writes it."""
    from cupy import _streams

    kind, index = x.__dlpack_device__()
    if kind != 2 or index != _world.current():
        raise BufferError("the stand-in takes arrays of the current device")
    capsule = x.__dlpack__(stream=_streams.get_current_stream())
    if not isinstance(capsule, ndarray):
        raise TypeError("the stand-in reads no capsules but its own")
    return capsule


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """Downloaded."""
    if isinstance(a, ndarray):
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    return np.asarray(a, order=order)  # type: ignore[call-overload]


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Full of what nobody should read."""
    return _array.unset(shape, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """Memory, and a kernel that fills it (or the driver, with zeros)."""
    value = unwrap(fill_value)
    result = owned(np.full(shape, value, dtype, order))
    launch("full", _array._memories((fill_value,)), (result._memory,))
    return result


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """See `full`."""
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """See `full`."""
    return full(shape, 1, dtype, order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    """See `empty`."""
    return empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def zeros_like(
    a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    """See `full`."""
    return zeros(a.shape if shape is None else shape, dtype or a.dtype)


def take(a: ndarray, indices: Any, axis: Any = None, out: ndarray | None = None) -> ndarray:
    """The method."""
    return a.take(indices, axis, out)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    """A launch, and nothing uploaded."""
    result = owned(np.arange(start, stop, step, dtype) if stop is not None else np.arange(start, dtype=dtype))
    launch("arange", (), (result._memory,))
    return result


def dot(a: ndarray, b: ndarray, out: ndarray | None = None) -> ndarray:
    """By cuBLAS, which transposes as it reads and copies what is neither way contiguous."""
    if getattr(_world.thread(), "capture", None) is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    x, y = unwrap(a), unwrap(b)
    if out is not None:
        if out.dtype != np.result_type(x, y):
            raise ValueError("Not supported dtype combination.")
        if not out.flags.c_contiguous:
            raise ValueError("Output array must be C-contiguous")
        if out is a or out is b or _overlap(out._host, x) or _overlap(out._host, y):
            raise ValueError("cuBLAS reads what it writes")
    for one in (x, y):
        if not (one.flags.c_contiguous or one.flags.f_contiguous):
            _world.allocated(one.nbytes)
            launch("copy", (), (), "copy")
    with np.errstate(all="ignore"):
        result = np.dot(x, y)
    if out is None:
        out = owned(result)
    elif out.shape != np.shape(result):
        raise ValueError(f"out of shape {out.shape} for {np.shape(result)}")
    else:
        unwrap(out)[...] = result
    launch("dot", (a._memory, b._memory), (out._memory,))
    return out


def matmul(x1: ndarray, x2: ndarray, *, out: ndarray | None = None) -> ndarray:
    """See `dot`; of matrices, vectors, and stacks of matrices."""
    if max(x1.ndim, x2.ndim) <= 2:
        return dot(x1, x2, out)
    x, y = unwrap(x1), unwrap(x2)
    if x.ndim != y.ndim or x.shape[:-2] != y.shape[:-2]:
        raise NotImplementedError("the stand-in multiplies stacks of one shape")
    with np.errstate(all="ignore"):
        result = np.matmul(x, y)
    if out is None:
        out = owned(result)
    elif out.shape != result.shape or out.dtype != result.dtype or not out.flags.c_contiguous:
        raise ValueError(f"out of shape {out.shape} and type {out.dtype} for {result.shape}, {result.dtype}")
    elif np.may_share_memory(unwrap(out), x) or np.may_share_memory(unwrap(out), y):
        raise ValueError("a product reads what it writes")
    else:
        unwrap(out)[...] = result
    launch("matmul", (x1._memory, x2._memory), (out._memory,))
    return out


def where(condition: ndarray, x: Any = None, y: Any = None) -> ndarray:
    """Of three; of one it would wait for the device."""
    if x is None or y is None:
        raise NotImplementedError("the stand-in has where(condition, x, y)")
    arrays = _arrays((condition, x, y))
    result = owned(np.where(unwrap(condition), unwrap(x), unwrap(y)))
    launch("where", tuple(one._memory for one in arrays), (result._memory,))
    return result


SPECIAL = {
    f.__name__: f
    for f in (
        empty_like,
        zeros_like,
        take,
        array,
        asarray,
        ascontiguousarray,
        asnumpy,
        from_dlpack,
        empty,
        full,
        zeros,
        ones,
        arange,
        dot,
        matmul,
        where,
    )
}
# sums along the last axis, and whole ones, are computed by CUB in memory that CuPy allocates, also with out=;
# the stand-in does not look at the axis
WITH_WORKSPACE = ("cumsum", "max", "mean", "min", "prod", "sum")
OF_TYPES = (
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "issubdtype",
    "promote_types",
    "result_type",
)  # no arrays
METHODS = (
    "all",
    "any",
    "argmax",
    "argmin",
    "clip",
    "cumsum",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
)
BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "pow": "power",
    "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
COMPARED = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
            "ge": "greater_equal"}  # fmt: skip
UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert"}


@functools.cache
def lookup(name: str) -> Any:
    """CuPy's function of that name.

    Raises
    ------
    AttributeError
        If CuPy has none.
    """
    kind = _wheel.kind(f"cupy.{name}")
    if kind is None:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name in SPECIAL:
        return _special(name)
    twin = getattr(np, name, None)
    if name in OF_TYPES:
        return twin
    if kind == "ufunc" and twin is not None:
        return ufunc(f"cupy.{name}", twin)
    if kind == "function" and twin is not None:
        return function(f"cupy.{name}", twin)
    if kind in ("class", "other") and twin is not None and (isinstance(twin, type | float) or twin is None):
        return twin  # float32, dtype, pi
    raise NotImplementedError(f"the stand-in does not compute cupy.{name}")


def computed() -> list[str]:
    """Return the names of all that `lookup` finds."""
    found = []
    for name in _wheel.described()["names"]:
        module, _, last = name.rpartition(".")
        if module == "cupy" and not last.startswith("_"):
            with contextlib.suppress(NotImplementedError, TypeError):
                lookup(last)
                found.append(last)
    return found


def _special(name: str) -> Any:
    call, compute = _wheel.call(f"cupy.{name}"), SPECIAL[name]

    @functools.wraps(compute)
    def checked(*args: Any, **kwargs: Any) -> Any:
        call.check(args, kwargs)
        return compute(*args, **kwargs)

    return checked


def complete() -> None:
    """Give arrays their operators and the methods that NumPy computes."""
    for dunder, name in (BINARY | COMPARED).items():
        f = lookup(name)
        setattr(ndarray, f"__{dunder}__", lambda self, other, f=f: f(self, other))
        if dunder in BINARY:
            setattr(ndarray, f"__r{dunder}__", lambda self, other, f=f: f(other, self))
            setattr(ndarray, f"__i{dunder}__", lambda self, other, f=f: f(self, other, out=self))
    for dunder, name in UNARY.items():
        f = lookup(name)
        setattr(ndarray, f"__{dunder}__", lambda self, f=f: f(self))
    ndarray.__matmul__ = lambda self, other: matmul(self, other)  # type: ignore[attr-defined]
    ndarray.dot = lambda self, b, out=None: dot(self, b, out)  # type: ignore[attr-defined]
    for name in METHODS:
        setattr(ndarray, name, _method(name))


def _method(name: str) -> Any:
    call = _wheel.call(f"cupy.ndarray.{name}")
    compute = lookup(name)

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        call.check(args, kwargs)
        return compute(self, *args, **kwargs)

    method.__name__ = name
    return method
