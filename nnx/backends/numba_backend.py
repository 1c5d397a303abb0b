"""The CPU with compiled kernels: one pass where NumPy needs several, and one team of threads for all work.

If there is a BLAS for it (see `blas`), a team of threads shares the rows of a dense layer: that of
`nnx.ops.team_numba`, or on other systems TBB's. Each thread computes its own single-threaded product, with
the bias, the ReLU and the bias gradient around it. A training step then does not use NumPy's BLAS, whose
threads would compete with these. Otherwise, and for small arrays, the kernels run on one thread and NumPy
computes the products.

Importing this module raises `ImportError` if Numba is not installed, or does not fit the installed NumPy.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
from contextlib import AbstractContextManager, suppress
from typing import Any

import numba

from nnx.backends import blas, mkl, openblas, processor, threads
from nnx.backends.base import NOTHING
from nnx.backends.numpy_backend import NumpyBackend
from nnx.errors import ConfigurationError
from nnx.ops import team_numba
from nnx.ops.activations_numba import ActivationsNumba
from nnx.ops.averages_numba import AveragesNumba
from nnx.ops.bfloat16_numba import Bfloat16Numba
from nnx.ops.convolution_numba import ConvolutionNumba
from nnx.ops.dense_numba import DenseNumba
from nnx.ops.dropout_numba import DropoutNumba
from nnx.ops.embedding_numba import EmbeddingNumba
from nnx.ops.gather_numba import GatherNumba
from nnx.ops.gradients_numba import GradientsNumba
from nnx.ops.losses_numba import LossesNumba
from nnx.ops.pooling_numba import PoolingNumba
from nnx.ops.prelu_numba import PReLUNumba
from nnx.ops.row_updates_numba import RowUpdatesNumba
from nnx.ops.sparse_numba import SparseNumba
from nnx.ops.updates_numba import UpdatesNumba

TBB_LIBRARIES = ("libtbb.so.12", "libtbb.12.dylib", "tbb12.dll")


class NumbaBackend(
    GatherNumba, ActivationsNumba, PReLUNumba, DenseNumba, SparseNumba, ConvolutionNumba, PoolingNumba,
    Bfloat16Numba, EmbeddingNumba, DropoutNumba, LossesNumba, RowUpdatesNumba, UpdatesNumba, AveragesNumba,
    GradientsNumba, NumpyBackend,
):  # fmt: skip
    """Compiled kernels, on several threads if there are nnx's own (`team_numba`), or TBB's.

    Attributes
    ----------
    layer : str
        Whose threads share the work: ``"nnx"``, or Numba's threading layer.
    blas : Blas or None
        The BLAS that computes products, each on one thread; None if NumPy's BLAS is used.
    threads : int
        The largest number of segments into which work is divided.

    """

    name = "numba"

    def __init__(self) -> None:
        super().__init__()
        self.layer, most = ("nnx", None) if team_numba.AVAILABLE else threads_of_numba()
        usable = self.layer in ("nnx", "tbb")
        if not usable and (chosen := blas.asked()):
            raise ConfigurationError(
                f"{blas.VARIABLE}={chosen} needs the threads of TBB, and Numba uses {self.layer}: run pip "
                f"install tbb, or unset {blas.VARIABLE}"
            )
        self.blas = blas.load() if usable else None
        if self.blas is not None:
            self.threads = threads.of_kernels(min(filter(None, (most, self.blas.most)), default=None))
            team_numba.start(self.threads)

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries in use."""
        return {"numba": numba.__version__}

    def describe(self) -> str:
        """Return the libraries, the threads and the BLAS kernels, in one line."""
        text = f"Numba {self.versions()['numba']}, "
        if self.blas is not None:
            text += f"{self.threads} thread{'s' * (self.threads > 1)}{' (TBB)' * (self.layer == 'tbb')}"
            return f"{text}, {self.blas.name}"
        needed = openblas.WANTED
        if self.layer not in ("nnx", "tbb"):
            text += f"threading layer {self.layer}, "
            needed = f"tbb and {needed}"
        return f"{text}kernels on one thread, products by NumPy (more threads need {needed})"

    def bfloat16_fault(self) -> str:
        """See `Backend.bfloat16_fault`: the kernels need MKL, and a processor that multiplies bfloat16."""
        return self._bfloat16[1]

    @property
    def bfloat16_gemm(self) -> int:
        """Return the address of MKL's function for products of bfloat16 numbers; 0 if it cannot be used."""
        return self._bfloat16[0]

    @property
    def bfloat16_pays(self) -> bool:
        """Return whether there are MKL and AMX: with AVX512-BF16 alone, MKL is no faster than in float32."""
        return "amx_bf16" in processor.instructions() and self.bfloat16_gemm != 0

    @functools.cached_property
    def _bfloat16(self) -> tuple[int, str]:
        """Return `bfloat16_gemm` and `bfloat16_fault`; the first use loads MKL."""
        if not processor.instructions() & {"amx_bf16", "avx512_bf16"}:
            return 0, "it needs a processor with AMX-BF16 or AVX512-BF16, which this one does not have"
        try:
            address = blas.with_mkl().bfloat16
        except mkl.UnusableError as error:
            return 0, f"it needs MKL, run pip install 'nnx-arrays[mkl]' ({error})"
        return address or 0, "" if address else "MKL multiplies bfloat16 numbers wrongly on this processor"

    def hold(self) -> AbstractContextManager[Any]:
        """See `Backend.hold`; products then use one thread each, whatever threadpoolctl was asked for."""
        return super().hold() if self.blas is None else self.blas.hold

    def within_quota(self) -> AbstractContextManager[Any]:
        """See `Backend.within_quota`: the kernels' own BLAS follows the quota anyway."""
        return super().within_quota() if self.blas is None else NOTHING

    def blas_threads(self) -> int:
        """See `Backend.blas_threads`."""
        return 0 if self.blas is not None else super().blas_threads()

    def blas_name(self, bfloat16: bool = False) -> str:
        """See `Backend.blas_name`: the kernels multiply bfloat16 numbers with MKL on every processor."""
        name = super().blas_name() if self.blas is None else self.blas.name
        if not (bfloat16 and self.bfloat16_gemm) or name == (other := blas.with_mkl().name):
            return name
        return f"{other} for bfloat16, {name} for the rest"

    def team(self) -> tuple[int, str]:
        """See `Backend.team`."""
        if self.blas is not None and threads.of_kernels() > self.threads == self.blas.most:
            return self.threads, f"{self.blas.name} computes on {self.blas.most} threads at most"
        return super().team()

    def small_loop(self) -> Any:
        """See `nnx.ops.small_network_numba`; benchmarks/small.py."""
        from nnx.ops import small_network_numba

        return small_network_numba


def threads_of_numba() -> tuple[str, int]:
    """Start Numba's own threads; return their layer, such as ``"tbb"``, and their number.

    Numba does not find the library of the wheel ``tbb`` in a virtual environment: the wheel installs it next
    to Python's own libraries, where the system's loader does not search. So it is loaded first.
    """
    with suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name in TBB_LIBRARIES:
                ctypes.CDLL(str(file.locate()))
    count = numba.get_num_threads()  # starts them, which decides the layer
    return numba.threading_layer(), count
