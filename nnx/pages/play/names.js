// What can be chosen, and the words for it. Names of activations, losses and optimizers are those of nnx.

const TASKS = {
  classification: "Classification",
  regression: "Regression",
  autoencoding: "Autoencoding",
};

// The sets for each task; "own" is a table of the user.
const SETS = {
  classification: { xor: "XOR", circles: "Circles", spirals: "Spirals", moons: "Moons",
    digits: "Digits, 8×8" },
  regression: { xor: "Product x₁·x₂", circles: "Ripples", spirals: "Along a spiral", moons: "Waves" },
  autoencoding: { digits: "Digits, 8×8", circles: "Circles", spirals: "Spirals", moons: "Moons" },
};

const ACTIVATIONS = {
  tanh: "tanh", relu: "ReLU", sigmoid: "sigmoid", leaky_relu: "leaky ReLU", elu: "ELU", gelu: "GELU",
  silu: "SiLU", softplus: "softplus", identity: "linear",
};

const LOSSES = {
  classification: { cross_entropy: "cross-entropy", mean_squared_error: "mean squared error" },
  regression: {
    mean_squared_error: "mean squared error", mean_absolute_error: "mean absolute error", huber: "Huber",
  },
  autoencoding: { mean_squared_error: "mean squared error", mean_absolute_error: "mean absolute error" },
};

// Optimizers, each with the learning rate that it starts with here.
const OPTIMIZERS = {
  adam: { label: "Adam", rate: 0.01 },
  sgd: { label: "SGD", rate: 0.1 },
  momentum: { label: "SGD, momentum 0.9", rate: 0.03 },
  rmsprop: { label: "RMSprop", rate: 0.01 },
  adagrad: { label: "Adagrad", rate: 0.1 },
  adamw: { label: "AdamW", rate: 0.01 },
};

const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];
const BATCHES = [1, 4, 8, 16, 32, 64, 128];
const SPEEDS = { 1: "1 step a frame", 5: "5 steps a frame", 20: "20 steps a frame",
  100: "100 steps a frame" };
const MOST_LAYERS = 6;

// What to write next to a picture: a number with three digits.
function shown(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100000)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3).replace("-", "−");
}

function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
