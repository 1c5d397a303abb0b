// The activations: f(x, alpha), and the slope f'(x) from x and y = f(x). nnx/ops/activations.py has the same.

const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);

// 1 − erf(x): the series e^−x² Σ 2ⁿ x²ⁿ⁺¹ / (2n + 1)!! near 0, a continued fraction elsewhere.
function erfc(x) {
  const size = Math.abs(x);
  let result = 0;
  if (size < 2.5) {
    let term = size, sum = size;
    for (let n = 1; term > sum * 1e-17; n++) sum += term *= (2 * size * size) / (2 * n + 1);
    result = 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
  } else if (size < 28) {
    let rest = size;
    for (let n = 60; n > 0; n--) rest = size + n / 2 / rest;
    result = Math.exp(-size * size) / (Math.sqrt(Math.PI) * rest);
  }
  return x < 0 ? 2 - result : result;
}

const FLAT = 40; // beyond ±40, both forms of GELU have slope 0 or 1
const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;
const geluInner = (x) => GELU_SCALE * x * (1 + GELU_CUBIC * x * x);

const SELU_SCALE = 1.0507009873554805;
const SELU_LEFT = SELU_SCALE * 1.6732632423543772;

// tanh(softplus(x)) = n / (n + 2) with n = (1 + e^x)² − 1; for x > 0, both are divided by e^2x.
function mishGate(x) {
  const e = Math.exp(-Math.abs(x));
  return x > 0 ? (1 + 2 * e) / (1 + 2 * e + 2 * e * e) : (e * (e + 2)) / (e * (e + 2) + 2);
}
function mishSlope(x) {
  const e = Math.exp(-Math.abs(x)), gate = mishGate(x);
  const rest = x > 0 ? (2 * e * e) / (1 + 2 * e + 2 * e * e) : 2 / (e * (e + 2) + 2);
  return gate + x * sigmoid(x) * rest * (1 + gate);
}

function geluSlope(value) {
  const x = clip(value, -FLAT, FLAT);
  return 0.5 * erfc(-Math.SQRT1_2 * x) + (x / Math.sqrt(2 * Math.PI)) * Math.exp(-0.5 * x * x);
}
function geluTanhSlope(value) {
  const x = clip(value, -FLAT, FLAT), inner = geluInner(x);
  const slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x);
  return sigmoid(inner) + x * sigmoid(inner) * sigmoid(-inner) * slope;
}

const ACTIVATIONS = {
  identity: { kind: "Identity", f: (x) => x, slope: () => 1 },
  relu: { kind: "ReLU", f: (x) => Math.max(x, 0), slope: (x, y) => (y > 0 ? 1 : 0) },
  leaky_relu: {
    kind: "LeakyReLU", alpha: 0.01,
    f: (x, alpha) => (x > 0 ? x : alpha * x), slope: (x, y, alpha) => (y > 0 ? 1 : alpha),
  },
  elu: {
    kind: "ELU", alpha: 1,
    f: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)), slope: (x, y, alpha) => (y > 0 ? 1 : y + alpha),
  },
  selu: {
    kind: "SELU",
    f: (x) => (x > 0 ? SELU_SCALE * x : SELU_LEFT * Math.expm1(x)),
    slope: (x, y) => (y > 0 ? SELU_SCALE : y + SELU_LEFT),
  },
  gelu: { kind: "GELU", f: (x) => 0.5 * x * erfc(-Math.SQRT1_2 * x), slope: geluSlope },
  gelu_tanh: {
    kind: "GELU", approximate: true,
    f: (x) => x * sigmoid(geluInner(clip(x, -FLAT, FLAT))), slope: geluTanhSlope,
  },
  silu: {
    kind: "SiLU", f: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * sigmoid(-x)),
  },
  mish: { kind: "Mish", f: (x) => x * mishGate(x), slope: mishSlope },
  tanh: { kind: "Tanh", f: Math.tanh, slope: (x, y) => 1 - y * y },
  sigmoid: { kind: "Sigmoid", f: sigmoid, slope: (x, y) => y - y * y },
  hard_sigmoid: {
    kind: "HardSigmoid", f: (x) => clip(x + 3, 0, 6) / 6, slope: (x, y) => (y > 0 && y < 1 ? 1 / 6 : 0),
  },
  softplus: { kind: "Softplus", f: softplus, slope: (x, y) => -Math.expm1(-y) },
  exponential: { kind: "Exp", f: Math.exp, slope: (x, y) => y },
  softmax: { kind: "Softmax" }, // a function of whole rows, in layers.js
  prelu: { kind: "PReLU" }, // it has parameters, in layers.js
};
