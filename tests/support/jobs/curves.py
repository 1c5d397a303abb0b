"""Train in several ways, in a job of several ranks or of none; the first rank prints what came of it."""

import json
import sys

import numpy as np

import nnx


def data(case, dtype):
    rng = np.random.default_rng(1)
    dtype = "float32" if dtype == "bfloat16" else dtype
    x = rng.normal(size=(333, 12)).astype(dtype)
    if "positions" in case:
        x = x.reshape(333, 3, 4)
        return x, np.tanh(x @ rng.normal(size=(4, 4))).astype(dtype)
    if "images" in case:
        return x.reshape(333, 2, 3, 2), np.tanh(x @ rng.normal(size=(12, 4))).astype(dtype)
    if "labels" in case:
        return x, rng.integers(0, 4, 333)
    return x, np.tanh(x @ rng.normal(size=(12, 4))).astype(dtype)


def build(case, dtype):
    middle = [nnx.BatchNorm()] if "norm" in case else []
    drop = [nnx.Dropout(0.2)] if "dropout" in case else []
    last = [nnx.Softmax()] if "labels" in case else []
    if "positions" in case:
        block = nnx.Residual([nnx.BatchNorm(), nnx.Dense(16), nnx.Tanh(), nnx.Dropout(0.2), nnx.Dense(16)])
        return nnx.Network([nnx.Dense(16), block, nnx.Dense(4)], precision=dtype, seed=3)
    if "images" in case:
        down = [nnx.Conv2D(16, 2, padding="same", activation="tanh"), nnx.Conv2D(16, 2, groups=16)]
        up = [nnx.BatchNorm(), nnx.Conv2DTranspose(4, 2), nnx.Flatten(), nnx.Dense(4)]
        return nnx.Network([*down, *up], precision=dtype, seed=3)
    if "terms" in case:
        first, second = nnx.Dense(12, 16), nnx.Dense(8)
        coder = nnx.Contractive([first, nnx.Tanh(), second, nnx.Sigmoid()], 0.05)
        terms = [nnx.GaussianNoise(0.1), coder, nnx.KLSparsity(0.2, 0.1), nnx.L1Sparsity(0.01)]
        return nnx.Network([*terms, nnx.TiedDense(second), nnx.Dense(4)], precision=dtype, seed=3)
    layers = [nnx.Dense(12, 32), *middle, nnx.Tanh(), *drop, nnx.Dense(32, 16), nnx.LayerNorm(), nnx.ReLU()]
    return nnx.Network([*layers, nnx.Dense(16, 4), *last], precision=dtype, seed=3)


def augmented(generator, x, y):
    return x + 0.1 * generator.normal(size=x.shape).astype(x.dtype), y


def train(case, dtype, steps, communicator):
    x, y = data(case, dtype)
    rows = 333 if "whole" in case else 32  # 333 rows: the last batch has 13, the last with "thin" 1
    rows = 83 if "thin" in case else rows
    curve = []

    class Curve(nnx.Callback):
        def on_epoch_end(self, run):
            curve.append(run.history["loss"][-1])

    network = build(case, dtype)
    weights = np.random.default_rng(2).integers(0, 3, 333) if "weights" in case else None
    batches = -(-333 // rows)
    history = network.fit(
        x, y,
        loss=nnx.CategoricalCrossEntropy() if "labels" in case else nnx.MeanSquaredError(),
        optimizer=nnx.Adam(nnx.Cosine(3e-3, 400), clip_norm=0.5, weight_decay=1e-3),
        epochs=-(-steps // batches), batch_size=rows,
        validation=(x[:77], y[:77]),
        metrics=["accuracy"] if "labels" in case else ["r2"],
        sample_weight=weights,
        average=0.9 if "average" in case else None,
        augment=augmented if "augment" in case else None,
        callbacks=[Curve(), *([nnx.EarlyStopping(patience=1, min_delta=0.1)] if "stopping" in case else [])],
        communicator=communicator,
    )  # fmt: skip
    every = "average" in case  # not only the small ones
    weights = network.weights().items()
    values = {name: value.tolist() for name, value in weights if every or value.ndim == 1}
    return {"steps": history.steps, "curve": curve, "metrics": history.metrics, "values": values}


def main(dtype, steps, *cases):
    with nnx.distributed.connect("mpi", timeout=20.0) as communicator:
        results = {case: train(case, dtype, int(steps), communicator) for case in cases}
        if communicator.rank == 0:
            print(json.dumps(results))


main(*sys.argv[1:])
