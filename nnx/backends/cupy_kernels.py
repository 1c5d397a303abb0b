"""The CUDA sources of `cupy_backend`: formulas by kind, and the kernels they are set into.

The formulas are those of `nnx.ops.activations` and `nnx.ops.losses`, element by element. ``T`` is
the arrays' dtype; every constant is written ``T(…)``, so a float32 kernel holds no double. Comparisons are
written so that NaN passes through, as it does in the plain forms: a fault must stay visible.

Elementwise kernels take any strides and broadcast; an array named among the outputs may be read too. Raw
kernels take C-contiguous arrays, run grid-stride loops and are right with any launch of a power of two of
threads a block, one included. Nothing uses atomics: the same inputs give the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import cupy

PREAMBLE = """
template <typename T> __device__ inline T nnx_sigmoid(T x) {
    T e = exp(-fabs(x));
    return (x >= T(0) ? T(1) : e) / (T(1) + e);
}
template <typename T> __device__ inline T nnx_softplus(T x) {
    return (x < T(0) ? T(0) : x) + log1p(exp(-fabs(x)));
}
template <typename T> __device__ inline T nnx_clip(T x, T low, T high) {
    return x < low ? low : (x > high ? high : x);
}
template <typename T> __device__ inline T nnx_sign(T x) {
    return x > T(0) ? T(1) : (x < T(0) ? T(-1) : x);
}
template <typename T> __device__ inline T nnx_gelu_slope(T x) {
    return T(0.5) * erfc(x * T(-0.7071067811865476)) + x * (T(0.3989422804014327) * exp(T(-0.5) * x * x));
}
template <typename T> __device__ inline T nnx_gelu_inner(T x) {
    return T(1.5957691216057308) * x * (T(1) + T(0.044715) * x * x);
}
template <typename T> __device__ inline T nnx_gelu_tanh_slope(T x) {
    const T inner = nnx_gelu_inner(x), s = nnx_sigmoid(inner), rest = nnx_sigmoid(-inner);
    return s + x * s * rest * (T(1.5957691216057308) * (T(1) + T(0.134145) * x * x));
}
"""

# kind: (f of x and alpha, the gradient passed back, of dy, x, y and alpha); softmax has kernels of its own
ACTIVATIONS: dict[str, tuple[str, str]] = {
    "identity": ("x", "dy"),
    "relu": ("x < T(0) ? T(0) : x", "y > T(0) ? dy : T(0)"),
    "leaky_relu": ("x > T(0) ? x : alpha * x", "y > T(0) ? dy : alpha * dy"),
    "elu": ("x > T(0) ? x : alpha * expm1(x)", "y > T(0) ? dy : (y + alpha) * dy"),
    "gelu": (
        "T(0.5) * x * erfc(x * T(-0.7071067811865476))",
        "dy * nnx_gelu_slope(nnx_clip(x, T(-40), T(40)))",
    ),
    "gelu_tanh": (
        "x * nnx_sigmoid(nnx_gelu_inner(nnx_clip(x, T(-40), T(40))))",
        "dy * nnx_gelu_tanh_slope(nnx_clip(x, T(-40), T(40)))",
    ),
    "silu": ("x * nnx_sigmoid(x)", "dy * (nnx_sigmoid(x) * (T(1) + x * nnx_sigmoid(-x)))"),
    "sigmoid": ("nnx_sigmoid(x)", "dy * y * (T(1) - y)"),
    "tanh": ("tanh(x)", "dy * (T(1) - y * y)"),
    "softplus": ("nnx_softplus(x)", "-dy * expm1(-y)"),
}

# kind: (a loss's element, its gradient in p), of the target y, the prediction p and the loss's constant a
LOSSES: dict[str, tuple[str, str]] = {
    "squared_error": ("(p - y) * (p - y)", "T(2) * (p - y)"),
    "absolute_error": ("fabs(p - y)", "nnx_sign(p - y)"),
    "huber": (
        "nnx_clip(p - y, -a, a) * (p - y - T(0.5) * nnx_clip(p - y, -a, a))",
        "nnx_clip(p - y, -a, a)",
    ),
    "binary_cross_entropy": (
        "-(y * log(nnx_clip(p, a, T(1) - a)) + (T(1) - y) * log1p(-nnx_clip(p, a, T(1) - a)))",
        "(nnx_clip(p, a, T(1) - a) - y) / (nnx_clip(p, a, T(1) - a) * (T(1) - nnx_clip(p, a, T(1) - a)))",
    ),
    "binary_cross_entropy_from_logits": (
        "(p < T(0) ? T(0) : p) - y * p + log1p(exp(-fabs(p)))",
        "nnx_sigmoid(p) - y",
    ),
    "categorical_cross_entropy": ("-y * log(nnx_clip(p, a, T(1)))", "-y / nnx_clip(p, a, T(1))"),
}

BLOCK = """
#define NNX_THREADS 256
__device__ T nnx_block_sum(T value, T* shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    T total = shared[0];
    __syncthreads();
    return total;
}
__device__ T nnx_block_max(T value, T* shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half && shared[threadIdx.x + half] > shared[threadIdx.x])
            shared[threadIdx.x] = shared[threadIdx.x + half];
        __syncthreads();
    }
    T top = shared[0];
    __syncthreads();
    return top;
}
"""

SOFTMAX = """
extern "C" __global__ void nnx_softmax(const T* x, T* y, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* source = x + row * columns;
        T* target = y + row * columns;
        T top = source[0];
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) top = source[j] > top ? source[j] : top;
        top = nnx_block_max(top, shared);
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) sum += exp(source[j] - top);
        sum = nnx_block_sum(sum, shared);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) target[j] = exp(source[j] - top) / sum;
        __syncthreads();
    }
}
"""

SOFTMAX_BACKWARD = """
extern "C" __global__ void nnx_softmax_backward(
        const T* dy, const T* y, T* dx, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const long long start = row * columns;
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) sum += dy[start + j] * y[start + j];
        sum = nnx_block_sum(sum, shared);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x)
            dx[start + j] = y[start + j] * (dy[start + j] - sum);
    }
}
"""

# Each row's loss, and its gradient times `factor` where `wanted`; {value} and {gradient} are of LOSSES.
ROW_LOSS = """
extern "C" __global__ void nnx_row_loss(
        const T* target, const T* prediction, T* row_losses, T* dy, long long rows, long long columns,
        T a, T factor, long long wanted) {{
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
        const long long start = row * columns;
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) {{
            const T y = target[start + j], p = prediction[start + j];
            sum += {value};
            if (wanted) dy[start + j] = factor * ({gradient});
        }}
        sum = nnx_block_sum(sum, shared);
        if (threadIdx.x == 0) row_losses[row] = sum;
    }}
}}
"""

# The same for categorical cross-entropy on what goes into a softmax, which needs its row's maximum and sums.
ROW_LOSS_SOFTMAX = """
extern "C" __global__ void nnx_row_loss(
        const T* target, const T* prediction, T* row_losses, T* dy, long long rows, long long columns,
        T a, T factor, long long wanted) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* y = target + row * columns;
        const T* z = prediction + row * columns;
        T top = z[0];
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) top = z[j] > top ? z[j] : top;
        top = nnx_block_max(top, shared);
        T total = T(0), mass = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) {
            total += exp(z[j] - top);
            mass += y[j];
        }
        total = nnx_block_sum(total, shared);
        mass = nnx_block_sum(mass, shared);
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) {
            const T shifted = z[j] - top;
            if (y[j] != T(0)) sum += y[j] * (log(total) - shifted);  // 0 times an infinite shift is NaN
            if (wanted) dy[row * columns + j] = factor * (exp(shifted) / total * mass - y[j]);
        }
        sum = nnx_block_sum(sum, shared);
        if (threadIdx.x == 0) row_losses[row] = sum;
    }
}
"""

# value = Σ row_losses · factor, by one block
SUM_LOSS = """
extern "C" __global__ void nnx_sum_loss(const T* row_losses, T* value, long long rows, T factor) {
    __shared__ T shared[NNX_THREADS];
    if (blockIdx.x == 0) {
        T sum = T(0);
        for (long long row = threadIdx.x; row < rows; row += blockDim.x) sum += row_losses[row] * factor;
        sum = nnx_block_sum(sum, shared);
        if (threadIdx.x == 0) value[0] = sum;
    }
}
"""

# dz = dy ∘ f' in passing, db = Σ_rows dz: a block takes blockDim.x neighbouring columns, blockDim.y rows at a
# time. With the identity nothing is written but db ({store} is empty). dz may be dy.
BIAS_GRADIENT = """
extern "C" __global__ void nnx_bias_gradient(
        const T* dys, const T* ys, T* dzs, T* db, long long rows, long long columns, T alpha) {{
    __shared__ T shared[512];
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long first = (long long)blockIdx.x * blockDim.x; first < columns; first += step) {{
        const long long column = first + threadIdx.x;
        T sum = T(0), some = T(0);  // of all rows, and of up to 128 of them: rounding grows as slowly
        if (column < columns) {{
            int count = 0;
            for (long long row = threadIdx.y; row < rows; row += blockDim.y) {{
                const long long at = row * columns + column;
                const T dy = dys[at];
                const T y = ys[at];
                const T dz = {gradient};
                {store}
                some += dz;
                if (++count % 128 == 0) {{ sum += some; some = T(0); }}
            }}
        }}
        sum += some;
        shared[threadIdx.y * blockDim.x + threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && column < columns) {{
            for (unsigned int lane = 1; lane < blockDim.y; ++lane)
                sum += shared[lane * blockDim.x + threadIdx.x];
            db[column] = sum;
        }}
        __syncthreads();
    }}
}}
"""

_HASH = """
__device__ inline unsigned int nnx_mix(unsigned int h) {
    h ^= h >> 16;
    h *= 0x7FEB352Du;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    return h ^ (h >> 16);
}
"""

# name: (inputs, outputs, body, preamble); see `Backend` for each formula. `shrink` is 1 − η·weight_decay.
ELEMENTWISE: dict[str, tuple[str, str, str, str]] = {
    "gather_bytes": (
        "raw uint8 source, int64 row, int64 columns, T divisor",
        "T x",
        "x = T(source[row * columns + i % columns]) / divisor;",
        "",
    ),
    "dropout": (
        "T x, uint32 columns, uint32 row, uint32 low, uint32 high, uint32 threshold, T scale",
        "T y",
        "unsigned int r = row + (unsigned int)(i / columns), c = (unsigned int)(i % columns);"
        " y = nnx_mix((nnx_mix(r ^ low) ^ high) + c * 0x9E3779B1u) >= threshold ? x * scale : T(0);",
        _HASH,
    ),
    "sgd": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2",
        "T w",
        "if (fault[0] == 0) w = w * shrink - rate * (gradient + l2 * w);",
        "",
    ),
    "sgd_momentum": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2, T momentum, bool nesterov",
        "T w, T u",
        "if (fault[0] == 0) {"
        " const T d = rate * (gradient + l2 * w);"
        " u = momentum * u - d;"
        " w = w * shrink + (nesterov ? momentum * u - d : u); }",
        "",
    ),
    "adam": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2, T beta1_rest, T beta2_rest, T epsilon",
        "T w, T m, T v",
        "if (fault[0] == 0) {"
        " const T g = gradient + l2 * w;"
        " m += beta1_rest * (g - m);"
        " v += beta2_rest * (g * g - v);"
        " w = w * shrink - rate * m / (sqrt(v) + epsilon); }",
        "",
    ),
    "rmsprop": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2, T rho_rest, T epsilon",
        "T w, T v",
        "if (fault[0] == 0) {"
        " const T g = gradient + l2 * w;"
        " v += rho_rest * (g * g - v);"
        " w = w * shrink - rate * g / sqrt(v + epsilon); }",
        "",
    ),
    "rmsprop_momentum": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2, T rho_rest, T epsilon, T momentum",
        "T w, T v, T u",
        "if (fault[0] == 0) {"
        " const T g = gradient + l2 * w;"
        " v += rho_rest * (g * g - v);"
        " u = momentum * u + rate * g / sqrt(v + epsilon);"
        " w = w * shrink - u; }",
        "",
    ),
    "adagrad": (
        "T gradient, raw int64 fault, T rate, T shrink, T l2, T epsilon",
        "T w, T total",
        "if (fault[0] == 0) {"
        " const T g = gradient + l2 * w;"
        " total += g * g;"
        " w = w * shrink - rate * g / sqrt(total + epsilon); }",
        "",
    ),
    # many threads may write, all of them the same step
    "fault": (
        "T gradient, raw T value, int64 step",
        "raw int64 fault",
        "if (!(isfinite(gradient) && isfinite(value[0])) && fault[0] == 0) fault[0] = step;",
        "",
    ),
}


def elementwise_sources() -> dict[str, tuple[str, str, str, str]]:
    """Every elementwise kernel by name: (inputs, outputs, body, preamble)."""
    sources = dict(ELEMENTWISE)
    for kind, (forward, backward) in ACTIVATIONS.items():
        sources[f"{kind}_forward"] = ("T x, T alpha", "T y", f"y = {forward};", PREAMBLE)
        sources[f"{kind}_backward"] = ("T dy, T x, T y, T alpha", "T dx", f"dx = {backward};", PREAMBLE)
        sources[f"{kind}_bias"] = (
            "T product, T b, T alpha", "T y", f"const T x = product + b; y = {forward};", PREAMBLE,
        )  # fmt: skip
    return sources


def raw_sources() -> dict[str, tuple[str, str]]:
    """Every raw kernel by name: (function, source without its first line, ``typedef float T;``)."""
    shared = PREAMBLE + BLOCK
    sources = {
        "softmax": ("nnx_softmax", shared + SOFTMAX),
        "softmax_backward": ("nnx_softmax_backward", shared + SOFTMAX_BACKWARD),
        "sum_loss": ("nnx_sum_loss", shared + SUM_LOSS),
        "categorical_cross_entropy_from_logits_loss": ("nnx_row_loss", shared + ROW_LOSS_SOFTMAX),
    }
    for kind, (value, gradient) in LOSSES.items():
        source = ROW_LOSS.format(value=value, gradient=gradient)
        sources[f"{kind}_loss"] = ("nnx_row_loss", shared + source)
    for kind, (_, gradient) in ACTIVATIONS.items():
        store = "" if kind == "identity" else "dzs[at] = dz;"
        source = BIAS_GRADIENT.format(gradient=gradient, store=store)
        if kind not in ("gelu", "gelu_tanh", "silu"):  # not written in y: never fused behind a Dense
            sources[f"{kind}_bias_gradient"] = ("nnx_bias_gradient", PREAMBLE + source)
    return sources


@functools.cache
def elementwise(name: str) -> Any:
    """The kernel of that name; CuPy compiles it for each dtype and device at its first call."""
    inputs, outputs, body, preamble = elementwise_sources()[name]
    return cupy.ElementwiseKernel(inputs, outputs, body, f"nnx_{name}", preamble=preamble)


@functools.cache
def raw(name: str, dtype: str) -> Any:
    """The kernel of that name for ``"float32"`` or ``"float64"``."""
    function, source = raw_sources()[name]
    number = {"float32": "float", "float64": "double"}[dtype]
    return cupy.RawKernel(f"typedef {number} T;\n{source}", function)
