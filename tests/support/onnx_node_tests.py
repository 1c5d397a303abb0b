"""ONNX's own tests of single operators: which ones concern layers of nnx, and their results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

from nnx.interop import onnx as exchange

OPERATORS = (
    *("Gemm", "MatMul", "Add", "Relu", "LeakyRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "Softplus", "Softmax"),
    *("BatchNormalization", "LayerNormalization", "Identity", "Dropout"),
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    *("Resize", "Upsample", "Flatten", "Reshape", "Gather"),
)
ON_SHAPES = OPERATORS[OPERATORS.index("Conv") :]
# What nnx's layers on images and shapes do not compute: the first that fits the name of a test.
REFUSED = (
    (r"_3d", "images with three axes"),
    (r"convtranspose_1d", "a transposed convolution of sequences"),
    (r"convtranspose_group", "a transposed convolution in groups"),
    (r"count_include_pad|last_window_starts_on_pad", "padding is counted in the mean"),
    (r"pool_2d_dilations", "a pooling with dilation"),
    (
        r"(transpose|pool_2d)_pads$|output_shape$|asymmetric_padding|pool_2d_same_lower",
        "other padding than Keras's",
    ),
    (r"uint8", "integers"),
    (r"flatten_(axis[023]|negative_axis[123])", "rows are mixed"),
    (r"reshape_(allowzero|negative_extended|one_dim|reordered_all)", "rows are mixed"),
    (r"gather_(1|2d|negative)", "no rows of a table"),
    (r"resize.*_(linear|cubic|tf_crop)", "another mode than nearest"),
    (r"resize.*_(not_larger|not_smaller)", "the aspect ratio is kept"),
    (r"resize_(downsample|upsample_sizes_nearest($|_axes))", "factors that are not whole numbers"),
    (r"resize_upsample_sizes_nearest_(ceil|floor|round)", "other rounding of places"),
)
# Those that are read, too, if ONNX writes them out in other operators.
WRITTEN_OUT = ("Relu", "LeakyRelu", "Elu", "Gelu", "Softplus", "Softmax")


class Case(NamedTuple):
    """A test of one operator, and why it is left out (empty where it is not)."""

    name: str
    operator: str
    test: Any
    left_out: str


def cases() -> list[Case]:
    """All node tests of the operators, those included in which ONNX writes the operator out in others."""
    everything = collect_testcases()
    own = {}
    for test in everything:
        (node, *more) = test.model.graph.node
        if not more and node.op_type in OPERATORS and "_expanded" not in test.name:
            own[test.name] = test
    found = []
    for test in everything:
        plain = own.get(test.name.split("_expanded")[0])
        if plain is not None:
            operator = plain.model.graph.node[0].op_type
            read = test is plain or operator in WRITTEN_OUT
            found.append(
                Case(test.name, operator, test, reason(plain) if read else "written out in other operators")
            )
    return found


def reason(test: Any) -> str:
    """Why a test is not about weights that are constants and data that are batches of vectors."""
    graph = test.model.graph
    (node,) = graph.node
    if node.op_type in ON_SHAPES:
        return next((why for pattern, why in REFUSED if re.search(pattern, test.name)), "")
    data, *weights = [value.type for value in graph.input]
    if not data.HasField("tensor_type"):
        return "the data are a sequence or an optional"
    kinds = {value.tensor_type.elem_type for value in (data, *weights[:1])}
    if kinds != {onnx.TensorProto.FLOAT}:
        return "integers"
    shapes = [tuple(d.dim_value for d in value.tensor_type.shape.dim) for value in (data, *weights)]
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    if attributes.get("training_mode") or test.name.startswith("test_training_dropout"):
        return "in training mode"
    return _about_other_shapes(node.op_type, attributes, *shapes)


def _about_other_shapes(kind: str, attributes: dict[str, Any], data: tuple[int, ...], *weights: Any) -> str:
    if kind == "Gemm" and attributes.get("transA"):
        return "the data are columns"
    if kind == "Gemm" and len(weights) > 1 and len(weights[1]) == 2 and weights[1][0] > 1:
        return "another bias for each row"
    if kind == "MatMul" and len(weights[0]) != 2:
        return "the second factor is no matrix"
    if kind == "Add" and len(weights[0]) != 1:
        return "the sum of two batches"
    if kind == "BatchNormalization":
        return ""
    axis = attributes.get("axis", -1) % len(data)
    return "" if axis == len(data) - 1 else "over other axes than the vectors'"


def check(case: Case, folder: Path) -> None:
    """Load the test's model, its weights made constants, and compare the output on each of its data sets.

    A network has one output: the mask beside Dropout's and the statistics beside LayerNormalization's are
    taken out of the model, and not compared.
    """
    for inputs, outputs in case.test.data_sets:
        network, at = load(case, inputs, folder)
        x, expected = np.asarray(inputs[at]), np.asarray(outputs[0])
        moved = x.ndim > 2 and network.input_shape != x.shape[1:]  # channels are last in nnx
        x = np.moveaxis(x, 1, -1) if moved else x.reshape(-1, *network.input_shape)
        y = network.predict(x)
        y = np.moveaxis(y, -1, 1) if moved else y
        np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=1e-6, atol=1e-6)


def load(case: Case, inputs: Any, folder: Path) -> tuple[Any, int]:
    """Load the test's model, its weights made constants; also return which input has the data."""
    model = onnx.ModelProto()
    model.CopyFrom(case.test.model)
    graph = model.graph
    at = 1 if case.operator == "Gather" else 0
    values = list(graph.input)
    for number, (value, array) in enumerate(zip(values, inputs, strict=True)):
        if number != at:
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), value.name))
    del graph.input[:], graph.output[1:]
    graph.input.append(values[at])
    del graph.node[0].output[1:]
    path = folder / f"{case.name}.onnx"
    onnx.save(model, path)
    return exchange.load(path), at


def table(found: list[Case]) -> str:
    """N of M for each operator, and how many were left out for which reason."""
    lines = [f"{'operator':22}{'passed':>10}  left out"]
    for operator in OPERATORS:
        mine = [case for case in found if case.operator == operator]
        reasons = [case.left_out for case in mine if case.left_out]
        told = "; ".join(f"{reasons.count(one)} {one}" for one in dict.fromkeys(reasons))
        lines.append(f"{operator:22}{f'{len(mine) - len(reasons)} of {len(mine)}':>10}  {told}")
    passed = sum(not case.left_out for case in found)
    return "\n".join([*lines, f"{'all':22}{f'{passed} of {len(found)}':>10}"])
