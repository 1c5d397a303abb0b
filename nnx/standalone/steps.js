// The steps of a network in JavaScript; a stand-alone file gets those that it uses.
// A row is a Float64Array, the last axis fastest. All is computed in float64.

/** Return stored numbers as nested arrays: little-endian floats of a kind, f or d, as base64. */
function numbers(text, kind, ...shape) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = kind === "f" ? new Float32Array(bytes.length / 4) : new Float64Array(bytes.length / 8);
  for (let i = 0; i < values.length; i++) {
    values[i] = kind === "f" ? view.getFloat32(4 * i, true) : view.getFloat64(8 * i, true);
  }
  return nested(values, shape);
}

/** Return the numbers of an array of a shape as nested arrays; those on the last axis stay together. */
function nested(values, shape) {
  if (shape.length === 1) return values;
  const size = values.length / shape[0], inner = shape.slice(1);
  return Array.from({ length: shape[0] }, (_, i) => nested(values.subarray(i * size, (i + 1) * size), inner));
}

/** Return nested arrays of ordinary numbers. */
function plain(values) {
  return Array.from(values, (value) => (typeof value === "number" ? value : plain(value)));
}

/** Return a matrix with the columns as rows. */
function transposed(W) {
  return Array.from(W[0], (_, j) => Float64Array.from(W, (row) => row[j]));
}

/**
 * Return the numbers of a row that is an object with a cell for each column; arrays are returned as they are.
 *
 * A text becomes 1 in its own number, and 0 in those of the other texts of its column. A text that the model
 * has not seen is 0 in all of them. An empty cell becomes the number that the model has for its column.
 */
function features(row, columns) {
  if (row?.length !== undefined) return row;
  const empty = ["", "na", "n/a", "#n/a", "nan", "-nan", "null", "<na>", "?"];
  return columns.flatMap(([name, texts, fill]) => {
    if (!Object.hasOwn(row, name)) throw new Error(`a row has no column ${JSON.stringify(name)}`);
    let text = String(row[name] ?? "").trim();
    if (empty.includes(text.toLowerCase())) text = "";
    if (texts.length) return texts.map((one) => Number(text === one));
    if (text === "" && fill === null) {
      throw new Error(`column ${JSON.stringify(name)} is empty, and the model has no number for it`);
    }
    if (text === "") return [fill];
    const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
    return [typeof row[name] === "string" && isNumber ? Number(text) : row[name]];
  });
}

/** Return the sizes of the axes of a row. */
function axes(row) {
  return typeof row === "object" && row !== null ? [row.length, ...axes(row[0])] : [];
}

/** Return the numbers of a row, after checking them; an image has this shape, or is flat. */
function checked(row, shape) {
  const found = flat(row), count = shape.reduce((a, b) => a * b, 1), sizes = axes(row);
  if (found.length !== count) throw new Error(`a row has ${count} numbers, not ${found.length}`);
  if (shape.length > 1 && sizes.length > 1 && String(sizes) !== String(shape)) {
    throw new Error(`a row has the shape [${shape}], not [${sizes}]`);
  }
  const wrong = found.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new Error(`a row has ${String(found[wrong])}, which is no finite number`);
  return Float64Array.from(found);
}

/** Return the numbers of nested arrays in one array. */
function flat(values, found = []) {
  if (values?.length === undefined) throw new Error("a row must be an array of numbers");
  for (const value of values) {
    if (typeof value === "object") flat(value, found);
    else found.push(value);
  }
  return found;
}

/** Return the place of the largest number; of the first, if there are several. */
function largest(y) {
  return y.reduce((best, value, place) => (value > y[best] ? place : best), 0);
}

/**
 * Return the largest difference, after checking that no number differs by more than rounding.
 *
 * In each place of an answer, a number may differ by `tolerance` times the largest expected number there, and
 * a hundredth of this for the largest of all.
 */
function compare(found, expected, tolerance) {
  const most = expected[0].map((_, j) => Math.max(...expected.map((y) => Math.abs(y[j]))));
  const top = most.reduce((a, b) => Math.max(a, b));
  let difference = 0;
  expected.forEach((y, i) => y.forEach((value, j) => {
    const here = Math.abs(found[i][j] - value);
    if (!(here <= tolerance * (most[j] + 0.01 * top))) {
      throw new Error(`this file computes other numbers than nnx: ${found[i][j]}, not ${value}`);
    }
    difference = Math.max(difference, here);
  }));
  return difference;
}

/** Return a row of whole numbers from 0 to limit - 1, after checking them. */
function whole(x, limit) {
  const wrong = x.find((v) => !Number.isInteger(v) || v < 0 || v >= limit);
  if (wrong !== undefined) throw new Error(`${wrong} is not a whole number from 0 to ${limit - 1}`);
  return x;
}

