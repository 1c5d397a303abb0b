"""Replayed steps have the bits of steps launched one kernel at a time; on a GPU, and on the stand-in.

`tests/ladder/test_replay.py` has more cases, which count launches on the stand-in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnx

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

ROWS, BATCH, EPOCHS = 90, 20, 10  # four whole batches and one of ten rows
X = np.random.default_rng(0).uniform(size=(ROWS, 16)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, ROWS)
WEIGHTS = np.random.default_rng(2).uniform(0.1, 2.0, ROWS).astype(np.float32)
DECAY = nnx.schedules.Exponential(1e-2, 10, 0.9)


def regression() -> list[nnx.Layer]:
    return [
        nnx.Dense(16, 12), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(9), nnx.LayerNorm(),
        nnx.GELU(), nnx.Dense(16), nnx.Sigmoid(),
    ]  # fmt: skip


def classifier() -> list[nnx.Layer]:
    return [nnx.Dense(16, 12), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]


def with_terms() -> list[nnx.Layer]:
    """Sums, products of stacks and terms of the loss, which have kernels of their own."""
    return [
        nnx.Contractive([nnx.Dense(16, 12), nnx.Sigmoid()], 1e-3), nnx.KLSparsity(0.1), nnx.Dense(8),
        nnx.GaussianCode(0.01), nnx.Dense(5), nnx.ReLU(), nnx.L1Sparsity(1e-3), nnx.Dense(16),
    ]  # fmt: skip


def of_tables() -> list[nnx.Layer]:
    edges = [[0.0, 0.3, 0.6, 1.0]] * 12
    return [
        nnx.Concatenate([
            [nnx.Columns(0, 12), nnx.PiecewiseLinearEmbedding(edges, 3)],
            [nnx.Columns(12, 14), nnx.PeriodicEmbedding(4, 3)],
            [nnx.Columns(14, 16), nnx.CategoryEmbedding([2, 2], 3)],
        ]),
        nnx.FeatureScale(), nnx.Members(3), nnx.Dense(12), nnx.ReLU(), nnx.MemberDense(4), nnx.Flatten(),
        nnx.Dense(16),
    ]  # fmt: skip


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "cross-entropy, Adam": (
        regression, X,
        {"loss": "binary_cross_entropy", "optimizer": lambda: nnx.Adam(1e-3)},
    ),
    "a schedule, clipping, weights": (
        regression, X,
        {"loss": "mse", "optimizer": lambda: nnx.Adam(DECAY, clip_norm=0.05), "sample_weight": WEIGHTS},
    ),
    "labels, SGD with momentum": (
        classifier, LABELS,
        {"loss": "cross_entropy", "optimizer": lambda: nnx.SGD(0.05, momentum=0.9)},
    ),
    "terms of the loss": (
        with_terms, X,
        {"loss": "mse", "optimizer": lambda: nnx.Adam(1e-3), "sample_weight": WEIGHTS},
    ),
    "layers for tables": (of_tables, X, {"loss": "mse", "optimizer": lambda: nnx.Adam(1e-3)}),
    "skipped faults": (
        regression, X,
        {"loss": "mse", "optimizer": lambda: nnx.AdamW(1e-3), "on_nonfinite": "skip"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "y", "options"), CASES.values(), ids=list(CASES))
def test_replayed_steps_have_the_bits_of_launched_ones(layers: Any, y: Any, options: dict[str, Any]) -> None:
    def trained(graph: str | bool) -> tuple[nnx.Network, Any]:
        network = nnx.Network(layers(), device="gpu", seed=0)
        how = options | {"optimizer": options["optimizer"](), "batch_size": BATCH, "epochs": EPOCHS}
        return network, network.fit(X, y, graph=graph, **how)

    (replayed, history), (launched, expected) = trained("auto"), trained(False)
    assert history.replayed > 3 * EPOCHS, history.not_replayed
    assert expected.replayed == 0
    assert history["loss"] == expected["loss"]
    others = launched.weights()
    for name, value in replayed.weights().items():
        assert value.tobytes() == others[name].tobytes(), name
