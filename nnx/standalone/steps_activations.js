// The activations of one number, for the files that steps.js is for.

/** Return max(v, 0). */
function relu(v) {
  return Math.max(v, 0);
}

/** Return v where v > 0, else alpha v. */
function leakyRelu(v, alpha) {
  return v > 0 ? v : alpha * v;
}

/** Return v where v > 0, else alpha (e^v - 1). */
function elu(v, alpha) {
  return v > 0 ? v : alpha * Math.expm1(v);
}

/** Return lambda v where v > 0, else lambda alpha (e^v - 1). */
function selu(v) {
  return 1.0507009873554805 * elu(v, 1.6732632423543772);
}

/** Return 1 / (1 + e^-v). */
function sigmoid(v) {
  return 1 / (1 + Math.exp(-v));
}

/** Return min(max(v + 3, 0), 6) / 6. */
function hardSigmoid(v) {
  return Math.min(Math.max(v + 3, 0), 6) / 6;
}

/** Return tanh v. */
function tanh(v) {
  return Math.tanh(v);
}

/** Return log(1 + e^v). */
function softplus(v) {
  return Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
}

/** Return e^v. */
function exponential(v) {
  return Math.exp(v);
}

/** Return v sigmoid(v). */
function silu(v) {
  return v * sigmoid(v);
}

/** Return v Phi(v), with the normal distribution function Phi. */
function gelu(v) {
  return 0.5 * v * erfc(-v * Math.SQRT1_2);
}

/** Return 1 - erf(v): by the series of erf near 0, by a continued fraction from 2.5 on. */
function erfc(v) {
  if (v < 0) return 2 - erfc(-v);
  const factor = Math.exp(-v * v) / Math.sqrt(Math.PI);
  if (v < 2.5) {
    let term = 2 * v, sum = 0;
    for (let n = 1; sum + term !== sum; n++) {
      sum += term;
      term *= (2 * v * v) / (2 * n + 1);
    }
    return 1 - factor * sum;
  }
  let fraction = v;
  for (let n = 80; n > 0; n--) fraction = v + n / 2 / fraction;
  return factor / fraction;
}

/** Return v/2 (1 + tanh(sqrt(2/pi) (v + 0.044715 v^3))). */
function geluTanh(v) {
  const z = Math.min(Math.max(v, -40), 40);
  return v * sigmoid(2 * Math.sqrt(2 / Math.PI) * z * (1 + 0.044715 * z * z));
}

/** Return v tanh(log(1 + e^v)). */
function mish(v) {
  const e = Math.exp(-Math.abs(v));
  const above = v > 0 ? 1 + 2 * e : e * (e + 2);
  return (v * above) / (above + (v > 0 ? 2 * e * e : 2));
}