/** Round to float32: the network was trained on such inputs. */
function float32(x) {
  const y = x.map(Math.fround);
  if (!y.every(Number.isFinite)) throw new Error("a number is too large for the network's float32");
  return y;
}

/** Return (x - shift) / scale, each repeated along the row. */
function standardize(x, shift, scale) {
  return x.map((v, i) => (v - shift[i % shift.length]) / scale[i % scale.length]);
}

/** Return (x - center) * factor + offset, each repeated along the row. */
function affine(x, center, factor, offset) {
  const at = (values, i) => values[i % values.length];
  return x.map((v, i) => (v - at(center, i)) * at(factor, i) + at(offset, i));
}

/** Return sum + the products of w with the numbers of x from a place on. */
function dot(x, from, w, sum) {
  for (let i = 0; i < w.length; i++) sum += x[from + i] * w[i];
  return sum;
}

/** Return x W + b for each part of the row; W has a row of weights for each unit. */
function dense(x, W, b) {
  const inputs = W[0].length, y = new Float64Array((x.length / inputs) * W.length);
  for (let from = 0, i = 0; from < x.length; from += inputs) {
    for (let unit = 0; unit < W.length; unit++) y[i++] = dot(x, from, W[unit], b[unit]);
  }
  return y;
}

/** Return x_g W_g + b_g: each part of the row has its own weights, which repeat. */
function groupedDense(x, W, b) {
  const inputs = W[0][0].length, units = W[0].length, y = new Float64Array((x.length / inputs) * units);
  for (let part = 0; part * inputs < x.length; part++) {
    const group = part % W.length;
    y.set(dense(x.subarray(part * inputs, (part + 1) * inputs), W[group], b[group]), part * units);
  }
  return y;
}

/** Return for each window the places in the image of its numbers, row by row; -1 is padding. */
function windows(size, kernel, strides, dilation, before, outputs) {
  const found = [];
  for (let row = 0; row < outputs[0]; row++) {
    for (let column = 0; column < outputs[1]; column++) {
      const places = [];
      for (let i = 0; i < kernel[0]; i++) {
        for (let j = 0; j < kernel[1]; j++) {
          const r = row * strides[0] - before[0] + i * dilation[0];
          const q = column * strides[1] - before[1] + j * dilation[1];
          const inside = r >= 0 && r < size[0] && q >= 0 && q < size[1];
          places.push(inside ? r * size[1] + q : -1);
        }
      }
      found.push(places);
    }
  }
  return found;
}

/** Multiply each window with each filter; W has the numbers of a window for each filter. */
function convolution(x, W, b, places, channels, groups) {
  const width = channels / groups, filters = W.length / groups;
  const y = new Float64Array(places.length * W.length);
  const seen = new Float64Array(W[0].length); // the numbers of one window
  places.forEach((window, place) => {
    for (let group = 0; group < groups; group++) {
      window.forEach((pixel, k) => {
        const from = pixel * channels + group * width;
        for (let c = 0; c < width; c++) seen[k * width + c] = pixel < 0 ? 0 : x[from + c];
      });
      for (let f = group * filters; f < (group + 1) * filters; f++) {
        y[place * W.length + f] = dot(seen, 0, W[f], b[f]);
      }
    }
  });
  return y;
}

/** Add x W_k at the k-th place of the window of each pixel; W has a row for each place and filter. */
function transposedConvolution(x, W, b, places, size) {
  const filters = b.length, channels = W[0][0].length;
  const y = new Float64Array(size * filters).map((_, i) => b[i % filters]);
  places.forEach((window, pixel) => window.forEach((place, k) => {
    if (place < 0) return;
    for (let f = 0; f < filters; f++) {
      y[place * filters + f] = dot(x, pixel * channels, W[k][f], y[place * filters + f]);
    }
  }));
  return y;
}

/** Return the largest number of each window, channel by channel. */
function maxPool(x, places, channels) {
  return new Float64Array(places.length * channels).map((_, i) => {
    let best = -Infinity;
    for (const place of places[Math.floor(i / channels)]) {
      if (place >= 0) best = Math.max(best, x[place * channels + (i % channels)]);
    }
    return best;
  });
}

/** Return the mean of each window, channel by channel; padding does not count. */
function averagePool(x, places, channels) {
  return new Float64Array(places.length * channels).map((_, i) => {
    const inside = places[Math.floor(i / channels)].filter((place) => place >= 0);
    return inside.reduce((sum, place) => sum + x[place * channels + (i % channels)], 0) / inside.length;
  });
}

