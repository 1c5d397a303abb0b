"""Neural networks with explicit forward and backward passes, on NumPy or CuPy."""

import importlib
from typing import TYPE_CHECKING, Any

from nnx.backends import available, default_device, resolve, use
from nnx.callbacks import BestCheckpoint, Callback, CSVLog, EarlyStopping, History, Progress
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
from nnx.layers import (
    ELU,
    GELU,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Rescale,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nnx.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnx.network import Network, load
from nnx.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnx.schedules import Constant, Cosine, Exponential, Schedule, Step, Warmup
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
        reports,
    )

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "BestCheckpoint",
    "BinaryCrossEntropy",
    "CSVLog",
    "Callback",
    "CategoricalCrossEntropy",
    "Checkpoint",
    "Concatenate",
    "ConfigurationError",
    "Constant",
    "Cosine",
    "DataError",
    "Dense",
    "DeviceError",
    "Dropout",
    "EarlyStopping",
    "Exponential",
    "FileFormatError",
    "Flatten",
    "History",
    "Huber",
    "Identity",
    "JSONLog",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Loss",
    "MLflowLog",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MissingLibraryError",
    "Network",
    "NnxError",
    "Optimizer",
    "OutOfMemoryError",
    "OutputError",
    "Progress",
    "RMSprop",
    "RankError",
    "ReLU",
    "Rescale",
    "Reshape",
    "Residual",
    "Rows",
    "Schedule",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Step",
    "Tanh",
    "TensorBoardLog",
    "TrainingError",
    "Warmup",
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
    "reports",
    "resolve",
    "use",
]

_ROOMS = (
    *("checkpoints", "datasets", "estimators", "experiments", "gradcheck", "initializers", "interop"),
    *("metrics", "reports"),
)


def __getattr__(name: str) -> Any:
    """Rooms that need more than NumPy are loaded when they are first named."""
    if name in _ROOMS:
        return importlib.import_module(f"nnx.{name}")
    raise AttributeError(f"module 'nnx' has no attribute {name!r}")
