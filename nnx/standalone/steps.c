/* The functions of stand-alone C models. A model's file gets those that it calls; see nnx/standalone/c.py.
 * real is float or double; R(exp) is expf or exp. A line "needs" names the functions that one calls. */

/* @ not_finite */
/* Return the position, from 1, of the first number that is NaN or infinite; 0 if there is none. */
static int not_finite(const real *x, int count)
{
    for (int i = 0; i < count; i++)
        if (!(R(fabs)(x[i]) <= LARGEST))
            return i + 1;
    return 0;
}

/* @ out_of_range */
/* Return the position, from 1, of the first number outside 0 ... limit - 1; 0 if there is none. */
static int out_of_range(const int32_t *x, int count, int32_t limit)
{
    for (int i = 0; i < count; i++)
        if (x[i] < 0 || x[i] >= limit)
            return i + 1;
    return 0;
}

/* @ products */
/* Add x W to sums[0 ... 7]: eight columns of W, whose rows are stride numbers apart. */
static inline void products8(const real *x, const real *W, int count, int stride, real *sums)
{
    real s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    real s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    for (int i = 0; i < count; i++, W += stride) {
        const real u = x[i];
        s0 += u * W[0];
        s1 += u * W[1];
        s2 += u * W[2];
        s3 += u * W[3];
        s4 += u * W[4];
        s5 += u * W[5];
        s6 += u * W[6];
        s7 += u * W[7];
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    sums[4] = s4, sums[5] = s5, sums[6] = s6, sums[7] = s7;
}

/* Add x W to sums, for any number of columns. */
static void products(const real *x, const real *W, int count, int stride, real *sums, int columns)
{
    int j = 0;
    for (; j + 8 <= columns; j += 8)
        products8(x, W + j, count, stride, sums + j);
    for (; j < columns; j++) {
        real sum = sums[j];
        for (int i = 0; i < count; i++)
            sum += x[i] * W[i * stride + j];
        sums[j] = sum;
    }
}

/* @ dense needs products */
/* y = x W + b, for each row. */
static void dense(const real *x, const real *W, const real *b, real *y, int rows, int inputs, int units)
{
    for (int r = 0; r < rows; r++, x += inputs, y += units) {
        for (int j = 0; j < units; j++)
            y[j] = b[j];
        products(x, W, inputs, units, y, units);
    }
}

/* @ tied_dense */
/* y = x W' + b, for each row; W has the shape (units, inputs). */
static void tied_dense(const real *x, const real *W, const real *b, real *y, int rows, int inputs, int units)
{
    for (int r = 0; r < rows; r++, x += inputs, y += units)
        for (int j = 0; j < units; j++) {
            real sum = b[j];
            for (int i = 0; i < inputs; i++)
                sum += x[i] * W[j * inputs + i];
            y[j] = sum;
        }
}

/* @ grouped_dense needs dense */
/* y = x W + b for each group of numbers, which has its own W and b. */
static void grouped_dense(const real *x, const real *W, const real *b, real *y, int rows, int groups, int inputs,
                          int units)
{
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < groups; g++, x += inputs, y += units)
            dense(x, W + g * inputs * units, b + g * units, y, 1, inputs, units);
}

/* @ windows */
/* Windows on an image; each pair is height and width. */
typedef struct {
    int size[2], kernel[2], strides[2], dilation[2], before[2], outputs[2];
} windows;

/* @ convolution needs windows products */
/* Channels come last; W has the shape (height, width, channels / groups, filters); b may be NULL. */
static void convolution(const real *x, const real *W, const real *b, real *y, const windows *w, int channels,
                        int filters, int groups)
{
    const int taken = channels / groups, made = filters / groups;
    for (int p = 0; p < w->outputs[0]; p++)
        for (int q = 0; q < w->outputs[1]; q++, y += filters) {
            for (int f = 0; f < filters; f++)
                y[f] = b ? b[f] : 0;
            for (int i = 0; i < w->kernel[0]; i++) {
                const int u = p * w->strides[0] + i * w->dilation[0] - w->before[0];
                if (u < 0 || u >= w->size[0])
                    continue;
                for (int j = 0; j < w->kernel[1]; j++) {
                    const int v = q * w->strides[1] + j * w->dilation[1] - w->before[1];
                    if (v < 0 || v >= w->size[1])
                        continue;
                    const real *pixel = x + (u * w->size[1] + v) * channels;
                    const real *at = W + (i * w->kernel[1] + j) * taken * filters;
                    for (int g = 0; g < groups; g++)
                        products(pixel + g * taken, at + g * made, taken, filters, y + g * made, made);
                }
            }
        }
}

