"""Small networks and data for tests."""

from __future__ import annotations

import numpy as np

import nnx

RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = RNG.normal(size=(12, 2)).astype(np.float32)

GENERATOR = np.random.default_rng(11)  # 37 rows: of batches of eight, the last is smaller
X37 = GENERATOR.normal(size=(37, 3)).astype(np.float32)
Y37 = np.tanh(X37 @ GENERATOR.normal(size=(3, 2)).astype(np.float32))

OPTIMIZERS = {
    "sgd": lambda: nnx.SGD(0.1),
    "momentum": lambda: nnx.SGD(0.1, momentum=0.9),
    "nesterov": lambda: nnx.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: nnx.Adam(0.01, l2=0.1, clip_norm=1.0, clip_value=0.5),
    "adamw": lambda: nnx.AdamW(0.01),
    "rmsprop": lambda: nnx.RMSprop(0.01, momentum=0.9),
    "adagrad": lambda: nnx.Adagrad(0.1),
}


def small(**options):
    layers = [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)]
    return nnx.Network(layers, **{"seed": 0, **options})


def every_layer(**options):
    return nnx.Network(
        [
            nnx.Dense(3, 8), nnx.BatchNorm(), nnx.GELU(), nnx.Dropout(0.3), nnx.Dense(8), nnx.LayerNorm(),
            nnx.LeakyReLU(0.2), nnx.Dense(6), nnx.Softmax(),
        ],
        **{"seed": 0, **options},
    )  # fmt: skip


def train(network, optimizer=None, x=X, y=Y, **options):
    defaults = {"loss": nnx.MeanSquaredError(), "epochs": 3, "batch_size": 5}
    return network.fit(x, y, optimizer=optimizer or nnx.Adam(0.01), **(defaults | options))


def regressor(seed=0, **options):
    return nnx.Network([nnx.Dense(3, 6), nnx.Tanh(), nnx.Dense(2)], seed=seed, **options)


def fit(network, x=X37, y=Y37, **options):
    defaults = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(0.01), "epochs": 4, "batch_size": 8}
    return network.fit(x, y, **(defaults | options))


class Recorder(nnx.Callback):
    """What was called, in order."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, run):
        self.calls.append("begin")

    def on_step_end(self, run):
        self.calls.append(f"step {run.step}")

    def on_epoch_end(self, run):
        self.calls.append(f"epoch {run.epoch}")

    def on_train_end(self, run):
        self.calls.append("end")


def host(x):
    """A device's array on the host; a NumPy array as it is."""
    return x if isinstance(x, np.ndarray) else x.get()


def forward(network, x, training=False):
    """The forward pass of host data; a copy of its output on the host."""
    return host(network.forward(network.asarray(x), training)).copy()


def backward(network, dy, input_gradient=False):
    """The backward pass of host data; ∂L/∂x on the host where it is asked for."""
    dx = network.backward(network.asarray(dy), input_gradient)
    return None if dx is None else host(dx).copy()


def same_bytes(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name


# every layer, and every form of one that other libraries tell apart
LAYERS: list[nnx.Layer] = [
    nnx.Dense(4),
    nnx.ReLU(),
    nnx.LeakyReLU(0.0),
    nnx.LeakyReLU(0.3),
    nnx.ELU(0.7),
    nnx.GELU(),
    nnx.GELU(approximate=True),
    nnx.SiLU(),
    nnx.SELU(),
    nnx.Mish(),
    nnx.HardSigmoid(),
    nnx.Exp(),
    nnx.PReLU(),
    nnx.PReLU([1]),
    nnx.Sigmoid(),
    nnx.Tanh(),
    nnx.Softplus(),
    nnx.Softmax(),
    nnx.Identity(),
    nnx.Dropout(0.3),
    nnx.BatchNorm(momentum=0.9, epsilon=0.01),
    nnx.LayerNorm(epsilon=0.01),
    nnx.Rescale(-0.5, 0.25),
]

# layers that only change training: a file of another library has an identity in their place
IN_TRAINING: list[nnx.Layer] = [
    nnx.L1Sparsity(0.1),
    nnx.KLSparsity(0.1, 0.2),
    nnx.GaussianNoise(0.2),
    nnx.MaskNoise(0.2),
]


def randomized(network: nnx.Network, rng: np.random.Generator) -> nnx.Network:
    """Every value drawn, biases, scales and running statistics too, so that none can be swapped unseen."""
    values = {name: rng.uniform(0.5, 1.5, value.shape) for name, value in network.weights().items()}
    network.set_weights({k: v - 1.0 if k.endswith((".W", ".b")) else v for k, v in values.items()})
    return network
