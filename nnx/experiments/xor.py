"""XOR, the smallest problem that a network without a hidden layer cannot learn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnx import datasets
from nnx.callbacks import Callback
from nnx.checkpoints import Checkpoint
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.options import EPOCHS, ON_NONFINITE, Rule, choice
from nnx.experiments.precision import Precise
from nnx.experiments.result import HostArray, Result, Stopwatch
from nnx.experiments.train.ranges import Range
from nnx.initializers import GlorotUniform, Initializer, Normal
from nnx.layers import Dense, Sigmoid, Tanh
from nnx.losses import MeanSquaredError
from nnx.metrics import accuracy
from nnx.network import Network
from nnx.optimizers import SGD


@dataclass(frozen=True)
class Preset:
    """How a reference system trains 2 → 4 tanh → 1 sigmoid with MSE and SGD on the full batch."""

    initializer: Initializer
    learning_rate: float
    epochs: int
    log_every: int


PRESETS = {
    "deep": Preset(Normal(1.0), learning_rate=0.1, epochs=5000, log_every=500),
    "shallow": Preset(GlorotUniform(), learning_rate=0.5, epochs=20000, log_every=2000),
}


GRID, MARGIN = 64, 0.3  # the surface: points on a side, and the margin around the unit square
CASES = (("0 0", 0), ("0 1", 1), ("1 0", 1), ("1 1", 0))
# Reported results of the two reference systems (docs/results.md): predictions of the cases, losses by epoch.
REPORTED_PREDICTIONS = {
    "deep": {"System A": (0.022, 0.954, 0.961, 0.046), "System A, Keras": (0.43, 0.59, 0.50, 0.52)},
    "shallow": {"System B": (0.007, 0.983, 0.982, 0.020)},
}
REPORTED_LOSSES = {
    "deep": {0: 0.408, 1000: 0.0237, 2000: 0.00588, 4500: 0.00179},
    "shallow": {0: 0.248, 2000: 0.00507, 4000: 0.00187},
}


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of the XOR experiment.

    Attributes
    ----------
    preset : {"deep", "shallow"}
    epochs : int or None
        None means the preset's.
    seed : int
    device : str or None
    dtype, precision : str
        The precision of the network, see `nnx.Network`; "" means float32. `dtype` is the older name.
    on_nonfinite : {"stop", "skip", "rollback"}
        What to do if a loss or gradient is not finite, see `Network.fit`.
    """

    preset: str = "deep"
    epochs: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    on_nonfinite: str = "stop"
    precision: str = ""

    def chosen(self) -> Preset:
        """Return the preset."""
        return choice("xor has no preset", self.preset, PRESETS)


def build(config: Config) -> Network:
    """Return the network with its initial weights."""
    initializer = config.chosen().initializer
    return Network(
        [Dense(2, 4, initializer=initializer), Tanh(), Dense(1, initializer=initializer), Sigmoid()],
        device=config.device,
        precision=config.precision,
        seed=config.seed,
    )


def run(config: Config, callbacks: Sequence[Callback] = (), checkpoint: Checkpoint | None = None) -> Result:
    """Train on the four points; metrics ``loss, accuracy, predictions, loss_log``."""
    preset = config.chosen()
    data = datasets.load_xor(dtype=config.dtype)
    network = build(config)
    stopwatch = Stopwatch()
    history = network.fit(
        data.x_train,
        data.y_train,
        loss=MeanSquaredError(),
        optimizer=SGD(preset.learning_rate),
        epochs=config.epochs or preset.epochs,
        batch_size=len(data.x_train),
        callbacks=[stopwatch, *callbacks],
        checkpoint=checkpoint,
        on_nonfinite=config.on_nonfinite,
    )
    predictions = network.predict(data.x_test)
    losses = history["loss"]
    log: list[list[Any]] = [[i, losses[i]] for i in range(0, len(losses), preset.log_every)]
    return Result.of(
        "xor",
        network,
        preset=config.preset,
        dataset="xor",
        metrics={
            "loss": losses[-1],
            "accuracy": accuracy(data.y_test.ravel(), predictions),
            "predictions": [float(value) for value in predictions.ravel()],
            "loss_log": log,
        },
        timing=stopwatch.timing(),
        config=asdict(config) | {"epochs": config.epochs or preset.epochs, "precision": network.precision},
        history=history,
        network=network,
        description={"range": Range.of(data.x_train).to_metadata()},
        arrays={"x": data.x_test, "y": data.y_test, "surface": surface(network)},
    )


def surface(network: Network) -> HostArray:
    """Return the network's output on a grid around the four points, shape (GRID, GRID)."""
    sides = np.linspace(-MARGIN, 1 + MARGIN, GRID, dtype=network.dtype)
    grid = np.stack(np.meshgrid(sides, sides), axis=-1).reshape(-1, 2)
    return network.predict(grid).reshape(GRID, GRID)


# ---------------------------------------------------------------------------------------- how it is shown


def tables(result: Result) -> Iterable[Table | str]:
    """Show the losses, and the predictions next to those of the reference system."""
    metrics = result.metrics
    yield Table("Loss", ("epoch", "loss"), [(str(e), f"{v:.6f}") for e, v in metrics["loss_log"]])
    reported = next(iter(REPORTED_PREDICTIONS[result.preset].values()))
    rows = [
        (point, str(target), f"{ours:.4f}", f"{theirs:.3f}")
        for (point, target), ours, theirs in zip(CASES, metrics["predictions"], reported, strict=True)
    ]
    yield Table("Predictions", ("input", "target", "nnx", "reference system"), rows)
    yield f"loss {metrics['loss']:.6f}, accuracy {metrics['accuracy']:.0%}"


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the output between the four points."""
    network = result.network
    assert network is not None
    drawn = reports.decision_surface(
        lambda points: network.predict(points.astype(network.dtype)),
        result.arrays["x"],
        result.arrays["y"],
        title="XOR: output between the four points",
    )
    return {"decision_surface": drawn}


def verdict(result: Result) -> str:
    """Say how many cases are right."""
    accurate = result.metrics.get("accuracy")
    return "" if accurate is None else f"{round(4 * accurate)} of the 4 cases are right."


EXPERIMENT = Experiment(
    name="xor",
    summary="Learn XOR with four hidden units.",
    text="""Learn XOR with four hidden units, 2 → 4 tanh → 1 sigmoid.

    \b
    deep     standard normal weights, SGD 0.1, 5,000 epochs
    shallow  Glorot's weights, SGD 0.5, 20,000 epochs

    \b
    Examples:
      nnx run xor
      nnx run xor --preset shallow --json
    """,
    config=Config,
    run=run,
    tables=tables,
    options={
        "preset": Rule("name", "The reference system to train like.", tuple(PRESETS)),
        "epochs": EPOCHS,
        "on_nonfinite": ON_NONFINITE,
    },
    figures=figures,
    verdict=verdict,
    log_scale=True,
)
