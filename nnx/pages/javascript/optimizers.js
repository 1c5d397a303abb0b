// The optimizers: how values w change by gradients g, between two places. nnx/ops/updates.py has the same.

// Arguments of all optimizers. weight_decay shrinks w before the update, l2 adds l2 w to the gradient, and
// clipping comes first.
const COMMON = { weight_decay: 0, l2: 0, clip_norm: null, clip_value: null };

const ADAM = {
  python: "Adam",
  defaults: { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, ...COMMON },
  slots: () => ({ m: 0, v: 0 }),
  // m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε)
  update(w, g, { m, v }, from, to, settings, step) {
    const { learning_rate, beta1, beta2, epsilon, l2 } = settings;
    const rate = (learning_rate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step);
    const shrink = 1 - learning_rate * settings.weight_decay;
    for (let i = from; i < to; i++) {
      const gradient = g[i] + l2 * w[i];
      m[i] += (1 - beta1) * (gradient - m[i]);
      v[i] += (1 - beta2) * (gradient * gradient - v[i]);
      w[i] = w[i] * shrink - (rate * m[i]) / (Math.sqrt(v[i]) + epsilon);
    }
  },
};

const OPTIMIZERS = {
  sgd: {
    python: "SGD",
    defaults: { learning_rate: 0.01, momentum: 0, nesterov: false, ...COMMON },
    slots: ({ momentum }) => (momentum > 0 ? { velocity: 0 } : {}),
    // w = w − η g; with momentum u = μ u − η g, w = w + u, or with Nesterov w = w + μ u − η g
    update(w, g, { velocity }, from, to, settings) {
      const { learning_rate, momentum, nesterov, l2 } = settings;
      const shrink = 1 - learning_rate * settings.weight_decay;
      for (let i = from; i < to; i++) {
        const change = learning_rate * (g[i] + l2 * w[i]);
        if (velocity === undefined) {
          w[i] = w[i] * shrink - change;
        } else {
          velocity[i] = momentum * velocity[i] - change;
          w[i] = w[i] * shrink + (nesterov ? momentum * velocity[i] - change : velocity[i]);
        }
      }
    },
  },
  adam: ADAM,
  adamw: { ...ADAM, python: "AdamW", defaults: { ...ADAM.defaults, weight_decay: 0.004 } },
  rmsprop: {
    python: "RMSprop",
    defaults: { learning_rate: 1e-3, rho: 0.9, momentum: 0, epsilon: 1e-7, ...COMMON },
    slots: ({ momentum }) => (momentum > 0 ? { v: 0, velocity: 0 } : { v: 0 }),
    // v = ρ v + (1−ρ) g²; d = η g / √(v + ε); w = w − d, or with momentum u = μ u + d, w = w − u
    update(w, g, { v, velocity }, from, to, settings) {
      const { learning_rate, rho, momentum, epsilon, l2 } = settings;
      const shrink = 1 - learning_rate * settings.weight_decay;
      for (let i = from; i < to; i++) {
        const gradient = g[i] + l2 * w[i];
        v[i] += (1 - rho) * (gradient * gradient - v[i]);
        let change = (learning_rate * gradient) / Math.sqrt(v[i] + epsilon);
        if (velocity !== undefined) change = velocity[i] = momentum * velocity[i] + change;
        w[i] = w[i] * shrink - change;
      }
    },
  },
  adagrad: {
    python: "Adagrad",
    defaults: { learning_rate: 1e-3, initial_accumulator: 0.1, epsilon: 1e-7, ...COMMON },
    slots: ({ initial_accumulator }) => ({ accumulator: initial_accumulator }),
    // a = a + g²; w = w − η g / √(a + ε)
    update(w, g, { accumulator }, from, to, settings) {
      const { learning_rate, epsilon, l2 } = settings;
      const shrink = 1 - learning_rate * settings.weight_decay;
      for (let i = from; i < to; i++) {
        const gradient = g[i] + l2 * w[i];
        accumulator[i] += gradient * gradient;
        w[i] = w[i] * shrink - (learning_rate * gradient) / Math.sqrt(accumulator[i] + epsilon);
      }
    },
  },
};

// Clip the gradients of the trainable spans: each number, then the norm of all.
function clipGradients(g, spans, { clip_value, clip_norm }) {
  let squares = 0;
  for (const [from, to] of spans) {
    for (let i = from; i < to; i++) {
      if (clip_value !== null) g[i] = clip(g[i], -clip_value, clip_value);
      squares += g[i] * g[i];
    }
  }
  const norm = Math.sqrt(squares);
  if (clip_norm === null || norm <= clip_norm) return;
  for (const [from, to] of spans) for (let i = from; i < to; i++) g[i] *= clip_norm / norm;
}
