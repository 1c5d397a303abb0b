// Formulas with numbers: the update of one weight, as nnx/tracing/updates.py writes it, and activations.

// The terms of an update in order, the new weight last. `at` has w, raw, g, rate, step, after, trainable, and
// slots: {name: [before, after]}.
function updateLines(optimizer, at) {
  if (!at.trainable) return [line("w does not change: its layer is frozen", number(at.w), at.after)];
  const lines = [line("g = dL/dw", number(at.raw), at.raw)];
  let { g } = at;
  if (g !== at.raw) lines.push(line("g clipped by clip_value or clip_norm", `${number(at.raw)} → ${number(g)}`, g));
  if (optimizer.l2) {
    const before = g;
    g += optimizer.l2 * at.w;
    lines.push(line("g ← g + l2 w", `${number(before)} + ${number(optimizer.l2)} · ${factor(at.w)}`, g));
  }
  return [...lines, ...RULES[optimizer.name](optimizer, { ...at, g })];
}

const line = (symbols, numbers, value) => ({ symbols, numbers, value });

// The old weight in a formula: w, or with weight decay w (1 − η λ).
function shrunk({ weight_decay: decay }, { w, rate }) {
  return decay ? ["w (1 − η λ)", `${factor(w)} (1 − ${number(rate)} · ${number(decay)})`] : ["w", number(w)];
}

function sgdLines(rule, at) {
  const [w, numbers] = shrunk(rule, at), step = `${number(at.rate)} · ${factor(at.g)}`;
  if (!rule.momentum) return [line(`w ← ${w} − η g`, `${numbers} − ${step}`, at.after)];
  const [was, u] = at.slots.velocity, mu = number(rule.momentum);
  const first = line("u ← μ u − η g", `${mu} · ${factor(was)} − ${step}`, u);
  return rule.nesterov
    ? [first, line(`w ← ${w} + μ u − η g`, `${numbers} + ${mu} · ${factor(u)} − ${step}`, at.after)]
    : [first, line(`w ← ${w} + u`, `${numbers} + ${factor(u)}`, at.after)];
}

function adamLines(rule, at) {
  const [w, numbers] = shrunk(rule, at), { beta1: a, beta2: b } = rule, t = at.step;
  const [m0, m] = at.slots.m, [v0, v] = at.slots.v;
  const rate = (at.rate * Math.sqrt(1 - b ** t)) / (1 - a ** t);
  const corrected = `${number(at.rate)} · √(1 − ${number(b)}^${t}) / (1 − ${number(a)}^${t})`;
  const last = `${numbers} − ${number(rate)} · ${factor(m)} / (√${number(v)} + ${number(rule.epsilon)})`;
  return [
    line("m ← β₁ m + (1 − β₁) g", `${number(a)} · ${factor(m0)} + ${number(1 - a)} · ${factor(at.g)}`, m),
    line("v ← β₂ v + (1 − β₂) g²", `${number(b)} · ${factor(v0)} + ${number(1 - b)} · ${factor(at.g)}²`, v),
    line("r = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)", corrected, rate),
    line(`w ← ${w} − r m / (√v + ε)`, last, at.after),
  ];
}

function rmspropLines(rule, at) {
  const [w, numbers] = shrunk(rule, at), [v0, v] = at.slots.v;
  const mean = `${number(rule.rho)} · ${factor(v0)} + ${number(1 - rule.rho)} · ${factor(at.g)}²`;
  const step = `${number(at.rate)} · ${factor(at.g)} / √(${number(v)} + ${number(rule.epsilon)})`;
  const d = (at.rate * at.g) / Math.sqrt(v + rule.epsilon);
  const lines = [line("v ← ρ v + (1 − ρ) g²", mean, v), line("d = η g / √(v + ε)", step, d)];
  if (!rule.momentum) return [...lines, line(`w ← ${w} − d`, `${numbers} − ${factor(d)}`, at.after)];
  const [u0, u] = at.slots.velocity;
  const moved = line("u ← μ u + d", `${number(rule.momentum)} · ${factor(u0)} + ${factor(d)}`, u);
  return [...lines, moved, line(`w ← ${w} − u`, `${numbers} − ${factor(u)}`, at.after)];
}

function adagradLines(rule, at) {
  const [w, numbers] = shrunk(rule, at), [a0, a] = at.slots.accumulator;
  const step = `${number(at.rate)} · ${factor(at.g)} / √(${number(a)} + ${number(rule.epsilon)})`;
  return [
    line("a ← a + g²", `${number(a0)} + ${factor(at.g)}²`, a),
    line(`w ← ${w} − η g / √(a + ε)`, `${numbers} − ${step}`, at.after),
  ];
}

const RULES = { sgd: sgdLines, adam: adamLines, adamw: adamLines, rmsprop: rmspropLines, adagrad: adagradLines };

// f(z) and f'(z) of an activation with numbers.
function activationNumbers({ activation, numbers }, z, y, slope) {
  if (activation === "softmax") return [number(y), `${factor(y)} (1 − ${factor(y)})`];
  const values = { z: factor(z), plain: number(z), y: factor(y), step: number(slope), factor: number(slope) };
  const texts = numbers ?? ["f({plain})", "f'({plain})"];
  return texts.map((text) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]));
}

// ∂L/∂p of one number with numbers in its formula; empty if the formula is not a short one.
function lossNumbers({ kind, share, kept }, p, y, rows, softmax) {
  const size = number(Math.round(rows / share), 9);
  if (kept !== 1) return "";
  if (kind === "squared_error") return `2 (${number(p)} − ${factor(y)}) / ${size}`;
  if (kind === "absolute_error") return `sign(${number(p)} − ${factor(y)}) / ${size}`;
  if (kind === "binary_cross_entropy_from_logits") return `(σ(${number(p)}) − ${number(y)}) / ${size}`;
  if (kind === "categorical_cross_entropy_from_logits") return `(${number(softmax)} − ${number(y)}) / ${size}`;
  return "";
}
