"""Neural networks with explicit forward and backward passes, on NumPy or CuPy."""

import importlib
from typing import TYPE_CHECKING, Any

from nnx import layers, losses, optimizers
from nnx.backends import available, default_device, resolve, use
from nnx.callbacks import (
    BestCheckpoint,
    Callback,
    CSVLog,
    EarlyStopping,
    History,
    Progress,
    ReduceOnPlateau,
    WeightStatistics,
)
from nnx.checkpoints import Checkpoint
from nnx.data.rows import Rows
from nnx.errors import (
    ConfigurationError,
    DataError,
    DeviceError,
    FileFormatError,
    MissingLibraryError,
    NnxError,
    OutOfMemoryError,
    OutputError,
    RankError,
    TrainingError,
)
from nnx.layers import *
from nnx.losses import *
from nnx.network import Network, load
from nnx.optimizers import *
from nnx.schedules import Constant, Cosine, Exponential, OneCycle, Schedule, Step, WarmRestarts, Warmup
from nnx.training.loggers import JSONLog, MLflowLog, TensorBoardLog

if TYPE_CHECKING:
    from nnx import (
        checkpoints,
        datasets,
        estimators,
        experiments,
        gradcheck,
        initializers,
        interop,
        metrics,
        pages,
        reports,
        standalone,
        tables,
    )

__version__ = "0.1.0"

__all__ = [
    "BestCheckpoint",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ConfigurationError",
    "Constant",
    "Cosine",
    "DataError",
    "DeviceError",
    "EarlyStopping",
    "Exponential",
    "FileFormatError",
    "History",
    "JSONLog",
    "MLflowLog",
    "MissingLibraryError",
    "Network",
    "NnxError",
    "OneCycle",
    "OutOfMemoryError",
    "OutputError",
    "Progress",
    "RankError",
    "ReduceOnPlateau",
    "Rows",
    "Schedule",
    "Step",
    "TensorBoardLog",
    "TrainingError",
    "WarmRestarts",
    "Warmup",
    "WeightStatistics",
    "available",
    "checkpoints",
    "datasets",
    "default_device",
    "distributed",
    "estimators",
    "experiments",
    "gradcheck",
    "initializers",
    "interop",
    "load",
    "metrics",
    "pages",
    "reports",
    "resolve",
    "standalone",
    "tables",
    "use",
]
__all__ += layers.__all__
__all__ += losses.__all__
__all__ += optimizers.__all__

_ROOMS = (
    *("checkpoints", "datasets", "estimators", "experiments", "gradcheck", "initializers", "interop"),
    *("metrics", "pages", "reports", "standalone", "tables"),
)


def __getattr__(name: str) -> Any:
    """Rooms that need more than NumPy are loaded when they are first named."""
    if name in _ROOMS:
        return importlib.import_module(f"nnx.{name}")
    raise AttributeError(f"module 'nnx' has no attribute {name!r}")
