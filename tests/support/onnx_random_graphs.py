"""Make random ONNX graphs from operators that nnx reads, and some that it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

PLAIN = ("Relu", "Sigmoid", "Tanh", "Softplus", "Identity", "Neg", "Exp", "Sqrt", "Abs", "Log")
WITH_SLOPE = ("LeakyRelu", "Elu", "Celu", "HardSigmoid", "ThresholdedRelu", "Selu")
WITH_CONSTANT = ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Pow")


class Maker:
    """A graph in the making: nodes, constants, and the values that hold data, with their shapes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.values: list[tuple[str, tuple[int, ...]]] = []  # the shape of a row
        self.row = self.pick([(4,), (3,), (1,), (2, 3)], [0.5, 0.25, 0.15, 0.1])

    def pick(self, choices: Any, p: Any = None) -> Any:
        return choices[int(self.rng.choice(len(choices), p=p))]

    def add(self, kind: str, *inputs: str, row: tuple[int, ...], domain: str = "", **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], f"{kind}_{name}", domain=domain, **attributes)
        )
        self.values.append((name, row))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """A constant, at times after operators that give it its value."""
        array = np.asarray(value, kind)
        name = f"c{len(self.constants)}_{len(self.nodes)}"
        made, how = f"{name}_made", self.pick(["stored", "Identity", "Transpose", "Cast", "Reshape", "Neg"])
        if how in ("stored", "Cast") or kind != np.float32:
            self.constants[name] = array
            return name
        stored = {"Transpose": array.T, "Neg": -array, "Reshape": array.reshape(-1)}.get(how, array)
        self.constants[name] = np.ascontiguousarray(stored)
        more = []
        if how == "Reshape":
            self.constants[f"{name}_shape"] = np.array(array.shape, np.int64)
            more = [f"{name}_shape"]
        self.nodes.append(helper.make_node(how, [name, *more], [made], made))
        return made

    def numbers(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).round(2) + 0.005

    def step(self) -> None:
        """Add an operator, or a few."""
        name, row = self.values[-1]
        if self.rng.random() < 0.06:
            name, row = self.pick(self.values)
        getattr(self, self.pick(STEPS, WEIGHTS))(name, row)

    def plain(self, name: str, row: Any) -> None:
        self.add(self.pick(PLAIN), name, row=row)

    def sloped(self, name: str, row: Any) -> None:
        kind = self.pick(WITH_SLOPE)
        attributes = {} if kind == "Selu" else {"alpha": float(self.pick([0.1, 0.7, 1.0, 1.5, -0.5, 0.0]))}
        self.add(kind, name, row=row, **attributes)

    def dense(self, name: str, row: Any) -> None:
        units = int(self.rng.integers(1, 5))
        if len(row) > 1 or self.rng.random() < 0.5:
            product = self.add(
                "MatMul", name, self.constant(self.numbers(row[-1], units)), row=(*row[:-1], units)
            )
            self.add("Add", product, self.constant(self.numbers(units)), row=(*row[:-1], units))
        else:
            turned = int(self.rng.integers(0, 2))
            W = self.numbers(*((units, row[0]) if turned else (row[0], units)))
            b = self.numbers(*self.pick([(units,), (1,), (), (1, units)]))
            self.add(
                "Gemm", name, self.constant(W), self.constant(b), row=(units,), transB=turned,
                alpha=float(self.pick([1.0, 0.5])), beta=float(self.pick([1.0, 2.0])),
            )  # fmt: skip

    def with_constant(self, name: str, row: Any) -> None:
        kind = self.pick(WITH_CONSTANT)
        shape = self.pick([(), (1,), row[-1:], (1, row[-1]), (3,), (1, 1, row[-1]), row, (7, row[-1])])
        other = self.constant(
            self.pick([self.numbers(*shape), np.full(shape, self.pick([0.0, 0.5, 2.0, 3.0]))])
        )
        inputs = [name, other] if kind in ("PRelu", "Pow") or self.rng.random() < 0.8 else [other, name]
        wide = row if not shape or row[-1] >= shape[-1] else (*row[:-1], shape[-1])
        self.add(kind, *inputs, row=wide)

    def clip(self, name: str, row: Any) -> None:
        bounds = [self.constant(value) for value in self.pick([(0.0, 6.0), (-1.0, 1.0), (0.5, 0.25), (0.0,)])]
        self.add("Clip", name, *bounds, row=row)

    def over_an_axis(self, name: str, row: Any) -> None:
        kind = self.pick(["Softmax", "LogSoftmax", "LayerNormalization", "ReduceMean", "ReduceSum"])
        axis = int(self.pick([-1, 1, 0], [0.7, 0.2, 0.1]))
        if kind.startswith("Reduce"):
            self.add(kind, name, self.constant([axis], np.int64), row=(*row[:-1], 1), keepdims=1)
        elif kind == "LayerNormalization":
            rows = [self.constant(self.numbers(row[-1])) for _ in range(int(self.rng.integers(1, 3)))]
            self.add(kind, name, *rows, row=row, axis=axis, epsilon=float(self.pick([1e-5, 0.01, 0.5])))
        else:
            self.add(kind, name, row=row, axis=axis)

    def batch_norm(self, name: str, row: Any) -> None:
        names = [self.constant(self.numbers(row[0])) for _ in range(3)]
        variance = self.constant(np.abs(self.numbers(row[0])) + 0.1)
        self.add("BatchNormalization", name, *names, variance, row=row, epsilon=0.01)

    def dropout(self, name: str, row: Any) -> None:
        self.add("Dropout", name, self.constant(0.3), row=row)

    def reshape(self, name: str, row: Any) -> None:
        size = int(np.prod(row))
        kind = self.pick(["Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"])
        if kind == "Flatten":
            self.add(kind, name, row=(size,), axis=int(self.pick([1, 1, 0, -1])))
        elif kind == "Cast":
            between = self.add(kind, name, row=row, to=self.pick([TensorProto.DOUBLE, TensorProto.INT32]))
            self.add(kind, between, row=row, to=TensorProto.FLOAT)
        elif kind == "Reshape":
            to = self.pick([(-1, size), (0, -1), (-1, 1), (1, -1), (-1,), (size, -1), (0, *row)])
            self.add(kind, name, self.constant(to, np.int64), row=(size,) if len(to) < 3 else row)
        else:
            axis = self.constant([self.pick([1, -1, 0])], np.int64)
            self.add(kind, name, axis, row=(1, *row) if kind == "Unsqueeze" else row)

    def gate(self, name: str, row: Any) -> None:
        other = self.add(self.pick(["Sigmoid", "Tanh", "Relu", "Softplus", "Identity"]), name, row=row)
        self.add(
            self.pick(["Mul", "Add", "Sub", "Div", "Max"]),
            *self.pick([(name, other), (other, name)]),
            row=row,
        )

    def gelu(self, name: str, row: Any) -> None:
        """x (1 + erf(x / √2)) / 2 with its factors in any order, at times with a wrong constant."""
        root = self.pick([np.sqrt(2.0), 1.0 / np.sqrt(2.0), 1.5], [0.45, 0.45, 0.1])
        to_erf = self.add("Mul" if root < 1.0 else "Div", name, self.constant(root), row=row)
        plus = self.add("Add", self.constant(1.0), self.add("Erf", to_erf, row=row), row=row)
        half = self.constant(self.pick([0.5, 0.25], [0.9, 0.1]))
        if self.rng.random() < 0.5:
            self.add("Mul", half, self.add("Mul", name, plus, row=row), row=row)
        else:
            self.add("Mul", self.add("Mul", half, name, row=row), plus, row=row)

    def layer_norm(self, name: str, row: Any) -> None:
        """(x - μ) / √(σ² + ε) γ + β, at times with another power or a mean over another axis."""
        axis = self.constant([self.pick([-1, 1, 0], [0.8, 0.1, 0.1])], np.int64)
        centred = self.add("Sub", name, self.add("ReduceMean", name, axis, row=row), row=row)
        square = self.add("Pow", centred, self.constant(self.pick([2.0, 3.0], [0.9, 0.1])), row=row)
        variance = self.add("ReduceMean", square, axis, row=row)
        sigma = self.add("Sqrt", self.add("Add", variance, self.constant(0.01), row=row), row=row)
        unit = self.add("Div", centred, sigma, row=row)
        scaled = self.add("Mul", unit, self.constant(self.numbers(*row[-1:])), row=row)
        self.add("Add", scaled, self.constant(self.numbers(*row[-1:])), row=row)

    def where(self, name: str, row: Any) -> None:
        """A function in two pieces: LeakyReLU, Softplus that is x on the far right, or neither."""
        kind = self.pick(["Greater", "Less", "LessOrEqual"])
        bound = float(self.pick([0.0, 20.0, 1.0]))
        condition = self.add(kind, name, self.constant(bound), row=row)
        other = self.pick(["Softplus", "Elu", "Relu"])
        left = self.add(other, name, row=row) if self.rng.random() < 0.5 else self.add(
            "Mul", name, self.constant(self.pick([0.1, 0.0, -1.0])), row=row
        )  # fmt: skip
        self.add("Where", condition, *self.pick([(name, left), (left, name)]), row=row)


STEPS = (
    *(
        "plain",
        "sloped",
        "dense",
        "with_constant",
        "clip",
        "over_an_axis",
        "batch_norm",
        "dropout",
        "reshape",
    ),
    *("gate", "gelu", "layer_norm", "where"),
)
WEIGHTS = np.array([3, 2, 3, 4, 1, 1, 1, 0.5, 1.5, 1, 0.7, 0.7, 0.7])
WEIGHTS /= WEIGHTS.sum()


def graph(seed: int) -> tuple[Any, np.ndarray]:
    """A model, which need not be valid, and rows for it."""
    maker = Maker(seed)
    rng = maker.rng
    maker.values.append(("x", maker.row))
    for _ in range(int(rng.integers(1, 6))):
        maker.step()
    name = maker.values[-1][0]
    dims = ["rows", *(d if rng.random() < 0.9 else f"d{i}" for i, d in enumerate(maker.row))]
    model = helper.make_model(
        helper.make_graph(
            maker.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in maker.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", int(maker.pick([18, 20])))],
        ir_version=9,
    )
    return model, (2.0 * rng.normal(size=(7, *maker.row))).astype(np.float32)
