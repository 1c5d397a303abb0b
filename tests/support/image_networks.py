"""Networks with the layers on images and sequences: for other libraries, every option of each layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nnx

Layers = Callable[[], list[nnx.Layer]]
EPSILON = 2.0**-10  # ONNX stores it in 32 bits
C1, C2, T2 = nnx.Conv1D, nnx.Conv2D, nnx.Conv2DTranspose
WINDOWS: list[dict[str, Any]] = [
    {"padding": padding, **sizes}
    for padding in ("valid", "same")
    for sizes in (
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": 2, "strides": 2},
        {"kernel_size": 4, "strides": 3},
        {"kernel_size": 2, "strides": 3},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": (2, 3), "strides": (1, 2)},
        {"kernel_size": (1, 3), "dilation": (3, 2)},
    )
]


def short(options: dict[str, Any]) -> dict[str, Any]:
    """The same options for sequences."""
    return {name: one[-1] if isinstance(one, tuple) else one for name, one in options.items()}


def without(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a pooling."""
    kept = {name: value for name, value in options.items() if name not in ("dilation", "kernel_size")}
    return kept | {"pool_size": options["kernel_size"]}


def single() -> dict[str, tuple[tuple[int, ...], Layers]]:
    """One layer with one set of options each, by name; the images have sides that no stride divides."""
    found: dict[str, tuple[tuple[int, ...], Layers]] = {}

    def add(kind: Any, shape: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        text = ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in options.items())])
        found[f"{kind.__name__}({text})"] = (shape, lambda: [kind(*arguments, **options)])

    for number, options in enumerate(WINDOWS):
        groups = (1, 2, 4)[number % 3]
        add(C2, (7, 10, 4), 8, groups=groups, **options)
        add(C1, (11, 4), 8, groups=groups, **short(options))
        add(T2, (3, 4, 3), 2, use_bias=bool(number % 2), **options)
        if "dilation" not in options:
            for pool in (nnx.MaxPool2D, nnx.AveragePool2D):
                add(pool, (7, 10, 3), **without(options))
            for pool in (nnx.MaxPool1D, nnx.AveragePool1D):
                add(pool, (11, 3), **short(without(options)))
    add(C2, (5, 5, 6), 6, 3, groups=6, use_bias=False)
    add(C1, (5, 6), 12, 3, groups=6, use_bias=False)
    add(nnx.MaxPool2D, (6, 6, 2))
    add(nnx.AveragePool1D, (6, 2), 3)
    for kind, shape in ((nnx.GlobalAveragePool1D, (5, 3)), (nnx.GlobalAveragePool2D, (4, 5, 3))):
        add(kind, shape)
    for kind, shape in ((nnx.GlobalMaxPool1D, (5, 3)), (nnx.GlobalMaxPool2D, (4, 5, 3))):
        add(kind, shape)
    add(nnx.UpSample1D, (5, 3), 3)
    add(nnx.UpSample2D, (4, 5, 3), (2, 3))
    return found


def le_net() -> list[nnx.Layer]:
    """A classifier of images of 12 × 12 like LeNet-5."""
    return [
        C2(6, 5, padding="same", activation="tanh"), nnx.AveragePool2D(2), C2(16, 3, activation="tanh"),
        nnx.AveragePool2D(2), nnx.Flatten(), nnx.Dense(20, activation="tanh"), nnx.Dense(10), nnx.Softmax(),
    ]  # fmt: skip


def autoencoder() -> list[nnx.Layer]:
    """Convolutions down to a code of 8, and up again, by both ways to enlarge an image."""
    return [
        C2(4, 3, strides=2, padding="same", activation="relu"), C2(8, 3, strides=2, padding="same"),
        nnx.BatchNorm(epsilon=EPSILON), nnx.ReLU(), nnx.Flatten(), nnx.Dense(8),
        nnx.Dense(72, activation="relu"), nnx.Reshape((3, 3, 8)),
        T2(4, 3, strides=2, padding="same", activation="relu"), nnx.UpSample2D(2),
        C2(1, 3, padding="same", activation="sigmoid"),
    ]  # fmt: skip


def residual() -> list[nnx.Layer]:
    """Branches with convolutions: added to what they take, and joined by channels."""
    return [
        C2(4, 3, padding="same"),
        nnx.Residual([nnx.BatchNorm(epsilon=EPSILON), nnx.ReLU(), C2(4, 3, padding="same")]),
        nnx.Residual([C2(6, 3, strides=2, padding="same"), nnx.ReLU()], projection=C2(6, 1, strides=2)),
        nnx.Concatenate([[], [C2(2, 1)], [nnx.MaxPool2D(3, 1, "same")], [nnx.Dense(2), nnx.Tanh()]]),
        nnx.Softmax(), nnx.SpatialDropout2D(0.2), nnx.GlobalAveragePool2D(), nnx.Dense(3),
    ]  # fmt: skip


def sentences() -> list[nnx.Layer]:
    """Words as vectors, and convolutions over them."""
    return [
        nnx.Embedding(20, 6), nnx.SpatialDropout1D(0.1), C1(8, 3, padding="same", activation="relu"),
        nnx.MaxPool1D(2), C1(4, 2, dilation=2), nnx.LayerNorm(EPSILON), nnx.GlobalMaxPool1D(), nnx.Dense(2),
    ]  # fmt: skip


WHOLE: dict[str, tuple[tuple[int, ...], Layers]] = {
    "LeNet": ((12, 12, 1), le_net),
    "autoencoder": ((12, 12, 2), autoencoder),
    "residual": ((9, 9, 3), residual),
    "sentences": ((10,), sentences),
    "words": ((7,), lambda: [nnx.Embedding(20, 3), nnx.Flatten(), nnx.Dense(2)]),
    "images in rows of features": (
        (48,),
        lambda: [
            nnx.Reshape((4, 4, 3)),
            C2(5, 3),
            nnx.Rescale([1.0, 2.0, 3.0, 4.0, 5.0], 0.5),
            nnx.Flatten(),
        ],
    ),
    "normalized first": (
        (4, 4, 2),
        lambda: [nnx.BatchNorm(epsilon=EPSILON), nnx.SiLU(), C2(3, 2), nnx.Dense(2)],
    ),
}


def made(shape: tuple[int, ...], layers: Layers, rng: np.random.Generator, dtype: Any = "float32") -> Any:
    """A network with drawn values, and rows for it."""
    network = nnx.Network(layers(), seed=0, dtype=dtype).build(shape)
    values = {name: rng.uniform(0.5, 1.5, value.shape) for name, value in network.weights().items()}
    network.set_weights({k: v - 1.0 if k.endswith((".W", ".b")) else v for k, v in values.items()})
    integers = network.layers[0].input_dtype != "float"
    x = rng.integers(0, 20, (5, *shape)) if integers else rng.standard_normal((5, *shape)).astype(dtype)
    return network, x


def _kinds(layers: Any) -> set[type[nnx.Layer]]:
    found = {type(layer) for layer in layers}
    return found.union(*(_kinds(branch) for layer in layers for branch in layer.branches))


TRIED = set[type[nnx.Layer]]().union(
    *(_kinds(layers()) for _, layers in (*single().values(), *WHOLE.values()))
)
