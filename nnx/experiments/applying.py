"""The old name of `nnx.experiments.train`, kept for one version."""

import warnings

from nnx.experiments.train.applying import *  # noqa: F403

warnings.warn("nnx.experiments.applying is now nnx.experiments.train", DeprecationWarning, stacklevel=2)
