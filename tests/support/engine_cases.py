"""Small trainings that together use everything the pages' engine offers."""

from __future__ import annotations

from typing import Any

import numpy as np

Case = dict[str, Any]
CLIPPED = {"clip_norm": 0.05, "clip_value": 0.02}


def dense(units: int, activation: str | None = None, **settings: Any) -> Case:
    return {"kind": "Dense", "units": units, "activation": activation, **settings}


def case(
    *layers: Case, loss: Any = "mean_squared_error", optimizer: Any = "adam", seed: int = 3, fuse: bool = True
) -> Case:
    if isinstance(optimizer, str):
        optimizer = {"name": optimizer, "learning_rate": 0.02}
    return {
        "inputs": 3, "layers": list(layers), "loss": loss, "optimizer": optimizer, "seed": seed, "fuse": fuse
    }  # fmt: skip


def with_loss(loss: Any, *last: str | None) -> dict[str, Case]:
    """A case for each last activation."""
    name = loss if isinstance(loss, str) else " ".join(map(str, loss.values()))
    return {f"{name}, {end or 'linear'}": case(dense(5, "tanh"), dense(4, end), loss=loss) for end in last}


# Near a minimum, rules that divide by √v take steps of one size, and rounding errors grow: with a rate of
# 0.01, RMSprop of nnx ends 3e-4 elsewhere if the weights at the start change by 1e-15.
RATES = {"sgd": 0.05, "adam": 0.005, "adamw": 0.005, "rmsprop": 0.001, "adagrad": 0.05}


def with_optimizer(name: str, **settings: Any) -> dict[str, Case]:
    shown = " ".join(f"{key}={value}" for key, value in settings.items())
    chosen = {"name": name, "learning_rate": RATES[name], **settings}
    return {f"{name} {shown}".strip(): case(dense(5, "tanh"), dense(2), optimizer=chosen)}


