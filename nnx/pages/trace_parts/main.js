// The page: its steps, what is chosen, and what is shown.

const given = JSON.parse(document.getElementById("given").textContent);
const byId = (id) => document.getElementById(id);
const model = new Model(given);
const { layers } = model.net, inLoss = model.net.loss.fused;
const state = { at: 0, row: given.row, weight: firstWeight(), hovered: null, edited: false, advanced: 0 };

function firstWeight() {
  const [, layer, name] = /^(.*)\.(\w+)$/.exec(given.weight.name);
  const dense = given.layers.find((one) => one.dense);
  if (given.layers.some((one) => one.name === layer && one.dense)) return { layer, index: given.weight.index, name };
  return dense ? { layer: dense.name, index: [0, 0] } : null;
}

// The steps in order: {title, kind, layer}.
const steps = [
  { kind: "start", title: "The batch and the weights" },
  ...layers.map((layer, i) => ({ kind: "forward", i, title: `Forward: ${layer.name}` })),
  { kind: "loss", title: "The loss" },
  ...layers.map((layer, i) => ({ kind: "backward", i, title: `Backward: ${layer.name}` })).reverse().slice(inLoss ? 1 : 0),
  { kind: "update", title: `Update: ${given.description.optimizer.name}` },
];

// How far the numbers are known at a step.
function reached() {
  const { kind, i } = steps[state.at];
  const end = layers.length, lossAt = end + 1, all = { forward: end, loss: true, now: [] };
  if (kind === "start") return { forward: 0, loss: false, backward: Infinity, now: [0] };
  if (kind === "forward") return { forward: i + 1, loss: false, backward: Infinity, now: [i, i + 1] };
  if (kind === "loss") return { ...all, backward: inLoss ? end - 1 : end, now: [lossAt, inLoss ? end - 1 : end] };
  if (kind === "backward") return { ...all, backward: i, now: [i, i + 1] };
  return { ...all, backward: 0 };
}

// ------------------------------------------------------------------------------- one step in words

const unitsOf = (c) => given.units[c];
const valuesOf = (c, title) => ({ title, units: unitsOf(c), at: (row, unit) => model.value(c, row, unit) });
const slopesOf = (c, title) => ({ title, units: unitsOf(c), at: (row, unit) => model.slope(c, row, unit) });

function stepTexts() {
  const { kind, i } = steps[state.at];
  if (kind === "start") return startTexts();
  if (kind === "forward") return forwardTexts(i);
  if (kind === "loss") return lossTexts();
  return kind === "backward" ? backwardTexts(i) : updateTexts();
}

function startTexts() {
  const text = "Every layer gets x and gives y. Go forward, and see the numbers appear from left to right, and the slopes from right to left.";
  return { text, table: numbersTable("Input", model, state.row, [valuesOf(0, "x")]) };
}

function placesOf(i) {
  const path = state.weight ? follow(model, state.weight, state.row) : [];
  const step = path.find((one) => one.column === i + 1);
  return step && step.input !== null ? [step.input, step.unit] : [unitsOf(i)[0], step?.unit ?? unitsOf(i + 1)[0]];
}

function forwardTexts(i) {
  const info = given.layers[i], layer = layers[i], { row } = state;
  const [, unit] = placesOf(i);
  const y = layer.y[row * layer.outputs + unit];
  let numbers = "";
  if (info.dense) {
    const W = model.begin(layer, "W"), b = model.begin(layer, "b");
    const pairs = Array.from({ length: layer.inputs }, (_, k) => [layer.x[row * layer.inputs + k], model.start.values[W + k * layer.outputs + unit]]);
    numbers = `z[${row}, ${unit}] = ${productSum(pairs, model.start.values[b + unit])} = ${number(y)}`;
  } else if (info.activation) {
    const z = layer.x[row * layer.inputs + unit];
    numbers = `y[${row}, ${unit}] = ${equals(activationNumbers(info, z, y, 0)[0], y)}`;
  }
  const names = info.activation ? ["z", "y"] : ["x", info.dense ? "z" : "y"];
  return { symbols: info.forward, numbers, table: numbersTable("Input and output", model, row, [valuesOf(i, names[0]), valuesOf(i + 1, names[1])]) };
}

function rowLoss(row) {
  const { net } = model, last = layers.at(-1), p = (inLoss ? last.x : last.y).slice(row * net.outputs, (row + 1) * net.outputs);
  return net.loss.evaluate(model.y.slice(row * net.outputs, (row + 1) * net.outputs), p, new Float64Array(net.outputs), 1);
}