/** Repeat each pixel times[0] * times[1] times. */
function upsample(x, height, width, times) {
  const channels = x.length / (height * width), columns = width * times[1];
  return new Float64Array(x.length * times[0] * times[1]).map((_, i) => {
    const place = Math.floor(i / channels);
    const row = Math.floor(Math.floor(place / columns) / times[0]);
    const column = Math.floor((place % columns) / times[1]);
    return x[(row * width + column) * channels + (i % channels)];
  });
}

/** Return the vector of each whole number. */
function embedding(x, W) {
  const units = W[0].length;
  return new Float64Array(x.length * units).map((_, i) => W[x[Math.floor(i / units)]][i % units]);
}

/** Return the vector of each column's category; a number that is no category counts as 0. */
function categoryEmbedding(x, W, begins, limits) {
  const units = W[0].length, count = limits.length;
  return new Float64Array(x.length * units).map((_, i) => {
    const place = Math.floor(i / units), column = place % count;
    const category = rounded(x[place]);
    return W[begins[column] + (category >= 0 && category < limits[column] ? category : 0)][i % units];
  });
}

/** Round to the nearest whole number; a half to the even one. */
function rounded(v) {
  const near = Math.round(v);
  return near - v === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

/** Return min(max(x * slope + start, lowest), highest) for each bin of each number. */
function piecewise(x, slope, start, lowest, highest) {
  const bins = slope[0].length;
  return new Float64Array(x.length * bins).map((_, i) => {
    const t = i % bins, j = (i - t) / bins, row = j % slope.length;
    return Math.min(Math.max(x[j] * slope[row][t] + start[row][t], lowest[row][t]), highest[row][t]);
  });
}

/** Return the cosines and the sines of 2 pi c x for each number. */
function periodic(x, c) {
  const count = c[0].length;
  return new Float64Array(x.length * 2 * count).map((_, i) => {
    const t = i % (2 * count), j = (i - t) / (2 * count);
    const angle = 2 * Math.PI * c[j % c.length][t % count] * x[j];
    return t < count ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Return e^x / sum of e^x for each part of the row. */
function softmax(x, columns) {
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i += columns) {
    const part = x.subarray(i, i + columns);
    const top = part.reduce((a, b) => Math.max(a, b));
    const powers = part.map((v) => Math.exp(v - top));
    const total = powers.reduce((a, b) => a + b);
    y.set(powers.map((power) => power / total), i);
  }
  return y;
}

/** Return x where x > 0, else alpha x. */
function prelu(x, alpha) {
  return x.map((v, i) => (v > 0 ? v : alpha[i % alpha.length] * v));
}

/** Bring each part of the row to mean 0 and variance 1, then compute x gamma + beta. */
function layerNorm(x, gamma, beta, epsilon) {
  const y = new Float64Array(x.length), size = gamma.length;
  for (let i = 0; i < x.length; i += size) {
    const part = x.subarray(i, i + size);
    const mean = part.reduce((a, b) => a + b) / size;
    const variance = part.reduce((sum, v) => sum + (v - mean) * (v - mean), 0) / size;
    const scale = 1 / Math.sqrt(variance + epsilon);
    y.set(part.map((v, j) => (v - mean) * scale * gamma[j] + beta[j]), i);
  }
  return y;
}

/** Add up the first number and the softplus of the others, in each part of the row. */
function ascending(x, columns) {
  const y = Float64Array.from(x);
  for (let i = 0; i < y.length; i++) {
    if (i % columns > 0) y[i] = y[i - 1] + softplus(x[i]);
  }
  return y;
}

/** Take some numbers of each part of the row. */
function columns(x, inputs, start, count) {
  return x.filter((_, i) => i % inputs >= start && i % inputs < start + count);
}

/** Return the sum of two rows. */
function add(x, other) {
  return x.map((v, i) => v + other[i]);
}

/** Join rows part by part; each is given with the size of its parts. */
function concatenate(...rows) {
  const y = new Float64Array(rows.reduce((sum, [x]) => sum + x.length, 0));
  const whole = rows.reduce((sum, [, size]) => sum + size, 0);
  let start = 0;
  for (const [x, size] of rows) {
    x.forEach((v, i) => { y[Math.floor(i / size) * whole + start + (i % size)] = v; });
    start += size;
  }
  return y;
}

/** Return the mean and the standard deviation of each target, in the units of the data. */
function spread(x, shift, scale, epsilon) {
  return x.map((v, i) => {
    const j = (i - (i % 2)) / 2, factor = scale[j % scale.length];
    return i % 2 ? (softplus(v) + epsilon) * factor : v * factor + shift[j % shift.length];
  });
}
