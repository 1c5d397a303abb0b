"""What a report shows of a convolutional network: the first filters, and the activation maps of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.experiments.result import HostArray, Result
from nnx.layers import BatchNorm, Conv2D, LayerNorm
from nnx.layers.base import Layer
from nnx.network import Network
from nnx.records import record_of

MOST_LAYERS = 3  # convolutions whose maps are shown: the first ones
MOST_MAPS = 16  # channels of each
MOST_IMAGES = 10


def first_filters(network: Network) -> HostArray | None:
    """Return W of the first `Conv2D`, of shape (height, width, channels, filters); None if there is none.

    Layers inside of containers are not looked at.
    """
    first = next((layer for layer in network.layers if isinstance(layer, Conv2D)), None)
    return None if first is None else network.weights()[f"{first.name}.W"]


def activations(network: Network, images: Any) -> dict[str, HostArray]:
    """Return the outputs of the first convolutions for some images, each after its activation.

    Parameters
    ----------
    network : Network
    images : array of shape (rows, …)
        As the network takes them.

    Returns
    -------
    dict of str to array
        By the names of the layers that compute it (``"conv2d_1, relu_1"``): an array of shape (rows, height,
        width, channels). It is empty if the network has no `Conv2D`.
    """
    found: dict[str, HostArray] = {}
    layers = network.layers
    for place, layer in enumerate(layers):
        if isinstance(layer, Conv2D) and len(found) < MOST_LAYERS:
            end = place + 1
            while end < len(layers) and _belongs_to_convolution(layers[end]):
                end += 1
            name = ", ".join(one.name for one in layers[place:end])
            found[name] = np.asarray(network[:end].predict(images))
    return found


def _belongs_to_convolution(layer: Layer) -> bool:
    record = record_of(type(layer))
    return isinstance(layer, BatchNorm | LayerNorm) or (record is not None and record.activation)


def observed(
    network: Network, images: HostArray, pixels: HostArray, labels: HostArray, shape: tuple[int, ...]
) -> dict[str, HostArray]:
    """Return the arrays of a result for `figures` and the report; none for a network without convolutions.

    Parameters
    ----------
    network : Network
    images : array of shape (rows, …)
        As the network takes them.
    pixels : array
        The same images as they are drawn, in 0..1.
    labels : array of shape (rows,)
    shape : tuple of int
        Height, width and, for colours, the number of channels.
    """
    filters = first_filters(network)
    if filters is None or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        return {}
    _, first = np.unique(labels, return_index=True)
    chosen = np.sort(first)[:MOST_IMAGES]
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    maps = activations(network, images[chosen])
    drawn = np.asarray(pixels[chosen], np.float64).reshape(len(chosen), *shape[:2], -1)
    return {
        "filters": filters,
        "map_images": drawn,
        "map_labels": labels[chosen],
        "map_layers": np.array(list(maps)),
    } | {f"maps_{number}": values[..., :MOST_MAPS] for number, values in enumerate(maps.values(), 1)}


def maps_of(arrays: dict[str, HostArray]) -> dict[str, HostArray]:
    """Return the maps of a result's arrays by layer, each of shape (images, height, width, channels)."""
    return {str(name): arrays[f"maps_{number}"] for number, name in enumerate(arrays["map_layers"], 1)}


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the first filters, and the maps of the first image; nothing for a network without convolutions."""
    arrays = result.arrays
    if "filters" not in arrays:
        return {}
    maps = {name: values[0] for name, values in maps_of(arrays).items()}
    label = arrays["map_labels"][0]
    return {
        "filters": reports.filters(arrays["filters"], title="Filters of the first convolution"),
        "activation_maps": reports.activation_maps(
            arrays["map_images"][0], maps, title=f"What image {label} activates"
        ),
    }
