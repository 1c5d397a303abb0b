// The layers. x, y, dy and dx hold one row after the other; a pass writes y, or dx and the gradients.

class Layer {
  constructor(kind, inputs, settings) {
    Object.assign(this, { kind, inputs, outputs: inputs, settings, trainable: settings.trainable !== false });
    Object.assign(this, { parameters: {}, gradients: {}, statistics: {} }); // by name, views of the network's
    Object.assign(this, { x: null, y: null, dy: null, dx: null, training: false }); // of the last pass
  }
  shapes() { return {}; } // of the parameters
  statisticShapes() { return {}; }
  initialize() {}
  draw() {} // random numbers for a step
}

class Dense extends Layer {
  constructor(inputs, settings) {
    super("Dense", inputs, settings);
    this.outputs = settings.units;
  }
  shapes() { return { W: [this.inputs, this.outputs], b: [this.outputs] }; }
  initialize(generator) {
    const own = this.settings.seed === undefined ? generator : new Generator(this.settings.seed, "weights");
    drawWeights(own, this.settings.initializer, this.inputs, this.outputs, this.parameters.W);
  }

  // y = x W + b
  forward(x, y, rows) {
    const { inputs, outputs } = this, { W, b } = this.parameters;
    for (let row = 0; row < rows; row++) {
      const from = row * inputs, to = row * outputs;
      for (let j = 0; j < outputs; j++) y[to + j] = b[j];
      for (let i = 0; i < inputs; i++) {
        const factor = x[from + i], start = i * outputs;
        for (let j = 0; j < outputs; j++) y[to + j] += factor * W[start + j];
      }
    }
  }

  // dW = xᵀ dy, db = Σ dy over the rows, dx = dy Wᵀ
  backward(dy, dx, rows) {
    const { inputs, outputs, x } = this, { W } = this.parameters, { W: dW, b: db } = this.gradients;
    dW.fill(0);
    db.fill(0);
    for (let row = 0; row < rows; row++) {
      const from = row * inputs, to = row * outputs;
      for (let j = 0; j < outputs; j++) db[j] += dy[to + j];
      for (let i = 0; i < inputs; i++) {
        const factor = x[from + i], start = i * outputs;
        let sum = 0;
        for (let j = 0; j < outputs; j++) {
          dW[start + j] += factor * dy[to + j];
          sum += dy[to + j] * W[start + j];
        }
        if (dx !== null) dx[from + i] = sum;
      }
    }
  }
}

// y = f(x), for each number
class Elementwise extends Layer {
  constructor(inputs, settings, record) {
    super(record.kind, inputs, settings);
    Object.assign(this, { f: record.f, slope: record.slope, alpha: settings.alpha ?? 0 });
  }
  forward(x, y, rows) {
    const { f, alpha } = this, size = rows * this.outputs;
    for (let i = 0; i < size; i++) y[i] = f(x[i], alpha);
  }
  backward(dy, dx, rows) {
    if (dx === null) return;
    const { slope, alpha, x, y } = this, size = rows * this.outputs;
    for (let i = 0; i < size; i++) dx[i] = dy[i] * slope(x[i], y[i], alpha);
  }
}

// y = x where x > 0, else α x, with trained slopes α: one for each column, or one for all
class PReLU extends Layer {
  constructor(inputs, settings) {
    super("PReLU", inputs, settings);
    this.slopes = settings.shared_axes === null ? inputs : 1;
  }
  shapes() { return { alpha: [this.slopes] }; }
  initialize() { this.parameters.alpha.fill(this.settings.initial); }
  forward(x, y, rows) {
    const { alpha } = this.parameters, size = rows * this.outputs;
    for (let i = 0; i < size; i++) y[i] = x[i] > 0 ? x[i] : alpha[i % this.slopes] * x[i];
  }
  // dα = Σ dy min(x, 0)
  backward(dy, dx, rows) {
    const { x } = this, { alpha } = this.parameters, { alpha: dalpha } = this.gradients;
    dalpha.fill(0);
    for (let i = 0; i < rows * this.outputs; i++) {
      const column = i % this.slopes;
      dalpha[column] += dy[i] * Math.min(x[i], 0);
      if (dx !== null) dx[i] = x[i] > 0 ? dy[i] : alpha[column] * dy[i];
    }
  }
}

