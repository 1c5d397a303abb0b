// The chosen weight, {layer, index}: its gradient as a sum, one path to it, and its update.

function nameOf({ layer, index }) {
  return `${layer}.${index.length > 1 ? "W" : "b"}[${index.join(", ")}]`;
}

// The weight that the page begins with: that of the trace, or one of the first dense layer; null if there is none.
function firstWeight({ weight: { name, index }, layers }) {
  const dense = layers.filter((one) => one.dense).map((one) => one.name), [layer] = name.split(/\.(?=\w+$)/);
  if (dense.includes(layer)) return { layer, index };
  return dense.length ? { layer: dense[0], index: [0, 0] } : null;
}

function linesOf(model, { layer: name, index }) {
  const layer = model.net.layers.find((one) => one.name === name);
  return updateLines(model.net.optimizer, model.numbersOf(layer, model.place(layer, index)));
}

// What the page says about a weight, as elements.
function weightInWords(model, weight, row) {
  const { net } = model, { index } = weight, bias = index.length === 1, unit = index.at(-1);
  const i = net.layers.findIndex((one) => one.name === weight.layer), layer = net.layers[i];
  const gradient = model.raw[model.place(layer, index)];
  const pairs = rangeOf(model.rows).map((one) => [
    bias ? 1 : model.value(i, one, index[0]), model.slope(i + 1, one, unit) ?? 0,
  ]);
  const term = bias ? `dz[r, ${unit}]` : `x[r, ${index[0]}] · dz[r, ${unit}]`;
  const symbols = `d${bias ? "b" : "W"}[${index.join(", ")}] = Σ ${term}  over the rows r`;
  const path = follow(model, weight, row), factors = path.map((step) => step.factor);
  const product = factors.includes(null) ? "?" : number(factors.reduce((a, b) => a * b, 1));
  const about = `One path of this gradient, in row ${row}: every layer multiplies the slope by its factor. `
    + `The last column is the slope over all paths. The product of the factors is ${product}; the sum over all paths `
    + `and rows is ${number(gradient)}.`;
  return [
    formula(symbols, `= ${productSum(pairs)} = ${number(gradient, 6)}`),
    made("p", { className: "small" }, about),
    made("div", { className: "scroll" }, pathTable(path)),
    made("h3", {}, "Its update"), lineList(linesOf(model, weight)),
  ];
}

function pathTable(path) {
  const rows = path.map(({ layer, symbols, numbers, factor: value, gradient }) => {
    const text = value === null ? "?" : number(value);
    return [layer, symbols, numbers === text ? "" : numbers, text, number(gradient)];
  });
  return table("Path", ["layer", "factor", "with numbers", "value", "slope"], rows);
}

// A formula with symbols, and below it with numbers.
function formula(symbols, numbers) {
  const texts = (numbers || "").split("\n").filter(Boolean);
  const parts = texts.map((text) => made("div", { className: "with-numbers" }, text));
  if (symbols) parts.unshift(made("div", { className: "symbols" }, symbols));
  return made("div", { className: "formula" }, ...parts);
}

function lineList(lines) {
  return made("div", {}, ...lines.map((one) => formula(one.symbols, equals(one.numbers, one.value, 6))));
}
