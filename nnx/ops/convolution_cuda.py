"""Convolution on the GPU: columns by a kernel, and one product for each batch; formulas in `convolution`.

The columns of as many images as fit into `COLUMNS` numbers are computed at a time. A gradient is gathered:
each number of dx reads the columns that it was written to, so no two threads write one number, and the same
inputs give the same bits. A convolution with a group for each channel (depthwise) has no product: each number
is a short sum.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnx.ops.activations import ActivationsCuPy
from nnx.ops.base import Array
from nnx.ops.convolution import Buffer, Convolution
from nnx.ops.cuda import COLUMNS as OVER_COLUMNS
from nnx.ops.cuda import Elementwise, Raw
from nnx.ops.dense import BIAS, BIAS_GRADIENT
from nnx.ops.windows import Windows

COLUMNS = 2**25  # numbers in the columns of some images: 128 MiB in float32

NUMBERS = (
    "uint32 height, uint32 width, uint32 channels, uint32 above, uint32 left, uint32 kernel_rows,"
    " uint32 kernel_columns, uint32 down, uint32 across, uint32 row_gap, uint32 column_gap, uint32 rows,"
    " uint32 columns"
)

# `window` counts the windows of all images; `image`, `top` and `start` are its image and its first place
WINDOW = """
const long long image = window / ((long long)rows * columns);
const unsigned int in_image = (unsigned int)(window % ((long long)rows * columns));
const int top = (int)(in_image / columns * down) - (int)above;
const int start = (int)(in_image % columns * across) - (int)left;
"""

# The windows that read the number at `row` and `column` of an image, which count the padding too
OVER_WINDOWS = """
for (unsigned int ki = 0; ki < kernel_rows && ki * row_gap <= row; ++ki) {{
    const unsigned int r = (row - ki * row_gap) / down;
    if ((row - ki * row_gap) % down != 0 || r >= rows) continue;
    for (unsigned int kj = 0; kj < kernel_columns && kj * column_gap <= column; ++kj) {{
        const unsigned int q = (column - kj * column_gap) / across;
        if ((column - kj * column_gap) % across != 0 || q >= columns) continue;
        const long long window = (image * rows + r) * columns + q;
        const unsigned int place = ki * kernel_columns + kj;
        {see}
    }}
}}
"""

# column[i] is one number of one window: those of a group, which begins at the channel `first`
TO_COLUMNS = Elementwise(
    "to_columns",
    inputs=f"raw T x, {NUMBERS}, uint32 first, uint32 inner",
    outputs="T column",
    body=f"""
const unsigned int numbers = kernel_rows * kernel_columns * inner;
const long long window = i / numbers;
const unsigned int place = (unsigned int)(i % numbers) / inner;
{WINDOW}
const int u = top + (int)(place / kernel_columns * row_gap);
const int v = start + (int)(place % kernel_columns * column_gap);
column = T(0);
if (u >= 0 && u < (int)height && v >= 0 && v < (int)width)
    column = x[((image * height + u) * width + v) * channels + first + (unsigned int)(i % inner)]""",
)

# dx[i] is a number of a group; `dcolumns` is the gradient of its columns
FROM_COLUMNS = Elementwise(
    "from_columns",
    inputs=f"raw T dcolumns, {NUMBERS}, uint32 inner",
    outputs="T dx",
    body="""
const long long numbers = (long long)height * width * inner, image = i / numbers;
const unsigned int position = (unsigned int)(i % numbers) / inner, channel = (unsigned int)(i % inner);
const unsigned int row = position / width + above, column = position % width + left;
T sum = T(0);
"""
    + OVER_WINDOWS.format(
        see="sum += dcolumns[(window * kernel_rows * kernel_columns + place) * inner + channel];"
    )
    + "dx = sum",
)

# y[i] for one group for each channel; each channel has filters / channels filters
CHANNELS_FORWARD = Elementwise(
    "convolve_channels",
    inputs=f"raw T x, raw T W, {NUMBERS}, uint32 filters",
    outputs="T y",
    body=f"""
const unsigned int filter = (unsigned int)(i % filters), channel = filter / (filters / channels);
const long long window = i / filters;
{WINDOW}
T sum = T(0);
for (unsigned int ki = 0; ki < kernel_rows; ++ki) {{
    const int u = top + (int)(ki * row_gap);
    if (u < 0 || u >= (int)height) continue;
    for (unsigned int kj = 0; kj < kernel_columns; ++kj) {{
        const int v = start + (int)(kj * column_gap);
        if (v < 0 || v >= (int)width) continue;
        sum += x[((image * height + u) * width + v) * channels + channel]
            * W[(long long)(ki * kernel_columns + kj) * filters + filter];
    }}
}}
y = sum""",
)

CHANNELS_BACKWARD = Elementwise(
    "convolve_channels_back",
    inputs=f"raw T dy, raw T W, {NUMBERS}, uint32 filters",
    outputs="T dx",
    body="""