// y_j = e^x_j / Σ_k e^x_k in each row; dx = y (dy − Σ_k dy_k y_k)
class Softmax extends Layer {
  constructor(inputs, settings) { super("Softmax", inputs, settings); }
  forward(x, y, rows) {
    for (let row = 0; row < rows; row++) softmaxRow(x, y, row * this.outputs, this.outputs);
  }
  backward(dy, dx, rows) {
    if (dx === null) return;
    const { outputs, y } = this;
    for (let row = 0; row < rows; row++) {
      const start = row * outputs;
      let sum = 0;
      for (let j = start; j < start + outputs; j++) sum += dy[j] * y[j];
      for (let j = start; j < start + outputs; j++) dx[j] = y[j] * (dy[j] - sum);
    }
  }
}

function softmaxRow(x, y, start, columns) {
  let top = -Infinity, total = 0;
  for (let j = start; j < start + columns; j++) top = Math.max(top, x[j]);
  for (let j = start; j < start + columns; j++) total += y[j] = Math.exp(x[j] - top);
  for (let j = start; j < start + columns; j++) y[j] /= total;
}

// A layer that draws random numbers in training: from the seed, the step, its number, the row and the column.
class Random extends Layer {
  constructor(kind, inputs, settings) {
    super(kind, inputs, settings);
    this.key = new Uint32Array(2);
  }
  draw(seed, step) { layerKey(seed, step, this.index, this.key); }
}

// y = x ∘ mask · scale, where the mask keeps a number with probability 1 − rate
class Dropout extends Random {
  constructor(inputs, settings) {
    super("Dropout", inputs, settings);
    this.scale = 1 / (1 - settings.rate);
  }
  forward(x, y, rows, training) { this.mask(x, y, rows, training); }
  backward(dy, dx, rows) { if (dx !== null) this.mask(dy, dx, rows, this.training); }
  mask(source, target, rows, training) {
    const { key, outputs, scale } = this, { rate } = this.settings;
    const threshold = Math.min(Math.floor(rate * 4294967296), 0xffffffff);
    for (let row = 0; row < rows; row++) {
      const bits = rowBits(key, row), start = row * outputs;
      for (let j = 0; j < outputs; j++) {
        const kept = !training || rate === 0 || columnBits(bits, j) >= threshold;
        target[start + j] = kept ? source[start + j] * (training ? scale : 1) : 0;
      }
    }
  }
}

class MaskNoise extends Dropout {
  constructor(inputs, settings) {
    super(inputs, settings);
    this.kind = "MaskNoise";
    this.scale = 1;
  }
}

// y = x + stddev · n, where n is standard normal (Box and Muller, 1958)
class GaussianNoise extends Random {
  constructor(inputs, settings) { super("GaussianNoise", inputs, settings); }
  forward(x, y, rows, training) {
    const { key, outputs } = this, { stddev } = this.settings;
    for (let row = 0; row < rows; row++) {
      const bits = rowBits(key, row), start = row * outputs;
      for (let j = 0; j < outputs; j++) {
        y[start + j] = x[start + j];
        if (training && stddev > 0) {
          const first = columnBits(bits, j), second = mixBits(first + 0x9e3779b9);
          const radius = Math.sqrt(-2 * Math.log((first + 0.5) / 4294967296));
          y[start + j] += stddev * (radius * Math.cos(2 * Math.PI * ((second + 0.5) / 4294967296)));
        }
      }
    }
  }
  backward(dy, dx, rows) {
    for (let i = 0; dx !== null && i < rows * this.outputs; i++) dx[i] = dy[i];
  }
}

// y = γ (x − μ) / √(σ² + ε) + β for each column, with the statistics of the batch in training
class BatchNorm extends Layer {
  constructor(inputs, settings) {
    super("BatchNorm", inputs, settings);
    this.mean = new Float64Array(inputs);
    this.variance = new Float64Array(inputs);
  }
  shapes() { return { gamma: [this.inputs], beta: [this.inputs] }; }
  statisticShapes() { return { running_mean: [this.inputs], running_variance: [this.inputs] }; }
  initialize() {
    this.parameters.gamma.fill(1);
    this.statistics.running_variance.fill(1);
  }