LAYERS = {
    "Dropout": case(dense(8, "tanh"), {"kind": "Dropout", "rate": 0.3}, dense(2)),
    "Dropout first, rate 0": case({"kind": "Dropout", "rate": 0.0}, dense(2)),
    "two layers of dropout": case(
        {"kind": "Dropout", "rate": 0.2}, dense(8, "relu"), {"kind": "Dropout", "rate": 0.5}, dense(2),
        seed=2**40,
    ),
    "MaskNoise": case({"kind": "MaskNoise", "rate": 0.25}, dense(4, "tanh"), dense(3)),
    "GaussianNoise": case({"kind": "GaussianNoise", "stddev": 0.4}, dense(4, "tanh"), dense(3)),
    "BatchNorm": case(dense(6), {"kind": "BatchNorm"}, {"kind": "ReLU"}, dense(2)),
    "BatchNorm with settings": case({"kind": "BatchNorm", "momentum": 0.5, "epsilon": 0.1}, dense(2)),
    "frozen BatchNorm": case(dense(6), {"kind": "BatchNorm", "trainable": False}, dense(2)),
    "LayerNorm": case(dense(6), {"kind": "LayerNorm"}, {"kind": "Tanh"}, dense(2)),
    "LayerNorm first": case({"kind": "LayerNorm", "epsilon": 0.1}, dense(2)),
    "frozen Dense": case(dense(6, "tanh", trainable=False), dense(2), optimizer={"name": "sgd", **CLIPPED}),
    "own seed": case(dense(6, "tanh", seed=9), dense(2)),
    "LeakyReLU with a slope": case(dense(6), {"kind": "LeakyReLU", "alpha": 0.3}, dense(2)),
    "ELU with a constant": case(dense(6), {"kind": "ELU", "alpha": 0.3}, dense(2)),
    "approximate GELU": case(dense(6), {"kind": "GELU", "approximate": True}, dense(2)),
    "PReLU with one slope": case(dense(6), {"kind": "PReLU", "shared_axes": [1], "initial": 0.1}, dense(2)),
    "softmax between": case(dense(6), {"kind": "Softmax"}, dense(2)),
    "deep": case(
        {"kind": "GaussianNoise", "stddev": 0.1}, dense(8), {"kind": "BatchNorm"}, {"kind": "SiLU"},
        {"kind": "Dropout", "rate": 0.2}, dense(8, "gelu"), {"kind": "LayerNorm"}, dense(4, "softmax"),
        loss={"name": "categorical_cross_entropy", "label_smoothing": 0.1},
        optimizer={"name": "adamw", "learning_rate": 0.01, "clip_norm": 1.0},
    ),
}  # fmt: skip
ACTIVATIONS = {
    f"activation {name}": case(dense(6, name), dense(2))
    for name in (
        *("identity", "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "mish", "tanh"),
        *("sigmoid", "hard_sigmoid", "softplus", "exponential", "exp", "softmax", "prelu"),
    )
}
INITIALIZERS = {
    f"initializer {name}": case(dense(6, "tanh", initializer=name), dense(2))
    for name in (
        *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"),
        *("uniform", "zeros"),
    )
}
LOSSES = {
    **with_loss("mean_squared_error", None, "tanh"),
    **with_loss({"name": "mean_squared_error", "reduction": "sum_over_features"}, None),
    **with_loss("mean_absolute_error", None),
    **with_loss("huber", None),
    **with_loss({"name": "huber", "delta": 0.3}, None),
    **with_loss("binary_cross_entropy", "sigmoid"),
    **with_loss({"name": "binary_cross_entropy", "label_smoothing": 0.2}, "sigmoid"),
    **with_loss({"name": "binary_cross_entropy", "from_logits": True}, None),
    **with_loss({"name": "binary_cross_entropy", "epsilon": 0.3}, "softmax"),
    **with_loss("categorical_cross_entropy", "softmax"),
    **with_loss({"name": "categorical_cross_entropy", "label_smoothing": 0.2}, "softmax"),
    **with_loss({"name": "categorical_cross_entropy", "from_logits": True}, None),
    **with_loss("poisson", "exponential", "softplus"),
    **with_loss({"name": "poisson", "epsilon": 0.4}, "softplus"),
    **with_loss("hinge", None),
    **with_loss("squared_hinge", None),
    "cross-entropy, Identity last": case(
        dense(4, "softmax"), {"kind": "Identity"}, loss="categorical_cross_entropy"
    ),
    "cross-entropy, not fused": case(
        dense(4, "softmax"), loss={"name": "categorical_cross_entropy", "epsilon": 0.3}, fuse=False
    ),
    "binary cross-entropy, not fused": case(dense(2, "sigmoid"), loss="binary_cross_entropy", fuse=False),
    "Poisson, not fused": case(dense(2, "exponential"), loss="poisson", fuse=False),
    "a loss of the first layer": case({"kind": "Sigmoid"}, loss="binary_cross_entropy", optimizer="sgd"),
}
OPTIMIZERS = {
    **with_optimizer("sgd"),
    **with_optimizer("sgd", momentum=0.9),
    **with_optimizer("sgd", momentum=0.9, nesterov=True, weight_decay=0.01),
    **with_optimizer("sgd", l2=0.05, weight_decay=0.02),
    **with_optimizer("sgd", momentum=0.5, l2=0.05, **CLIPPED),
    **with_optimizer("adam"),
    **with_optimizer("adam", beta1=0.5, beta2=0.9, epsilon=1e-3, l2=0.05, weight_decay=0.02),
    **with_optimizer("adam", **CLIPPED),
    **with_optimizer("adamw"),
    **with_optimizer("adamw", beta1=0.8, beta2=0.9, epsilon=1e-3, l2=0.01, weight_decay=0.1, **CLIPPED),
    **with_optimizer("rmsprop"),
    **with_optimizer("rmsprop", rho=0.5, momentum=0.5, epsilon=1e-3, l2=0.05, weight_decay=0.02, **CLIPPED),
    **with_optimizer("adagrad"),
    **with_optimizer("adagrad", initial_accumulator=0.0, epsilon=1e-3, l2=0.05, weight_decay=0.02, **CLIPPED),
}


def at_random(seed: int) -> Case:
    """Some layers, a loss that fits the last one, and an optimizer."""
    random = np.random.default_rng(seed)
    layers: list[Case] = []
    for _ in range(random.integers(1, 4)):
        extra: list[Case] = [
            {"kind": "Dropout", "rate": 0.2}, {"kind": "GaussianNoise", "stddev": 0.1}, {"kind": "BatchNorm"},
            {"kind": "LayerNorm"}, {"kind": "MaskNoise", "rate": 0.1},
        ]  # fmt: skip
        hidden = random.choice(["tanh", "relu", "elu", "gelu", "silu", "softplus", "prelu", "mish"])
        layers += [dense(int(random.integers(2, 8)), str(hidden)), extra[random.integers(len(extra))]]
    endings = {
        "mean_squared_error": None, "huber": "tanh", "binary_cross_entropy": "sigmoid",
        "categorical_cross_entropy": "softmax", "poisson": "exponential", "hinge": None,
    }  # fmt: skip
    loss = str(random.choice(list(endings)))
    optimizer = str(random.choice(list(RATES)))
    return case(
        *layers, dense(3, endings[loss]), loss=loss, seed=seed,
        optimizer={"name": optimizer, "learning_rate": RATES[optimizer] / 5, "l2": 1e-3},
    )  # fmt: skip


RANDOM = {f"at random {seed}": at_random(seed) for seed in range(15)}
CASES = LAYERS | ACTIVATIONS | INITIALIZERS | LOSSES | OPTIMIZERS | RANDOM
