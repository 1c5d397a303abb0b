"""The preset `variational` of the autoencoder: its layers, its ELBO, new images, and images between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.datasets import Dataset
from nnx.experiments.result import HostArray, Result
from nnx.experiments.stages import stage
from nnx.layers import Dense, GaussianCode, Layer
from nnx.network import Network

ROWS = 1000  # test images at a time
SAMPLES, PAIRS, STEPS = 40, 4, 10  # images that are drawn
ACTIVE = 0.01  # smallest variance of the mean of an active number of the code (Burda et al., 2016)


def variational(encoder: Sequence[Layer], code: int, features: int) -> list[Layer]:
    """Replace the last layer of an encoder by means, log variances, and the code that is drawn from them.

    The loss is a mean over the features, so the divergence is divided by them too.
    """
    initializer = getattr(encoder[-1], "initializer", "glorot_uniform")
    return [*encoder[:-1], Dense(2 * code, initializer=initializer), GaussianCode(1.0 / features)]


def measure(result: Result, network: Network, data: Dataset, seed: int) -> None:
    """Add the ELBO on the test images and its parts in nats, new images, and images between two.

    For each number of the code, also its mean divergence and the variance of its mean over the test images.
    """
    from nnx.estimators.variational import BernoulliNats, bounds

    random, x, loss = np.random.default_rng(seed), data.x_test, BernoulliNats()
    with stage("computing the ELBO of the test images"):
        parts = [bounds(network, x[i : i + ROWS], loss, 1, random) for i in range(0, len(x), ROWS)]
    reconstruction, kl = np.concatenate(parts, axis=1).mean(axis=1).tolist()
    result.metrics |= {
        "test_elbo": reconstruction - kl, "test_reconstruction_nats": reconstruction, "test_kl": kl
    }  # fmt: skip
    _measure_numbers(result, network, x)
    encoder, decoder = network[: network.encoder_length], network[network.encoder_length :]
    codes = encoder.predict(x[: 2 * PAIRS])
    share = np.linspace(0.0, 1.0, STEPS, dtype=codes.dtype)[None, :, None]
    between = (1.0 - share) * codes[0::2][:, None] + share * codes[1::2][:, None]
    drawn = random.standard_normal((SAMPLES, codes.shape[1])).astype(codes.dtype)
    result.arrays |= {
        "samples": decoder.predict(drawn),
        "interpolation": decoder.predict(between.reshape(-1, codes.shape[1])),
    }


def _measure_numbers(result: Result, network: Network, x: HostArray) -> None:
    """Add what each number of the code holds of the test images, and how many are active.

    A number that the decoder does not use has a mean near 0 and a variance near 1 for every image.
    """
    from nnx.estimators.variational import described, divergences

    parts = [described(network, x[i : i + ROWS]) for i in range(0, len(x), ROWS)]
    mean, log_variance = (np.concatenate(part) for part in zip(*parts, strict=True))
    spread = mean.var(axis=0)
    result.metrics["active_numbers"] = int((spread > ACTIVE).sum())
    result.arrays |= {"code_kl": divergences(mean, log_variance).mean(axis=0), "code_spread": spread}


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw new images, and images between two test images; nothing for other presets."""
    arrays: dict[str, HostArray] = result.arrays
    if "samples" not in arrays:
        return {}
    shape = tuple(arrays["image_shape"].tolist())
    between = "Each row: from a test image to another, on a line between their codes"
    return {
        "samples": reports.image_grid(arrays["samples"], shape, title="New images, from random codes"),
        "interpolation": reports.image_grid(arrays["interpolation"], shape, columns=STEPS, title=between),
    }


METRICS = {
    "test_elbo": "test ELBO, nats per image",
    "test_reconstruction_nats": "its reconstruction, nats per image",
    "test_kl": "its KL divergence, nats per image",
    "active_numbers": "active numbers of the code",
}