/* @ transposed_convolution needs windows products */
/* The outputs of the windows are the image x, and their image is y; W: (height, width, channels, filters). */
static void transposed_convolution(const real *x, const real *W, const real *b, real *y, const windows *w,
                                   int channels, int filters)
{
    for (int i = 0; i < w->size[0] * w->size[1]; i++)
        for (int f = 0; f < filters; f++)
            y[i * filters + f] = b ? b[f] : 0;
    for (int p = 0; p < w->outputs[0]; p++)
        for (int q = 0; q < w->outputs[1]; q++, x += channels)
            for (int i = 0; i < w->kernel[0]; i++) {
                const int u = p * w->strides[0] + i * w->dilation[0] - w->before[0];
                if (u < 0 || u >= w->size[0])
                    continue;
                for (int j = 0; j < w->kernel[1]; j++) {
                    const int v = q * w->strides[1] + j * w->dilation[1] - w->before[1];
                    if (v < 0 || v >= w->size[1])
                        continue;
                    products(x, W + (i * w->kernel[1] + j) * channels * filters, channels, filters,
                             y + (u * w->size[1] + v) * filters, filters);
                }
            }
}

/* @ max_pool needs windows */
/* The maximum of each channel over each window; NaN if there is one. */
static void max_pool(const real *x, real *y, const windows *w, int channels)
{
    for (int p = 0; p < w->outputs[0]; p++)
        for (int q = 0; q < w->outputs[1]; q++, y += channels)
            for (int c = 0; c < channels; c++) {
                real most = -LARGEST;
                for (int i = 0; i < w->kernel[0]; i++)
                    for (int j = 0; j < w->kernel[1]; j++) {
                        const int u = p * w->strides[0] + i - w->before[0];
                        const int v = q * w->strides[1] + j - w->before[1];
                        if (u < 0 || u >= w->size[0] || v < 0 || v >= w->size[1])
                            continue;
                        const real value = x[(u * w->size[1] + v) * channels + c];
                        if (!(value <= most) && most == most) /* NaN stays */
                            most = value;
                    }
                y[c] = most;
            }
}

/* @ average_pool needs windows */
/* The mean of each channel over the part of each window that lies in the image. */
static void average_pool(const real *x, real *y, const windows *w, int channels)
{
    for (int p = 0; p < w->outputs[0]; p++)
        for (int q = 0; q < w->outputs[1]; q++, y += channels)
            for (int c = 0; c < channels; c++) {
                real sum = 0;
                int count = 0;
                for (int i = 0; i < w->kernel[0]; i++)
                    for (int j = 0; j < w->kernel[1]; j++) {
                        const int u = p * w->strides[0] + i - w->before[0];
                        const int v = q * w->strides[1] + j - w->before[1];
                        if (u < 0 || u >= w->size[0] || v < 0 || v >= w->size[1])
                            continue;
                        sum += x[(u * w->size[1] + v) * channels + c];
                        count++;
                    }
                y[c] = sum / (real)count;
            }
}

/* @ upsample */
/* Repeat the rows and the columns of an image of this height and width. */
static void upsample(const real *x, real *y, int height, int width, int channels, int down, int right)
{
    for (int p = 0; p < height * down; p++)
        for (int q = 0; q < width * right; q++)
            for (int c = 0; c < channels; c++)
                *y++ = x[(p / down * width + q / right) * channels + c];
}

/* @ embedding */
/* A row of W for each integer. */
static void embedding(const int32_t *x, const real *W, real *y, int count, int units)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j < units; j++)
            *y++ = W[x[i] * units + j];
}

/* @ category_embedding */
/* A row of W for each category; column j has limits[j] of them, from row begins[j]. Others count as 0. */
static void category_embedding(const real *x, const real *W, const int32_t *begins, const int32_t *limits, real *y,
                               int rows, int columns, int units)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++) {
            const real rounded = R(rint)(*x++);
            const int known = rounded >= 0 && rounded < (real)limits[j];
            const int32_t row = begins[j] + (known ? (int32_t)rounded : 0);
            for (int k = 0; k < units; k++)
                *y++ = W[row * units + k];
        }
}

/* @ piecewise */
/* A number for each bin of each number: x slope + start, limited. */
static void piecewise(const real *x, const real *slope, const real *start, const real *lowest, const real *highest,
                      real *y, int rows, int features, int bins)
{
    for (int r = 0; r < rows; r++, x += features)
        for (int t = 0; t < features * bins; t++) {
            const real value = x[t / bins] * slope[t] + start[t];
            *y++ = value < lowest[t] ? lowest[t] : value > highest[t] ? highest[t] : value;
        }
}