function lossTexts() {
  const some = Array.from({ length: Math.min(model.rows, 8) }, (_, row) => number(rowLoss(row)));
  const sum = `L = (${some.join(" + ")}${model.rows > 8 ? " + …" : ""}) / ${model.rows} = ${number(model.lossValue, 6)}`;
  const c = layers.length - (inLoss ? 1 : 0), letter = inLoss ? "z" : "p";
  const target = { title: "target", units: unitsOf(layers.length), at: (row, unit) => model.y[row * model.net.outputs + unit] };
  const each = { title: "ℓ", units: [0], at: rowLoss };
  const step = atLoss(model, state.row, placesOf(layers.length - 1)[1]);
  const slope = `${step.symbols.split("[")[0]}[${state.row}, ${step.input}] = ${equals(step.numbers, step.gradient)}`;
  return {
    symbols: given.loss.whole, more: inLoss ? `with the last activation: ${given.loss.each}` : "", numbers: `${sum}\n${slope}`,
    table: numbersTable("Loss", model, state.row, [valuesOf(c, letter), target, each, slopesOf(c, `d${letter}`)]),
  };
}

function backwardTexts(i) {
  const info = given.layers[i], layer = layers[i], { row } = state;
  const [input, unit] = placesOf(i), out = info.dense ? "z" : "y", into = info.activation ? "z" : "x";
  let numbers = "";
  if (i > 0 && info.dense) {
    const W = model.begin(layer, "W");
    const pairs = Array.from({ length: layer.outputs }, (_, k) => [layer.dy[row * layer.outputs + k], model.start.values[W + input * layer.outputs + k]]);
    numbers = `dx[${row}, ${input}] = ${equals(productSum(pairs), layer.dx[row * layer.inputs + input])}`;
  } else if (i > 0 && info.activation && info.activation !== "softmax") {
    const z = layer.x[row * layer.inputs + unit], y = layer.y[row * layer.outputs + unit];
    const slope = layer.slope(z, y, layer.alpha), text = activationNumbers(info, z, y, slope)[1];
    numbers = `dz[${row}, ${unit}] = ${factor(layer.dy[row * layer.outputs + unit])} · ${/^[\d.]+$/.test(text) ? text : `(${text})`} = ${number(layer.dx[row * layer.inputs + unit])}`;
  }
  const parts = [slopesOf(i + 1, `d${out}`), ...(i > 0 ? [slopesOf(i, `d${into}`)] : [])];
  const text = i > 0 ? "" : "dx is not computed: nothing needs it.";
  return { symbols: info.backward || info.forward, numbers, text, table: numbersTable("Slopes", model, row, parts) };
}

function updateTexts() {
  const lines = weightLines();
  return { symbols: "", numbers: "", lines, text: `The optimizer changes every weight. These are its terms for ${nameOf(state.weight)}.` };
}

// ---------------------------------------------------------------------------------- the chosen weight

function nameOf(weight) {
  return weight ? `${weight.layer}.${weight.index.length > 1 ? "W" : "b"}[${weight.index.join(", ")}]` : "a weight";
}

function placeOf({ layer: name, index }) {
  const layer = layers.find((one) => one.name === name);
  const at = index.length > 1 ? model.begin(layer, "W") + index[0] * layer.outputs + index[1] : model.begin(layer, "b") + index[0];
  return [layer, at];
}

function weightLines() {
  if (!state.weight) return [];
  const [layer, at] = placeOf(state.weight);
  return updateLines(model.net.optimizer, model.numbersOf(layer, at));
}

function showWeight() {
  const { weight } = state, holder = byId("weight-numbers");
  byId("weight").hidden = weight === null;
  if (weight === null) return;
  byId("weight-title").textContent = `The weight ${nameOf(weight)}`;
  const [layer, at] = placeOf(weight), i = layers.indexOf(layer), unit = weight.index.at(-1), bias = weight.index.length === 1;
  const pairs = Array.from({ length: model.rows }, (_, row) => [
    bias ? 1 : layer.x[row * layer.inputs + weight.index[0]], model.slope(i + 1, row, unit) ?? 0,
  ]);
  const symbols = bias ? `db[${unit}] = Σ dz[r, ${unit}]  over the rows r` : `dW[${weight.index.join(", ")}] = Σ x[r, ${weight.index[0]}] · dz[r, ${unit}]  over the rows r`;
  const path = follow(model, weight, state.row), factors = path.map((step) => step.factor);
  const product = factors.includes(null) ? "?" : number(factors.reduce((a, b) => a * b, 1));
  const rows = path.map((step) => [
    step.layer, step.symbols, step.numbers === number(step.factor ?? NaN) ? "" : step.numbers,
    step.factor === null ? "?" : number(step.factor), number(step.gradient),
  ]);
  holder.replaceChildren(
    formula(symbols, `= ${productSum(pairs)} = ${number(model.raw[at], 6)}`),
    made("p", { className: "small" }, `One path of this gradient, in row ${state.row}: every layer multiplies the slope; the last column has it over all paths. The product is ${product}; all paths and rows together are ${number(model.raw[at])}.`),
    made("div", { className: "scroll" }, table("Path", ["layer", "factor", "with numbers", "value", "slope"], rows)),
    made("h3", {}, "Its update"), lineList(weightLines()),
  );
}