const long long numbers = (long long)height * width * channels, image = i / numbers;
const unsigned int position = (unsigned int)(i % numbers) / channels, channel = (unsigned int)(i % channels);
const unsigned int row = position / width + above, column = position % width + left;
const unsigned int each = filters / channels;
T sum = T(0);
"""
    + OVER_WINDOWS.format(
        see="for (unsigned int filter = channel * each; filter < (channel + 1) * each; ++filter)"
        " sum += dy[window * filters + filter] * W[(long long)place * filters + filter];"
    )
    + "dx = sum",
)

# dW[place, filter] = Σ_windows x dy, for each place in a window a sum over rows, which are windows
CHANNELS_WEIGHTS = Raw(
    "convolve_channels_weights",
    "nnx_convolve_channels_weights",
    f"""{OVER_COLUMNS}
extern "C" __global__ void NNX_OVER_COLUMNS nnx_convolve_channels_weights(
        const T* x, const T* dy, T* dW, T* parts, unsigned int* done, long long windows, long long filters,
        {NUMBERS.replace("uint32", "unsigned int")}) {{
    const bool fours = filters % 4 == 0 && nnx_aligned(x) && nnx_aligned(dy) && nnx_aligned(dW);
    const unsigned int each = filters / channels;
    for (unsigned int place = blockIdx.z; place < kernel_rows * kernel_columns; place += gridDim.z) {{
        const int below = place / kernel_columns * row_gap, right = place % kernel_columns * column_gap;
        T* const sums[1] = {{dW + place * filters}};
        nnx_columns(
            [=](long long window, long long part, nnx_four* found) {{
                {WINDOW.strip().replace(chr(10), chr(10) + " " * 16)}
                const int u = top + below, v = start + right;
                found[0] = nnx_four{{}};
                if (u < 0 || u >= (int)height || v < 0 || v >= (int)width) return;
                const T* pixel = x + ((image * height + u) * width + v) * channels;
                const nnx_four inputs = nnx_read_at<T>(
                    [=](long long i) {{ return pixel + i / each; }}, part, filters, fours && each == 1);
                found[0] = nnx_read(dy + window * filters, part, filters, fours);
                NNX_FOUR(k) found[0].at[k] *= inputs.at[k];
            }},
            sums, parts, done, windows, filters, fours);
    }}
}}
""",
)


class ConvolutionCuPy(ActivationsCuPy, Convolution):
    """Convolution on the GPU: cuBLAS computes the products, and kernels do the rest."""

    def convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, groups: int, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Use three launches: columns, their product, and bias with f."""
        with self._hold:
            return super().convolution_forward(x, W, b, y, windows, groups, buffer, kind, alpha, factors)

    def convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        groups: int, buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use five launches: one for dz and db, columns and a product for dW, a product and a sum for dx."""
        with self._hold:
            return super().convolution_backward(
                dy, x, W, dW, db, dx, windows, groups, buffer, kind, alpha, y, dz, rounded_dz
            )

    def transposed_convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Use three launches: a product, the sum of its numbers, and bias with f."""
        with self._hold:
            return super().transposed_convolution_forward(x, W, b, y, windows, buffer, kind, alpha, factors)

    def transposed_convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use five launches, as `convolution_backward` does."""
        with self._hold:
            return super().transposed_convolution_backward(
                dy, x, W, dW, db, dx, windows, buffer, kind, alpha, y, dz, rounded_dz
            )

    # ------------------------------------------------------------ the parts of the four

    def _activate(self, y: Array, b: Array | None, kind: str, alpha: float) -> Array:
        """Use one launch for both if there is a kernel for them."""
        if b is None or kind not in BIAS:
            return super()._activate(y, b, kind, alpha)
        flat = y.reshape(-1, y.shape[-1])
        arrays = (flat, self.xp.ascontiguousarray(b), flat)
        BIAS[kind].over_elements(flat, arrays, flat.dtype.type(alpha))
        return y

    def _activate_backward(
        self, dy: Array, db: Array | None, kind: str, alpha: float, y: Array | None, dz: Array | None,
        rounded: Array | None,
    ) -> Array:  # fmt: skip
        """Use one launch for both if there is a kernel for them."""
        dy = self.xp.ascontiguousarray(dy)
        if db is None or kind not in BIAS_GRADIENT:
            dy = super()._activate_backward(dy, None, kind, alpha, y, dz, None)
            kind = "identity"
        ys, dzs = (dy, dy) if kind == "identity" else (self.xp.ascontiguousarray(y), dz)
        if db is not None:
            like = dy.reshape(-1, dy.shape[-1])
            BIAS_GRADIENT[kind].over_columns(self, like, (dy, ys, dzs, db), dy.dtype.type(alpha))
        return dzs if rounded is None else self.round_to_bfloat16(dzs, rounded)

    def _convolve(self, x: Array, W: Array, y: Array, windows: Windows, groups: int, buffer: Buffer) -> None:
        """Write the products directly into y if there is one group."""
        x, filters = self.xp.ascontiguousarray(x), W.shape[-1]
        if windows.pointwise and groups == 1:
            self._product(x.reshape(-1, x.shape[-1]), W[0, 0], y.reshape(-1, filters))
            return
        if W.shape[2] == 1 and groups > 1:
            W = self.xp.ascontiguousarray(W)
            CHANNELS_FORWARD.kernel(
                x.reshape(-1), W.reshape(-1), *_numbers(windows, x), filters, y.reshape(-1)
            )
            return
        for images, group, columns in self._columns(x, windows, groups, buffer):
            part, some = _part(filters, groups, group), y[images].reshape(-1, filters)
            product = some if groups == 1 else buffer("product", (len(some), filters // groups), x.dtype)
            self._product(columns, _of_group("W", W, part, groups, buffer), product)
            if groups > 1:
                some[:, part] = product

    def _convolve_back(
        self, dy: Array, W: Array, dx: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """Compute the gradient of the columns; then each number of dx sums its part of it."""
        dy, filters, inner = self.xp.ascontiguousarray(dy), W.shape[-1], W.shape[2]
        if windows.pointwise and groups == 1:
            self._product(dy.reshape(-1, filters), W[0, 0].T, dx.reshape(-1, inner))
            return
        numbers = _numbers(windows, dx)
        if inner == 1 and groups > 1:
            W = self.xp.ascontiguousarray(W)
            CHANNELS_BACKWARD.kernel(dy.reshape(-1), W.reshape(-1), *numbers, filters, dx.reshape(-1))
            return
        for images, group, columns in self._buffers(dx, windows, groups, buffer):
            part = _part(filters, groups, group)
            some = _of_group("dy", dy[images], part, groups, buffer)
            self._product(some, _of_group("W", W, part, groups, buffer).T, columns)
            target = dx[images][..., _part(dx.shape[-1], groups, group)]
            FROM_COLUMNS.kernel(columns.reshape(-1), *numbers, inner, target)

    def _convolve_weights(
        self, x: Array, dy: Array, dW: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """Write the product directly into dW if the columns of all images fit and there is one group."""
        x, dy = self.xp.ascontiguousarray(x), self.xp.ascontiguousarray(dy)
        filters, inner = dW.shape[-1], dW.shape[2]
        if windows.pointwise and groups == 1:
            self._product(x.reshape(-1, inner).T, dy.reshape(-1, filters), dW[0, 0])
            return
        if inner == 1 and groups > 1:
            self._convolve_channels_weights(x, dy, dW, windows)
            return
        flat = dW.reshape(-1, filters)
        for images, group, columns in self._columns(x, windows, groups, buffer):
            part, first = _part(filters, groups, group), images.start == 0
            direct = first and groups == 1
            product = flat if direct else buffer("product", (len(flat), filters // groups), dW.dtype)
            self._product(columns.T, _of_group("dy", dy[images], part, groups, buffer), product)
            target = flat[:, part]
            if not first:
                target += product
            elif not direct:
                target[...] = product

    def _convolve_channels_weights(self, x: Array, dy: Array, dW: Array, windows: Windows) -> None:
        numbers, places = map(self.xp.uint32, _numbers(windows, x)), windows.kernel[0] * windows.kernel[1]
        like = dy.reshape(-1, dW.shape[-1])
        CHANNELS_WEIGHTS.over_columns(self, like, (x, dy, dW), *numbers, groups=places)

    def _columns(
        self, x: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> Iterator[tuple[slice, int, Array]]:
        """Yield (images, group, columns): a row for each window of these images, in the order of W."""
        inner = x.shape[-1] // groups
        for images, group, columns in self._buffers(x, windows, groups, buffer):
            some = x[images]
            TO_COLUMNS.kernel(
                some.reshape(-1), *_numbers(windows, x), group * inner, inner, columns.reshape(-1)
            )
            yield images, group, columns

    def _buffers(
        self, x: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> Iterator[tuple[slice, int, Array]]:
        """Yield (images, group, memory for their columns)."""
        rows, inner = x.shape[0], x.shape[-1] // groups
        shape = (windows.outputs[0] * windows.outputs[1], windows.kernel[0] * windows.kernel[1] * inner)
        count = max(1, min(rows, COLUMNS // (shape[0] * shape[1])))
        columns = buffer("columns", (count * shape[0], shape[1]), x.dtype)
        for first in range(0, rows, count):
            images = slice(first, min(first + count, rows))
            for group in range(groups):
                yield images, group, columns[: (images.stop - first) * shape[0]]


def _numbers(windows: Windows, image: Array) -> tuple[int, ...]:
    """Return the numbers of a kernel."""
    sizes = (windows.before, windows.kernel, windows.strides, windows.dilation, windows.outputs)
    return (*windows.size, image.shape[-1], *(one for pair in sizes for one in pair))


def _part(size: int, groups: int, group: int) -> slice:
    """Return which of `size` channels or filters a group has."""
    return slice(group * size // groups, (group + 1) * size // groups)


def _of_group(name: str, x: Array, part: slice, groups: int, buffer: Buffer) -> Array:
    """Return the filters of a group as a contiguous matrix, as products need them."""
    flat = x.reshape(-1, x.shape[-1])
    if groups == 1:
        return flat
    copied = buffer(f"{name} of a group", (len(flat), part.stop - part.start), x.dtype)
    copied[...] = flat[:, part]
    return copied
