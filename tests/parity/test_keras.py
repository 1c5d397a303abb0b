"""Layers, losses, optimizers and schedules against the real Keras on TensorFlow, in float64.

Tolerances: both sides round every operation by 1e-16; the longest sums here have a few dozen terms, and the
trajectories 20 steps, each of which passes errors on, so 1e-10 leaves room while any difference in a formula
(where ε stands, what a decay multiplies) shows from the fourth digit.

Keras turns some Python constants into float32 tensors, whatever the float type (slopes, GELU's √2, momenta,
schedules). Constants are therefore powers of two and sums of few of them where they can be chosen; where they
cannot, the comparison stops at float32's 1e-7.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.layers import ACTIVATIONS as NAMES

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("on_cpu")]

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
FLOAT32 = {"rtol": 1e-6, "atol": 1e-6}  # where Keras holds a constant in float32


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Keras 3 on TensorFlow, computing in float64 while this module runs."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        module = pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")
    floatx = module.config.floatx()
    module.config.set_floatx("float64")
    yield module
    module.config.set_floatx(floatx)


def with_tape(function: Callable[[Any], Any], x: np.ndarray, dy: np.ndarray | float, *more: Any) -> list[Any]:
    """[y, dx, gradients of `more`] of a TensorFlow function, by automatic differentiation."""
    import tensorflow as tf

    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(variable)
        total = tf.reduce_sum(y * dy)
    gradients = tape.gradient(total, [variable, *more])
    return [np.asarray(tf.convert_to_tensor(value)) for value in (y, *gradients)]


SHAPES = pytest.mark.parametrize("shape", [(7, 5), (7, 3, 5), (7, 2, 3, 5)], ids=lambda s: f"rank {len(s)}")


# ------------------------------------------------------------------------------------ layers


@SHAPES
@pytest.mark.parametrize(
    "name",
    [
        *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax"),
        *("selu", "mish", "hard_sigmoid", "exponential"),
    ],
)
def test_dense_with_its_activation(
    keras: Any, rng: np.random.Generator, name: str, shape: tuple[int, ...]
) -> None:
    x, dy = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 4))
    ours = nnx.Dense(5, 4, activation=name, seed=1).build(shape[1:], dtype="float64")
    ours.b[...] = rng.standard_normal(4)
    theirs = keras.layers.Dense(4, dtype="float64")
    theirs.build((None, *shape[1:]))
    theirs.set_weights([ours.W, ours.b])
    activation: Callable[[Any], Any] = {
        "leaky_relu": lambda z: keras.activations.leaky_relu(z, negative_slope=0.01),
        "gelu": lambda z: keras.activations.gelu(z, approximate=False),
    }.get(name, getattr(keras.activations, name))
    expected = with_tape(lambda v: activation(theirs(v)), x, dy, theirs.kernel.value, theirs.bias.value)
    y = ours.forward(x, training=True).copy()
    dx = ours.backward(dy)
    close = FLOAT32 if name in ("leaky_relu", "gelu") else CLOSE
    for mine, reference in zip((y, dx, ours.dW, ours.db), expected, strict=True):
        np.testing.assert_allclose(mine, reference, **close)


def test_gelu_by_tanh(keras: Any, rng: np.random.Generator) -> None:
    x, dy = 2.0 * rng.standard_normal((2, 6, 5))
    expected = with_tape(lambda v: keras.activations.gelu(v, approximate=True), x, dy)
    ours = nnx.GELU(approximate=True)
    np.testing.assert_allclose(ours.forward(x), expected[0], **FLOAT32)
    np.testing.assert_allclose(ours.backward(dy), expected[1], **FLOAT32)


@SHAPES
@pytest.mark.parametrize(
    "name",
    [
        *("relu", "leaky_relu", "elu", "silu", "sigmoid", "tanh", "softplus", "softmax"),
        *("selu", "mish", "hard_sigmoid", "exponential"),
    ],
)
def test_activation_as_a_layer(
    keras: Any, rng: np.random.Generator, name: str, shape: tuple[int, ...]
) -> None:
    x, dy = 2.0 * rng.standard_normal((2, *shape))
    slope = {"negative_slope": 0.25} if name == "leaky_relu" else {}
    expected = with_tape(lambda v: getattr(keras.activations, name)(v, **slope), x, dy)
    ours = nnx.LeakyReLU(0.25) if slope else NAMES[name]()
    np.testing.assert_allclose(ours.forward(x), expected[0], **CLOSE)
    np.testing.assert_allclose(ours.backward(dy), expected[1], **CLOSE)


@SHAPES
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(keras: Any, rng: np.random.Generator, training: bool, shape: tuple[int, ...]) -> None:
    gamma, beta, mean, variance = rng.uniform(0.5, 2.0, (4, 5))
    ours = nnx.BatchNorm(momentum=0.9, epsilon=1e-3).build(shape[1:], dtype="float64")
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype="float64")
    theirs.build((None, *shape[1:]))
    theirs.set_weights([gamma, beta, mean, variance])
    names = ("gamma", "beta", "running_mean", "running_variance")
    for name, value in zip(names, (gamma, beta, mean, variance), strict=True):
        getattr(ours, name)[...] = value
    for _ in range(3):  # running statistics gather over several batches
        x, dy = rng.standard_normal(shape) * 2.0 + 1.0, rng.standard_normal(shape)
        expected = with_tape(
            lambda v: theirs(v, training=training), x, dy, theirs.gamma.value, theirs.beta.value
        )
        y = ours.forward(x, training=training).copy()
        dx = ours.backward(dy)
        for mine, reference in zip((y, dx, ours.dgamma, ours.dbeta), expected, strict=True):
            np.testing.assert_allclose(mine, reference, **CLOSE)
        for name, reference in zip(names, theirs.get_weights(), strict=True):
            np.testing.assert_allclose(getattr(ours, name), reference, err_msg=name, **CLOSE)


@SHAPES
def test_layer_norm(keras: Any, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy = rng.standard_normal(shape) * 2.0 + 1.0, rng.standard_normal(shape)
    gamma, beta = rng.uniform(0.5, 2.0, (2, 5))
    ours = nnx.LayerNorm().build(shape[1:], dtype="float64")
    ours.gamma[...], ours.beta[...] = gamma, beta
    theirs = keras.layers.LayerNormalization(epsilon=1e-3, dtype="float64")
    theirs.build((None, *shape[1:]))
    theirs.set_weights([gamma, beta])
    expected = with_tape(theirs, x, dy, theirs.gamma.value, theirs.beta.value)
    y = ours.forward(x).copy()
    dx = ours.backward(dy)
    for mine, reference in zip((y, dx, ours.dgamma, ours.dbeta), expected, strict=True):
        np.testing.assert_allclose(mine, reference, **CLOSE)


# -------------------------------------------------------------------------------- containers


@SHAPES
@pytest.mark.parametrize(
    "name", ["sequential", "residual", "projection", "concatenate", "flatten", "reshape"]
)
def test_containers_and_views(
    keras: Any, rng: np.random.Generator, name: str, shape: tuple[int, ...]
) -> None:
    """Against the same computation written out in Keras, with its gradients."""
    first, second, third = (keras.layers.Dense(units, dtype="float64") for units in (4, 5, 5))
    first.build((None, *shape[1:]))
    second.build((None, *shape[1:-1], 4))
    third.build((None, *shape[1:]))

    def inner(v: Any) -> Any:
        return second(keras.ops.tanh(first(v)))

    def join(kind: str) -> Any:
        return getattr(keras.layers, kind)(dtype="float64")

    size = int(np.prod(shape[1:]))
    ours, theirs, held = {
        "sequential": (nnx.Sequential([nnx.Dense(4), nnx.Tanh(), nnx.Dense(5)]), inner, [first, second]),
        "residual": (nnx.Residual([nnx.Dense(4), nnx.Tanh(), nnx.Dense(5)]),
                     lambda v: join("Add")([v, inner(v)]), [first, second]),
        "projection": (nnx.Residual([nnx.Dense(4), nnx.Tanh(), nnx.Dense(5)], projection=nnx.Dense(5)),
                       lambda v: join("Add")([third(v), inner(v)]), [first, second, third]),
        "concatenate": (nnx.Concatenate([[nnx.Dense(4), nnx.Tanh()], [], [nnx.Dense(5)]]),
                        lambda v: join("Concatenate")([keras.ops.tanh(first(v)), v, third(v)]),
                        [first, third]),
        "flatten": (nnx.Flatten(), keras.layers.Flatten(dtype="float64"), []),
        "reshape": (nnx.Reshape((5, -1)), keras.layers.Reshape((5, size // 5), dtype="float64"), []),
    }[name]  # fmt: skip
    ours.build(shape[1:], dtype="float64")
    weights = [value for layer in held for value in (layer.kernel.value, layer.bias.value)]
    for (_, value, _), given in zip(ours.named_parameters(), weights, strict=True):
        value[...] = rng.standard_normal(value.shape)
        given.assign(value)
    x = rng.standard_normal(shape)
    dy = rng.standard_normal((len(x), *ours.output_shape))
    expected = with_tape(theirs, x, dy, *weights)
    y = ours.forward(x, training=True).copy()
    found = [y, ours.backward(dy), *(gradient for _, _, gradient in ours.named_parameters())]
    for mine, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, reference, **CLOSE)


# ------------------------------------------------------------------------------------ losses


@SHAPES
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nnx.MeanSquaredError(), "MeanSquaredError"),
        (nnx.MeanAbsoluteError(), "MeanAbsoluteError"),
        (nnx.Huber(0.3), "Huber"),
        (nnx.BinaryCrossEntropy(), "BinaryCrossentropy"),
        (nnx.BinaryCrossEntropy(label_smoothing=0.2), "BinaryCrossentropy"),
        (nnx.Hinge(), "Hinge"),
        (nnx.SquaredHinge(), "SquaredHinge"),
        (nnx.BinaryFocalCrossEntropy(1.5), "BinaryFocalCrossentropy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_losses(
    keras: Any,
    rng: np.random.Generator,
    ours: nnx.Loss,
    theirs: str,
    weighted: bool,
    shape: tuple[int, ...],
) -> None:
    y, p = rng.uniform(0.01, 0.99, (2, *shape))
    weights = rng.uniform(0.1, 2.0, len(y)) if weighted else None
    if ours.decides or "Focal" in theirs:
        y = np.round(y)  # on shares of classes, Keras's focal loss is another one
    options = ours.record.keras.values(ours)
    options.pop("from_logits", None)
    reference = getattr(keras.losses, theirs)(
        reduction="mean_with_sample_weight" if weighted else "sum_over_batch_size", dtype="float64", **options
    )
    value, dp = with_tape(lambda v: reference(y, v, sample_weight=for_keras(weights, shape)), p, 1.0)
    np.testing.assert_allclose(ours(y, p, weights), value, **CLOSE)
    np.testing.assert_allclose(ours.gradient(y, p, weights), dp, **CLOSE)


def for_keras(weights: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """The weight of each position: Keras divides by the sum of the weights as they are given."""
    if weights is None:
        return None
    return np.broadcast_to(weights.reshape(-1, *[1] * (len(shape) - 2)), shape[:-1]).copy()


@SHAPES
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("ours", "activation", "theirs", "labels"),
    [
        (nnx.BinaryCrossEntropy(), nnx.Sigmoid, "BinaryCrossentropy", False),
        (nnx.CategoricalCrossEntropy(), nnx.Softmax, "CategoricalCrossentropy", False),
        (nnx.CategoricalCrossEntropy(), nnx.Softmax, "SparseCategoricalCrossentropy", True),
        (
            nnx.CategoricalCrossEntropy(label_smoothing=0.2),
            nnx.Softmax,
            "CategoricalCrossentropy",
            False,
        ),
        (nnx.CategoricalFocalCrossEntropy(1.5), nnx.Softmax, "CategoricalFocalCrossentropy", False),
    ],
    ids=["binary", "categorical", "labels", "smoothed", "focal"],
)
def test_cross_entropies_after_their_activation(
    keras: Any,
    rng: np.random.Generator,
    ours: nnx.Loss,
    activation: type[nnx.Layer],
    theirs: str,
    labels: bool,
    weighted: bool,
    shape: tuple[int, ...],
) -> None:
    """Fused and not, both against Keras's form that takes logits; classes are on the last axis."""
    z = 2.0 * rng.standard_normal(shape)
    places = shape[:-1]
    y: np.ndarray = rng.integers(0, 5, places) if labels else rng.dirichlet(np.ones(5), places)
    weights = rng.uniform(0.1, 2.0, len(y)) if weighted else None
    options = {} if labels else ours.record.keras.values(ours)
    reference = getattr(keras.losses, theirs)(
        **options | {"from_logits": True},
        reduction="mean_with_sample_weight" if weighted else "sum_over_batch_size",
        dtype="float64",
    )
    value, dz = with_tape(lambda v: reference(y, v, sample_weight=for_keras(weights, shape)), z, 1.0)

    backend = nnx.resolve("cpu")
    mine, gradient = np.empty(1), np.empty_like(z)
    ours.evaluate(backend, y, z, mine, gradient, weights, ours.fused[activation.kind])
    np.testing.assert_allclose(mine[0], value, **CLOSE)
    np.testing.assert_allclose(gradient, dz, **CLOSE)

    layer = activation()
    p = layer.forward(z).copy()
    np.testing.assert_allclose(ours(y, p, weights), value, **CLOSE)
    np.testing.assert_allclose(layer.backward(ours.gradient(y, p, weights)), dz, **CLOSE)


