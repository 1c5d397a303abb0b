"""What the autoencoder experiment measures of denoising, sparse, contractive and tied autoencoders."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.experiments.result import HostArray
from nnx.layers import Contractive, GaussianNoise, KLSparsity, L1Sparsity, MaskNoise
from nnx.layers.descriptions import from_config, kind_of
from nnx.losses import MeanSquaredError
from nnx.metrics import mean_squared_error
from nnx.network import Network

METRICS = {
    "damaged_mse": "MSE of damaged test images",
    "denoised_mse": "MSE of what it makes of them",
    "active_share": "share of the code that is not 0",
    "jacobian_norm": "mean squared norm of ∂code/∂image",
}
ROWS = 2000  # test images on which the norm of the Jacobian is measured


def measured(network: Network, x: HostArray, codes: HostArray) -> dict[str, float]:
    """Return the metrics that belong to the layers of a network, for test images and their codes."""
    found: dict[str, float] = {}
    for layer in network.layers[: network.encoder_length]:
        if isinstance(layer, GaussianNoise | MaskNoise):
            found |= _denoised(network, layer, x)
        elif isinstance(layer, L1Sparsity | KLSparsity):
            found["active_share"] = float(np.mean(np.abs(codes) > 0.01))
        elif isinstance(layer, Contractive) and layer.weight:
            some = x[:ROWS]
            term = network.evaluate(some, some, loss=MeanSquaredError())[layer.term]
            found["jacobian_norm"] = term / layer.weight
    return found


def _denoised(network: Network, layer: Any, x: HostArray) -> dict[str, float]:
    """Return the error of damaged images, and of what the network makes of them."""
    noise = from_config(kind_of(layer), layer.config())
    noise.seed = network.seed
    noise.build(x.shape[1:], device=network.backend, dtype=network.dtype)
    damaged = network.backend.to_numpy(noise.forward(network.asarray(x), training=True)).copy()
    return {
        "damaged_mse": mean_squared_error(x, damaged),
        "denoised_mse": mean_squared_error(x, network.predict(damaged)),
    }