/* @ periodic */
/* Cosines, then sines, of 2 pi c x for each number. */
static void periodic(const real *x, const real *c, real *y, int rows, int features, int frequencies)
{
    for (int i = 0; i < rows * features; i++, y += 2 * frequencies)
        for (int t = 0; t < frequencies; t++) {
            const real angle = x[i] * c[i % features * frequencies + t] * (real)6.283185307179586;
            y[t] = R(cos)(angle);
            y[frequencies + t] = R(sin)(angle);
        }
}

/* @ columns */
/* Some of the numbers of each row. */
static void columns(const real *x, real *y, int rows, int inputs, int start, int count)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < count; j++)
            *y++ = x[r * inputs + start + j];
}

/* @ place */
/* Write rows next to what other parts write: columns start to start + width - 1 of rows of this total width. */
static void place(const real *x, real *y, int rows, int width, int start, int total)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < width; j++)
            y[r * total + start + j] = *x++;
}

/* @ prelu */
/* Negative numbers times their slope; the slopes repeat. */
static void prelu(const real *x, const real *alpha, real *y, int count, int period)
{
    for (int r = 0; r < count; r += period)
        for (int k = 0; k < period; k++)
            y[r + k] = x[r + k] > 0 ? x[r + k] : alpha[k] * x[r + k];
}

/* @ layer_norm */
/* Mean 0 and variance 1 in each row, then gamma and beta. */
static void layer_norm(const real *x, const real *gamma, const real *beta, real *y, int rows, int columns, real epsilon)
{
    for (int r = 0; r < rows; r++, x += columns, y += columns) {
        real mean = 0, variance = 0;
        for (int j = 0; j < columns; j++)
            mean += x[j];
        mean /= (real)columns;
        for (int j = 0; j < columns; j++)
            variance += (x[j] - mean) * (x[j] - mean);
        const real deviation = R(sqrt)(variance / (real)columns + epsilon);
        for (int j = 0; j < columns; j++)
            y[j] = gamma[j] * ((x[j] - mean) / deviation) + beta[j];
    }
}

/* @ softmax */
/* exp(x) / sum of exp(x), for each row. */
static void softmax(const real *x, real *y, int rows, int columns)
{
    for (int r = 0; r < rows; r++, x += columns, y += columns) {
        real most = x[0], sum = 0;
        for (int j = 1; j < columns; j++)
            most = x[j] > most ? x[j] : most;
        for (int j = 0; j < columns; j++)
            sum += y[j] = R(exp)(x[j] - most);
        for (int j = 0; j < columns; j++)
            y[j] /= sum;
    }
}

/* @ sigmoid */
static real sigmoid(real x)
{
    const real e = R(exp)(-R(fabs)(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

/* @ softplus */
static real softplus(real x)
{
    return (x > 0 ? x : 0) + R(log1p)(R(exp)(-R(fabs)(x)));
}

/* @ ascending needs softplus */
/* The first number, then each plus the softplus of the next, in each row. */
static void ascending(const real *x, real *y, int rows, int columns)
{
    for (int r = 0; r < rows; r++, x += columns, y += columns) {
        real sum = y[0] = x[0];
        for (int j = 1; j < columns; j++)
            y[j] = sum += softplus(x[j]);
    }
}

/* @ relu */
static real relu(real x)
{
    return x < 0 ? 0 : x; /* NaN stays NaN */
}

/* @ leaky_relu */
static real leaky_relu(real x, real alpha)
{
    return x > 0 ? x : alpha * x;
}

/* @ elu */
static real elu(real x, real alpha)
{
    return x > 0 ? x : alpha * R(expm1)(x);
}

/* @ selu */
static real selu(real x)
{
    return x > 0 ? (real)1.0507009873554805 * x : (real)1.7580993408473766 * R(expm1)(x);
}

/* @ gelu */
static real gelu(real x)
{
    return (real)0.5 * x * R(erfc)(x * (real)-0.7071067811865476);
}

/* @ gelu_tanh needs sigmoid */
static real gelu_tanh(real x)
{
    const real z = x < -40 ? -40 : x > 40 ? 40 : x;
    return x * sigmoid((real)1.5957691216057308 * z * (1 + (real)0.044715 * z * z));
}

/* @ silu needs sigmoid */
static real silu(real x)
{
    return x * sigmoid(x);
}

/* @ mish */
static real mish(real x)
{
    const real e = R(exp)(-R(fabs)(x));
    const real above = x > 0 ? 1 + 2 * e : e * (e + 2), rest = x > 0 ? 2 * e * e : 2;
    return x * (above / (above + rest));
}

/* @ hard_sigmoid */
static real hard_sigmoid(real x)
{
    return (x < -3 ? 0 : x > 3 ? 6 : x + 3) / 6;
}
