"""Each option of ONNX's operators on images is followed as ONNX Runtime does, or refused with its node."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_branches import kinds, node, numbers, written
from support.onnx_graphs import run, with_notes

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def read(path: Path) -> tuple[nnx.Network | None, str]:
    """A network, without the warnings about channels; or None, and the error."""
    try:
        network, said = with_notes(path)
    except nnx.FileFormatError as error:
        (line,) = str(error).splitlines()
        return None, line
    return network, " ".join(text for text in said if "channels on axis 1" not in text)


def computed(network: nnx.Network, x: np.ndarray) -> np.ndarray:
    """What a network computes of images with channels first, in the same order."""
    return np.moveaxis(network.predict(np.moveaxis(x, 1, -1)), -1, 1)


def options(rng: np.random.Generator, axes: int, pool: bool) -> dict[str, Any]:
    """Attributes drawn at random, some of which nnx cannot follow."""
    kernel = rng.integers(1, 4, axes).tolist()
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": rng.integers(1, 4, axes).tolist()}
    if rng.random() < 0.3:
        found["dilations"] = rng.integers(1, 3, axes).tolist()
    way = rng.integers(0, 4)
    if way == 0:
        found["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]))
    if way == 1:
        found["pads"] = [int(rng.integers(0, k)) for k in kernel] * 2
    if way == 2:
        found["pads"] = [int(rng.integers(0, k)) for k in (*kernel, *kernel)]
    if pool and rng.random() < 0.4:
        found["ceil_mode"] = 1
    return found


TRIES = 60


KINDS = [(kind, axes) for kind in ("Conv", "MaxPool", "AveragePool") for axes in (1, 2)]


@pytest.mark.parametrize(("kind", "axes"), [*KINDS, ("ConvTranspose", 2)])
def test_random_options_are_followed_or_refused(tmp_path: Path, kind: str, axes: int):
    followed = refused = 0
    for seed in range(TRIES):
        rng = np.random.default_rng(seed)
        attributes = options(rng, axes, "Pool" in kind)
        shape = (4, *rng.integers(3, 9, axes).tolist())
        arrays: dict[str, Any] = {}
        if kind == "AveragePool" and rng.random() < 0.5:
            attributes["count_include_pad"] = 1
        if kind == "Conv":
            attributes["group"] = int(rng.choice([1, 2, 4]))
            arrays["W"] = numbers(8, 4 // attributes["group"], *attributes["kernel_shape"])
        if kind == "ConvTranspose":
            arrays["W"] = numbers(4, 3, *attributes["kernel_shape"])
            if rng.random() < 0.5:
                attributes["output_padding"] = [int(rng.integers(0, s)) for s in attributes["strides"]]
        if arrays and rng.random() < 0.5:
            arrays["b"] = numbers(8 if kind == "Conv" else 3)
        path = written(
            tmp_path / "model.onnx", [node(kind, "x", *arrays, **attributes)], shape, axes + 2, **arrays
        )
        x = rng.standard_normal((3, *shape)).astype(np.float32)
        try:
            expected = run(path, x)
        except Exception:
            continue  # ONNX Runtime, or the standard's evaluator, refuses these options or disagrees
        network, text = read(path)
        if network is None:
            refused += 1
            assert f"({kind}): " in text, (seed, text)
            continue
        followed += 1
        y = computed(network, x)
        assert y.shape == expected.shape, (seed, attributes)
        np.testing.assert_allclose(y, expected, **CLOSE, err_msg=f"{seed}: {attributes}")
    print(kind, axes, "followed", followed, "refused", refused)
    assert followed > TRIES // 6
    assert refused > 0


def test_a_shifted_kernel_is_told(tmp_path: Path, rng):
    shape = (3, 8, 8)
    nodes = [node("Conv", "x", "W", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]
    network, text = read(written(tmp_path / "model.onnx", nodes, shape, W=numbers(2, 3, 3, 3)))
    assert text == (
        "node 'Conv_y' (Conv): nnx has no such padding; in the network, its kernel of [3, 3] has zeros at "
        "its edges, [4, 4]"
    )
    assert network[0].kernel_size == (4, 4)
    assert network[0].padding == "same"


SCALES = np.array([1, 1, 2, 3], np.float32)
HOW = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@pytest.mark.parametrize(("how", "rounding"), list(itertools.product(HOW, ROUNDING)))
def test_nearest_resizing_is_followed_where_it_repeats_numbers(tmp_path: Path, rng, how: str, rounding: str):
    attributes = {"mode": "nearest", "coordinate_transformation_mode": how, "nearest_mode": rounding}
    x = rng.standard_normal((3, 2, 4, 3)).astype(np.float32)
    empty = np.zeros(0, np.float32)
    for inputs, arrays in (
        (["", "s"], {"s": SCALES}),
        (["e", "e", "z"], {"e": empty, "z": np.array([3, 2, 8, 9])}),
    ):
        path = written(
            tmp_path / "model.onnx", [node("Resize", "x", *inputs, **attributes)], x.shape[1:], **arrays
        )
        network, text = read(path)
        if network is None:
            assert "rounds places" in text
            assert (how, rounding) not in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
        else:
            assert kinds(network.layers) == ["UpSample2D"]
            np.testing.assert_array_equal(computed(network, x), run(path, x))


def test_an_embedding_of_any_table_and_type(tmp_path: Path, rng):
    helper = onnx.helper
    for kind, shape, table, layers in (
        (onnx.TensorProto.INT64, (4,), (9, 3), ["Embedding", "Flatten"]),
        (onnx.TensorProto.INT32, (4, 2), (9, 3), ["Embedding", "Flatten"]),
        (onnx.TensorProto.INT64, (4,), (9, 3, 2), ["Embedding", "Reshape", "Flatten"]),
        (onnx.TensorProto.FLOAT, (4,), (9, 3), ["Embedding", "Flatten"]),
    ):
        nodes = [helper.make_node("Cast", ["x"], ["i"], to=onnx.TensorProto.INT64)]
        nodes += [helper.make_node("Gather", ["T", "i"], ["g"]), helper.make_node("Flatten", ["g"], ["y"])]
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", kind, ("N", *shape))],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ("N", "F"))],
            [onnx.numpy_helper.from_array(numbers(*table), "T")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "model.onnx")
        network = exchange.load(tmp_path / "model.onnx")
        assert kinds(network.layers) == layers
        x = rng.integers(0, 9, (5, *shape))
        expected = run(tmp_path / "model.onnx", x.astype(helper.tensor_dtype_to_np_dtype(kind)))
        np.testing.assert_array_equal(network.predict(x), expected)


IMAGE = (4, 6, 6)
REFUSED: dict[str, tuple[list[Any], tuple[Any, ...], dict[str, Any]]] = {
    "its images have 3 axes": ([node("Conv", "x", "W")], (2, 4, 4, 4), {"W": numbers(3, 2, 2, 2, 2)}),
    "(ConvTranspose): nnx's Conv2DTranspose has no groups": (
        [node("ConvTranspose", "x", "W", group=2)], IMAGE, {"W": numbers(4, 3, 2, 2)}
    ),
    "its mode is 'linear'": ([node("Resize", "x", "", "s", mode="linear")], IMAGE, {"s": SCALES}),
    "it enlarges the axes by [1.0, 0.5, 0.5, 1.0]": (
        [node("Resize", "x", "", "s")], IMAGE, {"s": np.array([1, 1, 0.5, 0.5], np.float32)}
    ),
    "it enlarges the axes by [1.0, 1.0, 1.0, 2.0]": (
        [node("Resize", "x", "", "s", mode="nearest"), node("Conv", "y", "W", to="z")], IMAGE,
        {"s": np.array([1, 2, 1, 1], np.float32), "W": numbers(3, 8, 1, 1)},
    ),
    "nnx's MaxPool layers have no dilation": (
        [node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 1])], IMAGE, {}
    ),
    "count_include_pad": (
        [node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)], IMAGE, {}
    ),
    "nnx pads only as Keras does": (
        [node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], IMAGE, {}
    ),
    "one of the two must be 1": (
        [node("Conv", "x", "W", strides=[2, 2], dilations=[2, 2])], IMAGE, {"W": numbers(3, 4, 2, 2)}
    ),
    "nnx reads Gather only of the rows of a constant table": (
        [node("Gather", "x", "i", axis=1)], IMAGE, {"i": np.array([0, 2])}
    ),
    "nnx pools over all axes of images": (
        [node("ReduceMean", "x", "a", keepdims=1)], IMAGE, {"a": np.array([3])}
    ),
    "its first input must be the data": ([node("Conv", "W", "x")], (4, 2, 2), {"W": numbers(1, 4, 5, 5)}),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_no_layer_computes_is_refused_with_its_node(tmp_path: Path, text: str):
    nodes, shape, arrays = REFUSED[text]
    output = nodes[-1].output[0]
    if output != "y":
        nodes[0].output[0], nodes[-1].input[0], nodes[-1].output[0] = "h", "h", "y"
    network, told = read(written(tmp_path / "model.onnx", nodes, shape, **arrays))
    assert network is None
    assert text in told
    assert "node '" in told


def test_more_than_the_first_output_is_refused(tmp_path: Path):
    made = onnx.helper.make_node("MaxPool", ["x"], ["m", "i"], name="pool", kernel_shape=[2, 2])
    both = onnx.helper.make_node("Cast", ["i"], ["f"], to=1)
    path = written(tmp_path / "model.onnx", [made, both, node("Add", "m", "f")], IMAGE)
    network, text = read(path)
    assert network is None
    assert "node 'pool' (MaxPool): nnx has no layer that computes more than its first output" in text
