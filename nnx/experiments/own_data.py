"""The old name of `nnx.experiments.train`, kept for one version."""

import warnings

from nnx.experiments.train.experiment import *  # noqa: F403
from nnx.experiments.train.problem import *  # noqa: F403

warnings.warn("nnx.experiments.own_data is now nnx.experiments.train", DeprecationWarning, stacklevel=2)
