// The losses: the loss ℓ of one number and its slope ∂ℓ/∂p, or both for a row. See nnx/ops/losses.py.

const target = (y) => (y > 0 ? 1 : -1); // of the hinge losses

const FORMULAS = {
  squared_error: { value: (y, p) => (p - y) * (p - y), slope: (y, p) => 2 * (p - y) },
  absolute_error: { value: (y, p) => Math.abs(p - y), slope: (y, p) => Math.sign(p - y) },
  huber: {
    value: (y, p, delta) => {
      const clipped = clip(p - y, -delta, delta);
      return clipped * (p - y - 0.5 * clipped);
    },
    slope: (y, p, delta) => clip(p - y, -delta, delta),
  },
  binary_cross_entropy: {
    value: (y, p, epsilon) => {
      const q = clip(p, epsilon, 1 - epsilon);
      return -(y * Math.log(q) + (1 - y) * Math.log1p(-q));
    },
    slope: (y, p, epsilon) => {
      const q = clip(p, epsilon, 1 - epsilon);
      return (q - y) / (q * (1 - q));
    },
  },
  binary_cross_entropy_from_logits: {
    value: (y, z) => Math.max(z, 0) - y * z + Math.log1p(Math.exp(-Math.abs(z))),
    slope: (y, z) => sigmoid(z) - y,
  },
  categorical_cross_entropy: {
    value: (y, p, epsilon) => -y * Math.log(clip(p, epsilon, 1)),
    slope: (y, p, epsilon) => -y / clip(p, epsilon, 1),
  },
  categorical_cross_entropy_from_logits: { row: crossEntropyRow },
  poisson: {
    value: (y, p, epsilon) => Math.max(p, epsilon) - y * Math.log(Math.max(p, epsilon)),
    slope: (y, p, epsilon) => 1 - y / Math.max(p, epsilon),
  },
  // From z = 60 on, a straight line replaces e^z, which would overflow.
  poisson_from_log: {
    value: (y, z) => {
      const rate = Math.exp(Math.min(z, 60));
      return rate - y * Math.min(z, 60) + (rate - y) * Math.max(z - 60, 0);
    },
    slope: (y, z) => Math.exp(Math.min(z, 60)) - y,
  },
  hinge: {
    value: (y, p) => Math.max(1 - target(y) * p, 0),
    slope: (y, p) => (1 - target(y) * p > 0 ? -target(y) : 0),
  },
  squared_hinge: {
    value: (y, p) => Math.max(1 - target(y) * p, 0) ** 2,
    slope: (y, p) => -2 * target(y) * Math.max(1 - target(y) * p, 0),
  },
};

// ℓ = Σ_j y_j (log Σ_k e^z_k − z_j), gradient softmax(z) Σ_j y_j − y, for the row that begins at `start`
function crossEntropyRow(targets, z, dz, start, columns) {
  let top = -Infinity, total = 0, mass = 0, loss = 0;
  for (let j = start; j < start + columns; j++) top = Math.max(top, z[j]);
  for (let j = start; j < start + columns; j++) {
    total += dz[j] = Math.exp(z[j] - top);
    mass += targets[j];
  }
  for (let j = start; j < start + columns; j++) {
    if (targets[j] !== 0) loss += targets[j] * (Math.log(total) - (z[j] - top));
    dz[j] = (dz[j] / total) * mass - targets[j];
  }
  return loss;
}

const CROSS_ENTROPY = { epsilon: 1e-7, from_logits: false, label_smoothing: 0 };
const PROBABILITIES = ["Sigmoid", "Softmax"];
const RATES = ["Exp", "Softplus", "ReLU", ...PROBABILITIES];

