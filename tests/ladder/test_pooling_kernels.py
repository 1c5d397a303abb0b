"""The kernels of pooling and upsampling, compiled by g++, compute the same as the plain forms."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from support.contract import close, room
from support.ladder.host_kernels import compile

from nnx.backends import Backend
from nnx.ops.pooling import position_type
from nnx.ops.windows import Windows, windows

pytest.importorskip("cupy", reason="needs CuPy's real wheel: nox -s ladder")
from nnx.ops.cuda import Elementwise

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

PLAIN = Backend()
GEOMETRIES = [
    windows((4, 6), (2, 2), (2, 2), "valid"),
    windows((5, 7), (2, 3), (2, 3), "valid"),
    windows((6, 5), (3, 2), (1, 2), "valid"),
    windows((7, 6), (2, 1), (3, 2), "valid"),
    windows((5, 3), (2, 2), (2, 2), "same"),
    windows((3, 2), (5, 5), (1, 1), "same"),
    windows((1, 9), (1, 4), (1, 3), "same"),
    windows((17, 16), (17, 16), (17, 16), "valid"),
]
GEOMETRY = pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda one: f"{one.size} {one.kernel}")


@pytest.fixture(params=["float32", "float64"])
def number(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


def numbers(geometry: Windows, channels: int) -> tuple[int, ...]:
    """The numbers of a kernel, in its order: the image, the padding, the windows."""
    return (
        *geometry.size, channels, *geometry.before, *geometry.kernel, *geometry.strides, *geometry.outputs
    )  # fmt: skip


def run(kernel: str, number: np.dtype, *arguments: Any) -> None:
    """Run a kernel on arrays as the operations give them: as one axis."""
    flat = (one.reshape(-1) if isinstance(one, np.ndarray) else one for one in arguments)
    compile(kernel, number.name)(*flat)


@GEOMETRY
@pytest.mark.parametrize("special", [False, True], ids=["finite", "not finite"])
def test_maximum(geometry: Windows, special: bool, number: np.dtype, rng: np.random.Generator) -> None:
    x = (rng.integers(-3, 4, (3, *geometry.size, 2)) / 4.0).astype(number)
    if special:
        x[0, 0, :2], x[1, ::2], x[2, 0, 0, 1] = np.nan, np.inf, -np.inf
    shape, kind = (3, *geometry.outputs, 2), position_type(geometry)
    dy = rng.normal(size=shape).astype(number)
    expected = np.zeros(shape, kind)
    y = PLAIN.max_pool_forward(x, np.empty_like(dy), geometry, expected)
    out, position = np.full(shape, np.nan, number), np.full(shape, 99, kind)
    run(f"max_pool_forward_{kind}", number, x, *numbers(geometry, 2), out, position)
    np.testing.assert_array_equal(out, y)
    np.testing.assert_array_equal(position, expected)
    dx = PLAIN.max_pool_backward(dy.astype(float), position, room(*x.shape), geometry)
    out = np.full(x.shape, np.nan, number)
    run(f"max_pool_backward_{kind}", number, dy, position, *numbers(geometry, 2), out)
    close(out, dx, number, 25)


@GEOMETRY
def test_average(geometry: Windows, number: np.dtype, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, *geometry.size, 2)).astype(number)
    dy = rng.normal(size=(3, *geometry.outputs, 2)).astype(number)
    out = np.full(dy.shape, np.nan, number)
    run("average_pool_forward", number, x, *numbers(geometry, 2), out)
    close(out, PLAIN.average_pool_forward(x.astype(float), room(*dy.shape), geometry), number, 272)
    out = np.full(x.shape, np.nan, number)
    run("average_pool_backward", number, dy, *numbers(geometry, 2), out)
    close(out, PLAIN.average_pool_backward(dy.astype(float), room(*x.shape), geometry), number, 25)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 20, 4), (2, 500, 3)])
def test_global_average(shape: tuple[int, int, int], number: np.dtype, rng: np.random.Generator) -> None:
    x, out = rng.normal(size=shape).astype(number), np.full((shape[0], shape[2]), np.nan, number)
    run("global_average_forward", number, x, *shape[1:], out)
    close(out, PLAIN.global_average_forward(x.astype(float), room(*out.shape)), number, shape[1])
    dx = np.full(shape, np.nan, number)
    compile("global_average_backward", number.name)(out[:, None, :], shape[1], dx)
    close(dx, PLAIN.global_average_backward(out.astype(float), room(*shape)), number)


def test_many_positions_in_float32() -> None:
    x, out = np.full((1, 200_000, 2), 0.1, np.float32), np.empty((1, 2), np.float32)
    run("global_average_forward", np.dtype("float32"), x, 200_000, 2, out)
    np.testing.assert_allclose(out, 0.1, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (3, 2)])
def test_upsampling(size: tuple[int, int], number: np.dtype, rng: np.random.Generator) -> None:
    dy = rng.normal(size=(3, 4 * size[0], 2 * size[1], 5)).astype(number)
    out = np.full((3, 4, 2, 5), np.nan, number)
    run("upsample_backward", number, dy, 4, 2, 5, *size, out)
    close(out, PLAIN.upsample_backward(dy.astype(float), room(*out.shape)), number, 6)


def test_every_kernel_of_pooling_was_computed() -> None:
    tested = {f"max_pool_{way}_{kind}" for way in ("forward", "backward") for kind in ("uint8", "int32")}
    tested |= {"average_pool_forward", "average_pool_backward"}
    assert tested == {name for name in Elementwise.known if "pool" in name}