# -------------------------------------------------------------------------------- optimizers

OPTIMIZERS: list[tuple[str, nnx.Optimizer, str, dict[str, Any]]] = [
    ("sgd", nnx.SGD(0.05), "SGD", {}),
    ("momentum", nnx.SGD(0.05, momentum=0.875), "SGD", {"momentum": 0.875}),
    ("nesterov", nnx.SGD(0.05, 0.875, nesterov=True), "SGD", {"momentum": 0.875, "nesterov": True}),
    ("sgd-decay", nnx.SGD(0.05, 0.5, weight_decay=0.125), "SGD", {"momentum": 0.5, "weight_decay": 0.125}),
    ("adam", nnx.Adam(0.01, 0.875, 0.96875), "Adam", {"beta_1": 0.875, "beta_2": 0.96875}),
    ("adam-epsilon", nnx.Adam(0.01, 0.5, 0.75, 0.125), "Adam",
     {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.125}),
    ("adam-decay", nnx.Adam(0.01, 0.5, 0.75, weight_decay=0.125), "Adam",
     {"beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.125}),
    ("adamw", nnx.AdamW(0.01, 0.5, 0.75, weight_decay=0.125), "AdamW",
     {"beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.125}),
    ("rmsprop", nnx.RMSprop(0.01), "RMSprop", {}),
    ("rmsprop-momentum", nnx.RMSprop(0.01, 0.75, 0.5), "RMSprop", {"rho": 0.75, "momentum": 0.5}),
    ("rmsprop-decay", nnx.RMSprop(0.01, weight_decay=0.125), "RMSprop", {"weight_decay": 0.125}),
    ("adagrad", nnx.Adagrad(0.05, 0.125), "Adagrad", {"initial_accumulator_value": 0.125}),
    ("adagrad-zero", nnx.Adagrad(0.05, 0.0, 1e-5), "Adagrad",
     {"initial_accumulator_value": 0.0, "epsilon": 1e-5}),
    ("clip-norm", nnx.SGD(0.05, 0.5, clip_norm=0.5), "SGD", {"momentum": 0.5, "global_clipnorm": 0.5}),
    ("clip-value", nnx.SGD(0.05, 0.5, clip_value=0.125), "SGD", {"momentum": 0.5, "clipvalue": 0.125}),
]  # fmt: skip


def trajectory_of_keras(optimizer: Any, keras: Any, start: list[np.ndarray], noise: np.ndarray) -> np.ndarray:
    variables = [keras.Variable(value, dtype="float64") for value in start]
    optimizer.build(variables)
    path = []
    for kick in noise:
        gradients = [np.asarray(v) * 2.0 + k for v, k in zip(variables, (kick[:12].reshape(3, 4), kick[12:]))]  # noqa: B905
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        path.append(np.concatenate([np.asarray(v).ravel() for v in variables]))
    return np.array(path)


def trajectory_of_nnx(optimizer: nnx.Optimizer, start: list[np.ndarray], noise: np.ndarray) -> np.ndarray:
    network = nnx.Network([nnx.Dense(3, 4)], device="cpu", dtype="float64", seed=0)
    layer = network.layers[0]
    layer.W[...], layer.b[...] = start
    path = []
    for kick in noise:
        layer.dW[...] = layer.W * 2.0 + kick[:12].reshape(3, 4)
        layer.db[...] = layer.b * 2.0 + kick[12:]
        optimizer.step(network)
        path.append(np.concatenate([layer.W.ravel(), layer.b]))
    return np.array(path)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"), [entry[1:] for entry in OPTIMIZERS], ids=[entry[0] for entry in OPTIMIZERS]
)
def test_optimizers_walk_the_same_path(
    keras: Any, rng: np.random.Generator, ours: nnx.Optimizer, theirs: str, options: dict[str, Any]
) -> None:
    """20 steps on a noisy parabola, every step compared."""
    start, noise = [rng.standard_normal((3, 4)), rng.standard_normal(4)], rng.standard_normal((20, 16))
    reference = getattr(keras.optimizers, theirs)(learning_rate=ours.schedule(0), **options)
    np.testing.assert_allclose(
        trajectory_of_nnx(ours, start, noise),
        trajectory_of_keras(reference, keras, start, noise),
        rtol=1e-10,
        atol=1e-10,
    )


def test_an_optimizer_that_follows_a_schedule(keras: Any, rng: np.random.Generator) -> None:
    start, noise = [rng.standard_normal((3, 4)), rng.standard_normal(4)], rng.standard_normal((20, 16))
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 15, alpha=0.1)
    np.testing.assert_allclose(
        trajectory_of_nnx(nnx.AdamW(nnx.Cosine(0.05, 15, final=0.005), 0.5, 0.75), start, noise),
        trajectory_of_keras(keras.optimizers.AdamW(schedule, beta_1=0.5, beta_2=0.75), keras, start, noise),
        **FLOAT32,
    )


def test_defaults_are_those_of_keras(keras: Any, rng: np.random.Generator) -> None:
    """20 steps of each with nothing but a learning rate given."""
    start, noise = [rng.standard_normal((3, 4)), rng.standard_normal(4)], rng.standard_normal((20, 16))
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
        ours, theirs = getattr(nnx, name)(), getattr(keras.optimizers, name)()
        np.testing.assert_allclose(
            trajectory_of_nnx(ours, start, noise),
            trajectory_of_keras(theirs, keras, start, noise),
            err_msg=name,
            **FLOAT32,
        )


@pytest.mark.parametrize(
    ("ours", "theirs", "arguments"),
    [
        (nnx.Cosine(0.3, 50, final=0.03), "CosineDecay", (0.3, 50, 0.1)),
        (nnx.Exponential(0.3, 10, 0.5), "ExponentialDecay", (0.3, 10, 0.5)),
        (nnx.Step(0.3, 10, 0.5), "ExponentialDecay", (0.3, 10, 0.5, True)),
    ],
    ids=["cosine", "exponential", "step"],
)
def test_schedules(keras: Any, ours: nnx.Schedule, theirs: str, arguments: tuple[Any, ...]) -> None:
    reference = getattr(keras.optimizers.schedules, theirs)(*arguments)
    for step in range(70):
        assert ours(step) == pytest.approx(float(reference(step)), rel=1e-6), f"step {step}"
