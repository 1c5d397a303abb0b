"""The old name of `nnx.experiments.train`, kept for one version."""

import warnings

from nnx.experiments.train.config import *  # noqa: F403

warnings.warn("nnx.experiments.own_config is now nnx.experiments.train", DeprecationWarning, stacklevel=2)
