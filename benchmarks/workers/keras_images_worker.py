"""Run Keras on images in turns. VARIANT is ``graph`` or ``xla``."""

from __future__ import annotations

from typing import Any

import keras_worker
from turns import main

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers import keras_worker as peers
from nnx.experiments.compare.workers.base import Model

keras = peers.keras


class Images(keras_worker.Keras):
    """A compiled `Sequential` of the job's layers."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        Model.__init__(self, job, weights, variant)
        shape = job["images"][0]["input_shape"]
        self.model = keras.Sequential([keras.Input(shape), *(layer(one) for one in job["images"])])
        loss = peers.LOSSES[job["loss"]["reduction"] or job["loss"]["kind"]]
        self.model.compile(optimizer=peers.optimizer(job), loss=loss(), jit_compile=variant == "xla")


def layer(about: dict[str, Any]) -> Any:
    """Return Keras's form of a layer."""
    kind, out = about["type"], about["output_shape"]
    if kind in ("Conv2D", "Conv2DTranspose"):
        make = getattr(keras.layers, kind)
        return make(out[-1], about["kernel_size"], about["strides"], padding=about["padding"])
    if kind in ("ReLU", "Sigmoid", "SiLU"):
        return keras.layers.Activation(kind.lower())
    arguments = {"Dense": out, "Reshape": [out], "MaxPool2D": [about.get("pool_size")], "Flatten": []}
    return getattr(keras.layers, kind)(*arguments[kind])


if __name__ == "__main__":
    main(Images, keras_worker.about())
