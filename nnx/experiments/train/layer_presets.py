"""The presets of ``nnx train``: lists of layers that fit the size of the images."""

from __future__ import annotations

import math

from nnx.errors import ConfigurationError
from nnx.experiments.train import tabular
from nnx.experiments.train.config import Config, defaults

FINAL_SIDE = 7  # of an image that is divided in two again and again
MOST_STAGES = 5
FIRST_FILTERS, MOST_FILTERS = 16, 128
WIDTH, DROPOUT = 64, 0.3  # of the dense layer after the convolutions of a classifier
CODE, LEAST_CODE, COMPRESSION = 64, 8, 12  # width of a code: at most CODE, a twelfth of the numbers of a row


def layers_of(config: Config, task: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the layers of a configuration: those that it lists, or those of its preset.

    The preset ``conv`` is for images. A classifier has in each stage a convolution of 3 × 3, a batch
    normalization and a max pooling of 2 × 2; an autoencoder a convolution of 3 × 3 with strides 2. Each stage
    halves height and width, until the smaller of them is about 7, and doubles the filters, from 16 to at most
    128. `nnx.experiments.train.tabular` builds the network of the preset ``tabular``, with more than these.

    Raises
    ------
    ConfigurationError
        If rows are no images or too small, or layers are listed too.
    """
    if config.preset is None:
        return config.layers
    if config.preset == "tabular":
        return tabular.layers()
    if config.layers != defaults()["layers"]:
        raise ConfigurationError("--preset conv chooses the layers: leave out --layers, or --preset")
    if len(shape) not in (2, 3):
        raise ConfigurationError(
            f"--preset conv is for images, but a row of this data has the shape {shape}: give a folder of "
            "images, or an array of shape (rows, height, width, channels)"
        )
    height, width = shape[:2]
    if task != "autoencoding" and min(height, width) < 2:
        raise ConfigurationError(
            f"--preset conv needs images of at least 2 × 2 pixels, but a row of this data has the shape "
            f"{shape}: height, width{', channels' if len(shape) == 3 else ''}"
        )
    stages = min(MOST_STAGES, max(1, round(math.log2(max(min(height, width), 2) / FINAL_SIDE))))
    filters = [min(MOST_FILTERS, FIRST_FILTERS * 2**stage) for stage in range(stages)]
    if task != "autoencoding":
        convolutions = [
            text
            for count in filters
            for text in (f"conv2d {count} 3 padding=same", "batch_norm", "relu", "max_pool2d")
        ]
        return (*convolutions, f"{WIDTH} relu", f"dropout {DROPOUT}")
    code = min(CODE, max(LEAST_CODE, math.prod(shape) // COMPRESSION))
    convolutions = []
    for count in filters:
        strides = 2 if height % 2 == width % 2 == 0 else 1  # the decoder must find the same size again
        convolutions.append(f"conv2d {count} 3 strides={strides} padding=same relu")
        height, width = height // strides, width // strides
    return (*convolutions, f"{code}")
