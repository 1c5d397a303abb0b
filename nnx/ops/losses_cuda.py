"""The losses on the GPU: kernels from the CUDA text of each record in losses.py."""

from __future__ import annotations

import functools
from typing import Any

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import BLOCK_SUMS, FUNCTIONS, ROWS, SUMS, THREADS, Raw
from nnx.ops.losses import LOSSES, Constants, Losses
from nnx.ops.losses_base import RowLoss

BLOCKS = 1024  # of a loss at most: each stores one number, and the last one adds them

# The block that ends last adds what all found, in the same order whichever it is: the same inputs give the
# same bits. `done` counts the blocks that have ended, and is 0 again afterwards.
SUM_OF_BLOCKS = """
__device__ void nnx_sum_of_blocks(T own, T* parts, T* value, unsigned int* done, T* shared) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = own;
        __threadfence();
        last = atomicAdd(done, 1u) + 1u == gridDim.x;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    const volatile T* all = parts;  // other blocks wrote them
    nnx_sum sum;
    for (unsigned int block = threadIdx.x; block < gridDim.x; block += blockDim.x) sum.add(all[block]);
    const T total = nnx_block_sum(sum.total(), shared);
    if (threadIdx.x == 0) {
        value[0] = total;
        done[0] = 0;
    }
}
"""

# A block computes the loss of some rows, and if `wanted` the gradient times `factor`. {row} computes `sum`,
# the loss of a row, from a record or as below.
ROW_LOSS_SOURCE = """
extern "C" __global__ void nnx_row_loss(
        const T* target, const T* prediction, const T* factors, const T* more, T* dy, T* value, T* parts,
        unsigned int* done, long long rows, long long columns, T a, T same, long long weighted,
        long long wanted) {{
    __shared__ T shared[NNX_THREADS];
    nnx_sum losses;
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
        const long long start = row * columns;
        const T factor = weighted ? factors[row] : same;
        T sum = T(0);
{row}
        losses.add(nnx_block_sum(sum, shared) * factor);
    }}
    nnx_sum_of_blocks(losses.total(), parts, value, done, shared);
}}
"""
SUM_OF_ELEMENTS = """
        nnx_row predictions(prediction + start, columns);
        NNX_TARGETS
        NNX_PARTS(part) {{
            nnx_four four = predictions[part];
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) {{
                const T y = NNX_Y(k, j), p = four.at[k];
                sum += {value};
                if (wanted) four.at[k] = factor * ({gradient});
            }}
            if (wanted) nnx_write(dy + start, columns, part, four);
        }}
"""

# what declares the targets of a row, those of a part of it, and the target of column j, the part's k-th
DENSE_TARGETS = """
#define NNX_TARGETS nnx_row targets(target + start, columns);
#define NNX_OF_PART(part) const nnx_four& ys = targets[part];
#define NNX_Y(k, j) ys.at[k]
"""
LABELS = """
#define NNX_TARGETS const long long label = target[row];
#define NNX_OF_PART(part)
#define NNX_Y(k, j) T((j) == label)
"""
ONE_TARGET = """
#define NNX_TARGETS const T own = target[row];
#define NNX_OF_PART(part)
#define NNX_Y(k, j) own
"""


def _source(loss: RowLoss, labels: bool = False) -> str:
    """Return the source of the kernel of a loss, for dense targets or for integer labels."""
    row = loss.cuda_row or SUM_OF_ELEMENTS.format(value=loss.cuda_value, gradient=loss.cuda_gradient)
    rows = ROW_LOSS_SOURCE.format(row=row.strip("\n"))
    if labels:
        rows = rows.replace("const T* target", "const long long* target")
    target = LABELS if labels else ONE_TARGET if loss.one_target else DENSE_TARGETS
    return FUNCTIONS + BLOCK_SUMS + SUMS + ROWS + SUM_OF_BLOCKS + loss.cuda_functions + target + rows


ROW_LOSS = {
    kind: Raw(f"{kind}_loss", "nnx_row_loss", _source(loss))
    for kind, loss in LOSSES.items()
    if loss.cuda_row or loss.cuda_value
}
LABEL_LOSS = {
    kind: Raw(f"{kind}_labels", "nnx_row_loss", _source(LOSSES[kind], labels=True))
    for kind in (
        "categorical_cross_entropy", "categorical_cross_entropy_from_logits", "categorical_focal",
        "categorical_focal_from_logits", "hinge", "squared_hinge",
    )
}  # fmt: skip

SMOOTH_SOURCE = """
extern "C" __global__ void nnx_smooth_targets(
        const T* target, T* smoothed, long long rows, long long columns, T kept, T share) {
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const long long start = row * columns;
        NNX_TARGETS
        NNX_PARTS(part) {
            nnx_four four{};
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) four.at[k] = NNX_Y(k, j) * kept + share;
            nnx_write(smoothed + start, columns, part, four);
        }
    }
}
"""
SMOOTH_TARGETS = Raw("smooth_targets", "nnx_smooth_targets", ROWS + DENSE_TARGETS + SMOOTH_SOURCE)
SMOOTH_LABELS = Raw(
    "smooth_labels",
    "nnx_smooth_targets",
    ROWS + LABELS + SMOOTH_SOURCE.replace("const T* target", "const long long* target"),
)