  forward(x, y, rows, training) {
    const { inputs, settings } = this, { gamma, beta } = this.parameters;
    let { running_mean: mean, running_variance: variance } = this.statistics;
    if (training && this.trainable) {
      this.moments(x, rows);
      for (let j = 0; j < inputs; j++) {
        mean[j] = settings.momentum * mean[j] + (1 - settings.momentum) * this.mean[j];
        variance[j] = settings.momentum * variance[j] + (1 - settings.momentum) * this.variance[j];
      }
      ({ mean, variance } = this);
    }
    for (let j = 0; j < inputs; j++) {
      const sigma = Math.sqrt(variance[j] + settings.epsilon);
      for (let i = j; i < rows * inputs; i += inputs) y[i] = gamma[j] * ((x[i] - mean[j]) / sigma) + beta[j];
    }
  }

  // The mean and the variance of each column; the second pass corrects the rounding of the first mean.
  moments(x, rows) {
    const { inputs } = this, end = rows * inputs;
    for (let j = 0; j < inputs; j++) {
      let first = 0, shift = 0, squares = 0;
      for (let i = j; i < end; i += inputs) first += x[i];
      first /= rows;
      for (let i = j; i < end; i += inputs) {
        const centred = x[i] - first;
        shift += centred;
        squares += centred * centred;
      }
      shift /= rows;
      this.mean[j] = first + shift;
      this.variance[j] = Math.max(squares / rows - shift * shift, 0);
    }
  }

  // dβ = Σ dy, dγ = Σ dy x̂, dx = γ/σ (dy − (dβ + x̂ dγ) / n), or γ/σ dy with running statistics
  backward(dy, dx, rows) {
    const { inputs, x } = this, { gamma } = this.parameters, follows = this.training && this.trainable;
    const mean = follows ? this.mean : this.statistics.running_mean;
    const variance = follows ? this.variance : this.statistics.running_variance;
    for (let j = 0; j < inputs; j++) {
      const sigma = Math.sqrt(variance[j] + this.settings.epsilon);
      let dbeta = 0, dgamma = 0;
      for (let i = j; i < rows * inputs; i += inputs) {
        dbeta += dy[i];
        dgamma += dy[i] * ((x[i] - mean[j]) / sigma);
      }
      this.gradients.beta[j] = dbeta;
      this.gradients.gamma[j] = dgamma;
      for (let i = j; dx !== null && i < rows * inputs; i += inputs) {
        const through = follows ? (dbeta + ((x[i] - mean[j]) / sigma) * dgamma) / rows : 0;
        dx[i] = (gamma[j] / sigma) * (dy[i] - through);
      }
    }
  }
}

// y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each row
class LayerNorm extends Layer {
  constructor(inputs, settings) {
    super("LayerNorm", inputs, settings);
    this.normalized = new Float64Array(inputs); // x̂ of one row
  }
  shapes() { return { gamma: [this.inputs], beta: [this.inputs] }; }
  initialize() { this.parameters.gamma.fill(1); }

  // Write x̂ of a row and return its σ.
  normalize(x, start) {
    const { inputs, normalized } = this;
    let mean = 0, rest = 0, squares = 0;
    for (let j = 0; j < inputs; j++) mean += x[start + j];
    mean /= inputs;
    for (let j = 0; j < inputs; j++) rest += normalized[j] = x[start + j] - mean;
    rest /= inputs; // the rounding of the mean
    for (let j = 0; j < inputs; j++) {
      normalized[j] -= rest;
      squares += normalized[j] * normalized[j];
    }
    const sigma = Math.sqrt(squares / inputs + this.settings.epsilon);
    for (let j = 0; j < inputs; j++) normalized[j] /= sigma;
    return sigma;
  }

  forward(x, y, rows) {
    const { inputs, normalized } = this, { gamma, beta } = this.parameters;
    for (let start = 0; start < rows * inputs; start += inputs) {
      this.normalize(x, start);
      for (let j = 0; j < inputs; j++) y[start + j] = normalized[j] * gamma[j] + beta[j];
    }
  }

