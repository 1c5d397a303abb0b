"""Random ONNX graphs on images and sequences with channels first, as ONNX Runtime accepts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as runtime

KINDS = (
    *("Conv", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization"),
    *("Relu", "Add", "Mul", "PRelu", "Softmax", "Transpose", "MatMul", "Gemm", "Flatten", "Reshape"),
    *("Unsqueeze", "Squeeze", "Residual", "Concat", "ReduceMean", "Resize", "LayerNormalization", "GELU"),
)


class Random:
    """A graph that grows node by node; a node that ONNX Runtime refuses is taken out again."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        axes = int(self.rng.integers(1, 3))
        first = int(self.rng.choice([1, 2, 3, 4]))
        sides = [int(n) for n in self.rng.integers(1 if self.rng.random() < 0.2 else 3, 7, axes)]
        self.x = self.rng.standard_normal((3, first, *sides)).astype(np.float32)
        if self.rng.random() < 0.2:
            self.x = self.rng.standard_normal((3, int(self.rng.choice([6, 8, 24])))).astype(np.float32)
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.value, self.shape, self.y = "x", list(self.x.shape), self.x
        self.rounds = 0

    def array(self, *shape: int) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = self.rng.uniform(0.25, 1.0, shape).astype(np.float32)
        return name

    def integers(self, values: Any) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.array(values, np.int64)
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}_{self.rounds}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def model(self, output: str) -> Any:
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info("x", kind, ("N", *self.x.shape[1:]))],
            [helper.make_tensor_value_info(output, kind, None)],
            [onnx.numpy_helper.from_array(value, name) for name, value in self.arrays.items()],
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)

    def grow(self) -> None:
        """Add one operation, if ONNX Runtime computes it and keeps the rows."""
        self.rounds += 1
        nodes, arrays = list(self.nodes), dict(self.arrays)
        try:
            value = getattr(self, str(self.rng.choice(KINDS)).lower())(self.value)
            options = runtime.SessionOptions()
            options.log_severity_level = 4
            session = runtime.InferenceSession(
                self.model(value).SerializeToString(), options, ["CPUExecutionProvider"]
            )
            (y,) = session.run(None, {"x": self.x})
            if y.ndim < 2 or y.ndim > 4 or y.shape[0] != 3 or y.size > 20_000:
                raise ValueError
            self.value, self.shape, self.y = value, list(y.shape), y
        except Exception:
            self.nodes, self.arrays = nodes, arrays

    # ------------------------------------------------------------------ operations on the value

    def windows(self) -> dict[str, Any]:
        axes = len(self.shape) - 2
        kernel = self.rng.integers(1, 4, axes).tolist()
        found: dict[str, Any] = {"kernel_shape": kernel, "strides": [int(self.rng.integers(1, 3))] * axes}
        if self.rng.random() < 0.5:
            found["pads"] = [(k - 1) // 2 for k in kernel] * 2
        return found

    def conv(self, x: str) -> str:
        attributes, filters = self.windows(), int(self.rng.integers(1, 5))
        return self.node(
            "Conv", x, self.array(filters, self.shape[1], *attributes["kernel_shape"]), **attributes
        )

    def convtranspose(self, x: str) -> str:
        attributes = self.windows()
        W = self.array(self.shape[1], int(self.rng.integers(1, 5)), *attributes["kernel_shape"])
        return self.node("ConvTranspose", x, W, **attributes)

    def maxpool(self, x: str) -> str:
        return self.node("MaxPool", x, **self.windows())

    def averagepool(self, x: str) -> str:
        return self.node("AveragePool", x, **self.windows())

    def globalaveragepool(self, x: str) -> str:
        return self.node("GlobalAveragePool", x)

    def batchnormalization(self, x: str) -> str:
        return self.node("BatchNormalization", x, *(self.array(self.shape[1]) for _ in range(4)))

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def constant(self) -> str:
        """A number, or numbers along one axis, with axes of length 1 before it left out or not."""
        axis = int(self.rng.integers(0, len(self.shape)))
        shape = [n if i == axis else 1 for i, n in enumerate(self.shape)][axis:]
        return self.array(*(shape if axis else [1]))

    def add(self, x: str) -> str:
        return self.node("Add", x, self.constant())

    def mul(self, x: str) -> str:
        return self.node("Mul", self.constant(), x)

    def prelu(self, x: str) -> str:
        name = self.array(1)
        return self.node("PRelu", x, name)

    def softmax(self, x: str) -> str:
        return self.node("Softmax", x, axis=int(self.rng.choice([1, -1])))

    def transpose(self, x: str) -> str:
        last = list(range(1, len(self.shape)))
        orders = [[0, *last[1:], 1], [0, last[-1], *last[:-1]], [0, *self.rng.permutation(last).tolist()]]
        return self.node("Transpose", x, perm=orders[int(self.rng.choice([0, 0, 1, 1, 2]))])

    def matmul(self, x: str) -> str:
        return self.node("MatMul", x, self.array(self.shape[-1], int(self.rng.choice([3, 8, 12]))))

    def gemm(self, x: str) -> str:
        width = int(self.rng.choice([4, 12, 24]))
        return self.node("Gemm", x, self.array(self.shape[-1], width), self.array(width))

    def flatten(self, x: str) -> str:
        return self.node("Flatten", x)

    def reshape(self, x: str) -> str:
        numbers, sizes = int(np.prod(self.shape[1:])), []
        for _ in range(int(self.rng.integers(0, 3))):
            divisors = [n for n in range(1, numbers + 1) if numbers % n == 0]
            sizes.append(int(self.rng.choice(divisors)))
            numbers //= sizes[-1]
        return self.node("Reshape", x, self.integers([0, *sizes, -1]))

    def unsqueeze(self, x: str) -> str:
        return self.node("Unsqueeze", x, self.integers([int(self.rng.integers(1, len(self.shape) + 1))]))

    def squeeze(self, x: str) -> str:
        ones = [axis for axis, length in enumerate(self.shape) if axis and length == 1]
        return self.node("Squeeze", x, self.integers([int(self.rng.choice(ones))]))

    def residual(self, x: str) -> str:
        if self.rng.random() < 0.5 and len(self.shape) > 2:
            W = self.array(self.shape[1], self.shape[1], *[1] * (len(self.shape) - 2))
            return self.node("Add", self.node("Conv", x, W), x)
        return self.node("Add", x, self.node("Tanh", x))

    def concat(self, x: str) -> str:
        axis = int(self.rng.choice([1, 1, -1]))
        other = self.conv(x) if self.rng.random() < 0.5 and len(self.shape) > 2 else self.node("Tanh", x)
        return self.node("Concat", x, other, axis=axis)

    def reducemean(self, x: str) -> str:
        axes = (
            list(range(2, len(self.shape)))
            if self.rng.random() < 0.7
            else list(range(1, len(self.shape) - 1))
        )
        return self.node("ReduceMean", x, self.integers(axes), keepdims=int(self.rng.integers(0, 2)))

    def resize(self, x: str) -> str:
        scales = [1.0, 1.0, *[2.0] * (len(self.shape) - 2)]
        name = self.array(len(scales))
        self.arrays[name] = np.array(scales, np.float32)
        return self.node("Resize", x, "", name, mode="nearest")

    def layernormalization(self, x: str) -> str:
        return self.node("LayerNormalization", x, self.array(self.shape[-1]), self.array(self.shape[-1]))

    def gelu(self, x: str) -> str:
        root, one, half = (self.array(1) for _ in range(3))
        for name, value in ((root, 2.0**0.5), (one, 1.0), (half, 0.5)):
            self.arrays[name] = np.array(value, np.float32)
        erf = self.node("Erf", self.node("Div", x, root))
        return self.node("Mul", self.node("Mul", x, self.node("Add", erf, one)), half)


def graph(seed: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """A model of up to eight operations, rows for it, and what ONNX Runtime computes."""
    made = Random(seed)
    for _ in range(14):
        if len(made.nodes) < 9:
            made.grow()
    return made.model(made.value), made.x, made.y