# factors = scale w / Σ w, computed by one block; see `Losses.average` for the power of two
ROW_FACTORS = Raw(
    "row_factors",
    "nnx_row_factors",
    BLOCK_SUMS
    + """
extern "C" __global__ void nnx_row_factors(const T* weights, T* factors, long long rows, T scale) {
    __shared__ T shared[NNX_THREADS];
    if (blockIdx.x == 0) {
        T top = T(0);
        for (long long row = threadIdx.x; row < rows; row += blockDim.x)
            top = weights[row] > top ? weights[row] : top;
        top = nnx_block_max(top, shared);
        int exponent;
        frexp(top, &exponent);
        T sum = T(0);
        for (long long row = threadIdx.x; row < rows; row += blockDim.x)
            sum += ldexp(weights[row], -exponent);
        sum = nnx_block_sum(sum, shared);
        const T share = scale / (sum > T(0) ? sum : T(1));  // 0 if all rows of a batch have weight 0
        for (long long row = threadIdx.x; row < rows; row += blockDim.x)
            factors[row] = ldexp(weights[row], -exponent) * share;
    }
}
""",
)


class LossesCuPy(OnGpu, Losses):
    """The losses on the GPU."""

    @functools.cached_property
    def _known_constants(self) -> dict[tuple[tuple[float, ...], Any], Array]:
        return {}

    def loss(
        self, kind: str, y_true: Array, y_pred: Array, value: Array | None, dy: Array | None,
        scale: float = 1.0, parameter: Constants = 0.0, weights: Array | None = None,
    ) -> None:  # fmt: skip
        """Use one launch, with weights one more before it."""
        xp, dtype = self.xp, y_pred.dtype
        labels = y_true.ndim < y_pred.ndim and not LOSSES[kind].one_target
        kernels, expected = (LABEL_LOSS, "int64") if labels else (ROW_LOSS, dtype)
        with self._hold:
            if kind not in kernels or y_true.dtype != expected:
                super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
                return
            rows, weighted = y_pred.shape[0], int(weights is not None)
            unused = self._buffer("unused", 1, dtype)  # in place of what the caller does not give or want
            factors = unused if weights is None else self._factors(weights, dtype.type(scale))
            several = parameter if isinstance(parameter, tuple) else (parameter,)
            more = self._constants(parameter, dtype) if isinstance(parameter, tuple) else unused
            arrays = (
                xp.ascontiguousarray(y_true), xp.ascontiguousarray(y_pred), factors, more,
                unused if dy is None else dy, unused if value is None else value,
                self._buffer("loss of blocks", BLOCKS, dtype), self._counter("blocks done"),
            )  # fmt: skip
            same = dtype.type(scale / rows)
            kernels[kind].over_rows(
                y_pred, arrays, dtype.type(several[0]), same, weighted, int(dy is not None), blocks=BLOCKS,
                each=4,
            )  # fmt: skip

    def _factors(self, weights: Array, scale: Any) -> Array:
        """Return the factor of each row's loss."""
        rows = weights.shape[0]
        factors = self._buffer("row_factors", rows, scale.dtype)
        ROW_FACTORS.of(scale.dtype)((1,), (THREADS,), (weights, factors, rows, scale))
        return factors

    def repeat_weights(self, weights: Array, times: int) -> Array:
        """Use one launch."""
        rows = weights.shape[0]
        with self._hold:
            repeated = self._buffer("repeated weights", rows * times, weights.dtype)[: rows * times]
            repeated.reshape(rows, times)[...] = weights[:, None]
        return repeated

    def row_shares(self, shares: Array, weights: Array | None) -> Array:
        """Use one launch."""
        with self._hold:
            if weights is None:
                return super().row_shares(shares, None)
            arrays = (self.xp.ascontiguousarray(weights.reshape(shares.shape)), shares)
            one = shares.dtype.type(1)
            ROW_FACTORS.of(shares.dtype)((1,), (THREADS,), (*arrays, shares.shape[0], one))
        return shares

    def _constants(self, values: tuple[float, ...], dtype: Any) -> Array:
        """Return the constants of a loss on the device; they are copied there at their first use."""
        known = self._known_constants
        if (values, dtype) not in known:
            known[values, dtype] = self.xp.asarray(values, dtype)
        return known[values, dtype]

    def smooth_targets(self, y_true: Array, like: Array, kept: float, share: float) -> Array:
        """Compute in one launch."""
        labels, dtype = y_true.ndim < like.ndim, like.dtype
        with self._hold:
            if y_true.dtype != ("int64" if labels else dtype):
                return super().smooth_targets(y_true, like, kept, share)
            smoothed = self._buffer("smoothed", like.size, dtype)[: like.size].reshape(like.shape)
            arrays = (self.xp.ascontiguousarray(y_true), smoothed)
            kernel = SMOOTH_LABELS if labels else SMOOTH_TARGETS
            kernel.over_rows(like, arrays, dtype.type(kept), dtype.type(share), each=4)
            return smoothed

    def average(
        self, row_losses: Array, gradient: Array, value: Array | None, dy: Array | None,
        scale: float, weights: Array | None,
    ) -> None:  # fmt: skip
        """Use the plain form."""
        with self._hold:
            super().average(row_losses, gradient, value, dy, scale, weights)