  // dβ = Σ dy, dγ = Σ dy x̂, dx = (g − mean(g) − x̂ mean(g x̂)) / σ with g = γ dy
  backward(dy, dx, rows) {
    const { inputs, normalized, x } = this, { gamma } = this.parameters;
    const { gamma: dgamma, beta: dbeta } = this.gradients;
    dgamma.fill(0);
    dbeta.fill(0);
    for (let start = 0; start < rows * inputs; start += inputs) {
      const sigma = this.normalize(x, start);
      let mean = 0, projection = 0;
      for (let j = 0; j < inputs; j++) {
        const g = gamma[j] * dy[start + j];
        dbeta[j] += dy[start + j];
        dgamma[j] += dy[start + j] * normalized[j];
        mean += g / inputs;
        projection += (g * normalized[j]) / inputs;
      }
      for (let j = 0; dx !== null && j < inputs; j++) {
        dx[start + j] = (gamma[j] * dy[start + j] - mean - normalized[j] * projection) / sigma;
      }
    }
  }
}

// The layers by nnx's names: their arguments with the defaults, and how they are made.
const LAYERS = {
  Dense: {
    defaults: { units: undefined, initializer: "glorot_uniform" },
    make: (inputs, settings) => new Dense(inputs, settings),
  },
  Dropout: { defaults: { rate: undefined }, make: (inputs, settings) => new Dropout(inputs, settings) },
  MaskNoise: { defaults: { rate: undefined }, make: (inputs, settings) => new MaskNoise(inputs, settings) },
  GaussianNoise: {
    defaults: { stddev: undefined }, make: (inputs, settings) => new GaussianNoise(inputs, settings),
  },
  BatchNorm: {
    defaults: { momentum: 0.99, epsilon: 1e-3 }, make: (inputs, settings) => new BatchNorm(inputs, settings),
  },
  PReLU: {
    defaults: { shared_axes: null, initial: 0.25 }, make: (inputs, settings) => new PReLU(inputs, settings),
  },
  LayerNorm: { defaults: { epsilon: 1e-3 }, make: (inputs, settings) => new LayerNorm(inputs, settings) },
  Softmax: { defaults: {}, make: (inputs, settings) => new Softmax(inputs, settings) },
};
for (const record of Object.values(ACTIVATIONS)) {
  if (record.f === undefined || record.approximate) continue;
  const defaults = record.alpha === undefined ? {} : { alpha: record.alpha };
  const make = (inputs, settings) => new Elementwise(inputs, settings, record);
  LAYERS[record.kind] = { defaults, make };
}
LAYERS.GELU = {
  defaults: { approximate: false },
  make: (inputs, settings) =>
    new Elementwise(inputs, settings, settings.approximate ? ACTIVATIONS.gelu_tanh : ACTIVATIONS.gelu),
};

// The layers of a description; an activation in a Dense becomes a separate layer, as in nnx.
function makeLayers(inputs, entries) {
  const layers = [], counts = {};
  const add = (kind, given) => {
    const settings = settingsOf(`layer ${kind}`, LAYERS[kind].defaults, given, ["seed", "trainable"]);
    const layer = LAYERS[kind].make(layers.length ? layers.at(-1).outputs : inputs, settings);
    counts[kind] = (counts[kind] ?? 0) + 1;
    Object.assign(layer, { index: layers.length, name: `${kind.toLowerCase()}_${counts[kind]}` });
    layers.push(layer);
  };
  for (const { kind, activation, ...given } of entries) {
    known("layer", LAYERS, kind);
    add(kind, given);
    if (activation !== undefined && activation !== null) add(activationKind(activation), {});
  }
  return layers;
}

function activationKind(name) {
  return known("activation", NAMED_ACTIVATIONS, name).kind;
}
const { gelu_tanh: _, ...NAMED_ACTIVATIONS } = ACTIVATIONS;
NAMED_ACTIVATIONS.linear = ACTIVATIONS.identity;
NAMED_ACTIVATIONS.swish = ACTIVATIONS.silu;
NAMED_ACTIVATIONS.exp = ACTIVATIONS.exponential;
