"""The CPU by compiled kernels: one pass where NumPy takes several, and one team of threads for everything.

Where Numba's threads are TBB's and ``scipy-openblas32`` is installed, a dense layer's rows are divided among
those threads, and each runs its own single-threaded product with the bias, the ReLU and the bias gradient
around it. NumPy's BLAS, whose threads would fight with these, is then not entered by a training step.
Elsewhere, and on small arrays, the kernels run on one thread and the products are NumPy's.

Importing this module raises `ImportError` where Numba is not installed, or does not fit the installed NumPy.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from contextlib import suppress
from typing import Any

import numba

from nnx.backends import blas, threads
from nnx.backends.numpy_backend import NumpyBackend
from nnx.ops.dense_numba import DenseNumba
from nnx.ops.gather_numba import GatherNumba
from nnx.ops.gradients_numba import GradientsNumba
from nnx.ops.losses_numba import LossesNumba
from nnx.ops.updates_numba import UpdatesNumba

TBB_LIBRARIES = ("libtbb.so.12", "libtbb.12.dylib", "tbb12.dll")


class NumbaBackend(GatherNumba, DenseNumba, LossesNumba, UpdatesNumba, GradientsNumba, NumpyBackend):
    """Compiled kernels, on Numba's threads where they are TBB's.

    Attributes
    ----------
    blas : Blas or None
        The private BLAS that products run on, each on one thread; None where NumPy's is used.
    threads : int
        How many parts the work is divided into at most.

    """

    name = "numba"

    def __init__(self) -> None:
        super().__init__()
        load_tbb()
        count = numba.get_num_threads()  # starts them, by which the threading layer is decided
        self.layer = numba.threading_layer()
        self.blas = blas.load() if self.layer == "tbb" else None
        if self.blas is not None:
            self.threads = count if threads.given() else min(count, threads.cores())

    def versions(self) -> dict[str, str]:
        """Of the libraries at work."""
        return {"numba": numba.__version__}

    def describe(self) -> str:
        """The libraries, the threads and the BLAS kernels, in one line."""
        text = f"Numba {self.versions()['numba']}, "
        if self.blas is not None:
            text += f"{self.threads} thread{'s' * (self.threads > 1)} (TBB)"
            return f"{text}, OpenBLAS kernels for {self.blas.core}"
        if self.layer != "tbb":
            text += f"threading layer {self.layer}, "
        return f"{text}kernels on one thread, products by NumPy (more threads need tbb and {blas.WANTED})"

    def blas_threads(self) -> int:
        """See `Backend.blas_threads`."""
        return 0 if self.blas is not None else super().blas_threads()

    def small_loop(self) -> Any:
        """See `nnx.ops.small_network_numba`; benchmarks/small.py."""
        from nnx.ops import small_network_numba

        return small_network_numba


def load_tbb() -> None:
    """Load the library of the wheel ``tbb``, which Numba's threads need and do not find in an environment.

    The wheel puts it next to Python's own libraries, where the system's loader does not look.
    """
    with suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name in TBB_LIBRARIES:
                ctypes.CDLL(str(file.locate()))
