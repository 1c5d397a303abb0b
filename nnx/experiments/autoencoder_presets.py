"""The autoencoder's presets: architectures and how to train them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nnx.experiments.distortion import Affine
from nnx.experiments.pretraining import Pretraining
from nnx.layers.coders import Coding
from nnx.losses import BinaryCrossEntropy, Loss, MeanSquaredError
from nnx.optimizers import SGD, Adam, Optimizer
from nnx.schedules import Cosine, Schedule, Warmup

PLAIN = Coding()


@dataclass(frozen=True)
class Preset:
    """An architecture and how it is trained.

    Attributes
    ----------
    hidden : tuple of int
        Widths between the image, or the convolutions, and the code; the decoder mirrors them.
    initializer : str
    loss : callable
        Makes the loss.
    optimizer : callable
        Makes the optimizer for a number of steps.
    batch_size, epochs : int
    activation : str
        Of the hidden layers; the code is linear, the output a sigmoid.
    rows : int or None
        How many training images are used; None for all.
    distortion : Affine or None
        Applied to the training images, which are also the targets.
    pretraining : Pretraining or None
    convolutions : tuple of str
        The first layers of the encoder, as ``nnx train --layers`` takes them; the decoder reverses them.
    coding : Coding
        Noise, terms of the loss and tied weights, if the autoencoder has them.
    variational : bool
        Draw codes from a distribution; the loss is then a bound of the likelihood, see `GaussianCode`.
    """

    hidden: tuple[int, ...]
    initializer: str
    loss: Callable[[], Loss]
    optimizer: Callable[[int], Optimizer]
    batch_size: int
    epochs: int
    activation: str = "relu"
    rows: int | None = None
    distortion: Affine | None = None
    pretraining: Pretraining | None = None
    convolutions: tuple[str, ...] = ()
    coding: Coding = PLAIN
    variational: bool = False


def warm_cosine(learning_rate: float, steps: int) -> Schedule:
    """Return a linear rise over the first twentieth of the steps, then half a cosine down to zero."""
    rising = max(1, steps // 20)
    return Warmup(Cosine(learning_rate, max(1, steps - rising)), rising)


def _cosine_adam(learning_rate: float, steps: int) -> Optimizer:
    return Adam(Cosine(learning_rate, steps))


PRESETS = {
    "deep": Preset(
        hidden=(512, 256, 128),
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(Cosine(1e-3, steps)),
        batch_size=256,
        epochs=20,
    ),
    "shallow": Preset(
        hidden=(128,),
        initializer="glorot_uniform",
        loss=lambda: MeanSquaredError(reduction="sum_over_features"),
        optimizer=lambda steps: SGD(0.05),
        batch_size=256,
        epochs=50,
        rows=56_000,
    ),
    "best": Preset(
        hidden=(1024,),
        activation="silu",
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(warm_cosine(2e-3, steps)),
        batch_size=128,
        epochs=40,
        distortion=Affine(rotation=10, scale=0.1, shear=0.1, shift=1, share=0.5),
        pretraining=Pretraining(
            epochs=20, batch_size=256, distortion=Affine(rotation=15, scale=0.15, shear=0.2, shift=2)
        ),
    ),
    "conv": Preset(
        convolutions=("conv2d 32 3 strides=2 padding=same", "conv2d 64 3 strides=2 padding=same"),
        hidden=(256,),
        activation="silu",
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(warm_cosine(4e-3, steps)),
        batch_size=128,
        epochs=85,
        distortion=Affine(rotation=10, scale=0.1, shear=0.1, shift=1, share=0.5),
        pretraining=Pretraining(
            epochs=26,
            batch_size=256,
            distortion=Affine(rotation=15, scale=0.15, shear=0.2, shift=2),
            kept=1 / 32,
        ),
    ),
    "variational": Preset(
        hidden=(400,),
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(Cosine(1e-3, steps)),
        batch_size=128,
        epochs=20,
        variational=True,
    ),
} | {
    name: Preset(
        hidden=hidden,
        initializer="he_normal" if hidden else "glorot_uniform",
        loss=BinaryCrossEntropy,
        optimizer=partial(_cosine_adam, 1e-3 if hidden else 1e-2),
        batch_size=256,
        epochs=20,
        coding=coding,
    )
    for name, hidden, coding in (
        ("denoising", (512, 256, 128), Coding(noise="mask", noise_level=0.3)),
        ("sparse", (512, 256), Coding(sparsity="l1", sparsity_weight=1e-3)),
        ("contractive", (), Coding(contraction=1e-4, tied=True, code_activation="sigmoid")),
        ("tied", (512, 256, 128), Coding(tied=True)),
    )
}