// ---------------------------------------------------------------------------------------- showing

function formula(symbols, numbers) {
  const parts = [];
  if (symbols) parts.push(made("div", { className: "symbols" }, symbols));
  for (const text of (numbers || "").split("\n").filter(Boolean)) parts.push(made("div", { className: "with-numbers" }, text));
  return made("div", { className: "formula" }, ...parts);
}

const lineList = (lines) => made("div", {}, ...lines.map((one) => formula(one.symbols, equals(one.numbers, one.value, 6))));

function showStep() {
  const { title } = steps[state.at], texts = stepTexts();
  byId("slider").value = state.at;
  byId("slider").setAttribute("aria-valuetext", title);
  byId("title").textContent = `${state.at + 1} of ${steps.length}: ${title}`;
  for (const [id, off] of [["first", 0], ["back", 0], ["next", steps.length - 1], ["last", steps.length - 1]]) byId(id).disabled = state.at === off;
  byId("now-title").textContent = title;
  const inside = [formula(texts.symbols, ""), texts.more ? formula(texts.more, "") : "", formula("", texts.numbers)];
  if (texts.text) inside.push(made("p", { className: "small" }, texts.text));
  if (texts.lines) inside.push(lineList(texts.lines));
  if (texts.table) inside.push(made("div", { className: "scroll" }, texts.table));
  byId("now-numbers").replaceChildren(...inside);
}

function showCheck() {
  const { share, place } = model.difference(), agrees = share <= given.tolerance;
  const check = byId("check");
  check.classList.toggle("bad", !state.edited && !agrees);
  if (state.edited || state.advanced) {
    check.textContent = `Changed by you: all numbers are computed here${state.advanced ? `, ${state.advanced} step${state.advanced > 1 ? "s" : ""} further` : ""}.`;
  } else if (agrees) {
    check.textContent = `The numbers of this page agree with those of nnx in ${given.precision}: the largest difference is ${number(share, 2)} of the largest number.`;
  } else {
    check.textContent = `The numbers of this page differ from those of nnx, by ${number(share, 2)} of the largest number, in ${place}.`;
  }
  byId("trouble").hidden = Number.isFinite(model.lossValue) && model.raw.every(Number.isFinite);
}

function refresh() {
  const known = reached(), chosen = state.hovered ?? state.weight;
  const path = chosen ? follow(model, chosen, state.row) : [];
  picture.show({ row: state.row, ...known, path });
  weights.show({
    gradients: (name) => layers.findIndex((layer) => layer.name === name) >= known.backward, updated: steps[state.at].kind === "update",
    chosen: state.weight ?? {},
  });
  batch.show();
  byId("row").value = state.row;
  showStep();
  showWeight();
  showCheck();
}

function go(at) {
  state.at = Math.min(Math.max(at, 0), steps.length - 1);
  refresh();
}

function edited() {
  state.edited = true;
  refresh();
}

const choose = (weight) => { state.weight = weight; refresh(); };
const picture = new Picture(model, byId("picture"), { choose, hover: (weight) => { state.hovered = weight; refresh(); } });
const batch = new Batch(model, byId("batch-table"), (row) => { state.row = row; edited(); });
const weights = new Weights(model, byId("fields"), { choose, changed: edited });

byId("facts").textContent = `${model.rows} rows, ${model.net.values.length} weights, ${given.precision}; loss ${given.description.loss.name}, optimizer ${given.description.optimizer.name}, step ${given.description.state.optimizerSteps + 1}`;
byId("slider").max = steps.length - 1;
byId("slider").addEventListener("input", (event) => go(event.target.valueAsNumber));
byId("first").addEventListener("click", () => go(0));
byId("back").addEventListener("click", () => go(state.at - 1));
byId("next").addEventListener("click", () => go(state.at + 1));
byId("last").addEventListener("click", () => go(steps.length - 1));
byId("row").append(...Array.from({ length: model.rows }, (_, row) => made("option", { value: String(row) }, String(row))));
byId("row").addEventListener("change", (event) => { state.row = Number(event.target.value); refresh(); });
byId("advance").addEventListener("click", () => { model.advance(); state.advanced += 1; go(0); });
byId("reset").addEventListener("click", () => { model.reset(); Object.assign(state, { edited: false, advanced: 0 }); refresh(); });
refresh();