// The losses by nnx's names, each with the name of its class. `fused` is the kind that takes the input of the
// last layer, if that is `activation`. The last layer must be one of `after`, and none of `never`.
const LOSSES = {
  mean_squared_error: { python: "MeanSquaredError", kind: "squared_error", defaults: { reduction: "mean" } },
  mean_absolute_error: { python: "MeanAbsoluteError", kind: "absolute_error", defaults: {} },
  huber: { python: "Huber", kind: "huber", defaults: { delta: 1 } },
  binary_cross_entropy: {
    python: "BinaryCrossEntropy", kind: "binary_cross_entropy", defaults: CROSS_ENTROPY, classes: 2,
    activation: "Sigmoid", fused: "binary_cross_entropy_from_logits", after: PROBABILITIES,
  },
  categorical_cross_entropy: {
    python: "CategoricalCrossEntropy", kind: "categorical_cross_entropy", defaults: CROSS_ENTROPY, sums: true,
    activation: "Softmax", fused: "categorical_cross_entropy_from_logits", after: ["Softmax"],
  },
  poisson: {
    python: "Poisson", kind: "poisson", defaults: { epsilon: 1e-7 },
    activation: "Exp", fused: "poisson_from_log", after: RATES,
  },
  hinge: { python: "Hinge", kind: "hinge", defaults: {}, never: PROBABILITIES },
  squared_hinge: { python: "SquaredHinge", kind: "squared_hinge", defaults: {}, never: PROBABILITIES },
};

// Refuse a loss that does not fit the last layer; Identity and Dropout may follow that layer.
function checkEnding({ name, from_logits: logits }, layers) {
  const passing = ["Identity", "Dropout"];
  const { kind, outputs } = layers.findLast((layer) => !passing.includes(layer.kind)) ?? layers.at(-1);
  const { after, never = logits ? PROBABILITIES : [], activation } = LOSSES[name];
  if (never.includes(kind)) {
    throw new Error(`${name}: remove the last layer, ${kind}: the loss takes its input`);
  }
  if (after !== undefined && !logits && !after.includes(kind)) {
    throw new Error(`${name}: the network must end with ${activation}, not with ${kind}`);
  }
  if (outputs === 1 && (kind === "Softmax" || (logits && activation === "Softmax"))) {
    throw new Error(`${name}: a softmax of one output is always 1: use Sigmoid and binary_cross_entropy`);
  }
}

// The loss of a network. `kind` names its formula, `fused` says whether this includes the last layer.
class Loss {
  constructor(given, layers, fuse) {
    this.settings = namedSettings("loss", LOSSES, given);
    checkEnding(this.settings, layers);
    const record = LOSSES[this.settings.name], { settings } = this;
    const { kind, outputs } = layers.at(-1);
    this.columns = outputs;
    this.fused = fuse && record.fused !== undefined && kind === record.activation && !settings.from_logits;
    this.kind = this.fused || settings.from_logits ? record.fused : record.kind;
    this.constant = settings.delta ?? settings.epsilon ?? 0;
    this.share = record.sums || settings.reduction === "sum_over_features" ? 1 : 1 / outputs;
    this.kept = 1 - (settings.label_smoothing ?? 0);
    this.rest = (settings.label_smoothing ?? 0) / (record.classes ?? outputs);
    this.targets = new Float64Array(0);
  }

  // Return the mean loss of rows, and write its gradient into dp.
  evaluate(y, p, dp, rows) {
    const { value, slope, row } = FORMULAS[this.kind], { columns, constant } = this;
    const factor = this.share / rows, targets = this.smooth(y, rows * columns);
    let total = 0;
    if (row !== undefined) {
      for (let i = 0; i < rows * columns; i += columns) total += row(targets, p, dp, i, columns);
      for (let i = 0; i < rows * columns; i++) dp[i] *= factor;
      return total * factor;
    }
    for (let i = 0; i < rows * columns; i++) {
      total += value(targets[i], p[i], constant);
      dp[i] = slope(targets[i], p[i], constant) * factor;
    }
    return total * factor;
  }

  // Return the targets of label smoothing.
  smooth(y, size) {
    if (this.kept === 1) return y;
    if (this.targets.length < size) this.targets = new Float64Array(size);
    for (let i = 0; i < size; i++) this.targets[i] = y[i] * this.kept + this.rest;
    return this.targets;
  }
}
