// The steps in order, and each step in words: formulas with symbols and with numbers, and a table.

class Words {
  constructor(model) {
    const { layers, loss } = model.net;
    Object.assign(this, { model, layers, fused: loss.fused, given: model.given });
    const walked = (kind, title) => layers.map((layer, i) => ({ kind, i, title: `${title}: ${layer.name}` }));
    this.steps = [
      { kind: "start", title: "The batch and the weights" },
      ...walked("forward", "Forward"),
      { kind: "loss", title: "The loss" },
      ...walked("backward", "Backward").reverse().slice(this.fused ? 1 : 0), // the loss includes a fused layer
      { kind: "update", title: `Update: ${this.given.description.optimizer.name}` },
    ];
  }

  // How far the numbers are known at a step: the last column of outputs, whether the loss is, the first column of
  // slopes; and the columns of this step.
  reached({ kind, i }) {
    const end = this.layers.length, source = this.fused ? end - 1 : end;
    if (kind === "start") return { forward: 0, loss: false, backward: Infinity, now: [0] };
    if (kind === "forward") return { forward: i + 1, loss: false, backward: Infinity, now: [i, i + 1] };
    const all = { forward: end, loss: true };
    if (kind === "loss") return { ...all, backward: source, now: [source, end + 1] };
    return kind === "backward" ? { ...all, backward: i, now: [i, i + 1] } : { ...all, backward: 0, now: [] };
  }

  // A step: {symbols, more, numbers, text, table}; `weight` and `row` are those that the reader chose.
  of(step, weight, row) {
    this.path = weight ? follow(this.model, weight, row) : [];
    if (step.kind === "start") return this.start(row);
    if (step.kind === "update") return this.update(weight);
    return step.kind === "loss" ? this.loss(row) : this[step.kind](step.i, row);
  }

  start(row) {
    const text = "Every layer computes y from x. Press Next: the numbers appear from left to right, and then the slopes "
      + "from right to left.";
    return { text, table: numbersTable("Input", this.model, row, [this.values(0, "x")]) };
  }

  forward(i, row) {
    const { model } = this, info = this.given.layers[i], layer = this.layers[i];
    const [, unit] = this.places(i), y = model.value(i + 1, row, unit);
    let numbers = "";
    if (info.dense) {
      const pairs = rangeOf(layer.inputs).map((k) => [model.value(i, row, k), model.weight(layer, k, unit)]);
      numbers = `z[${row}, ${unit}] = ${productSum(pairs, model.bias(layer, unit))} = ${number(y)}`;
    } else if (info.activation) {
      const [text] = activationNumbers(info, model.value(i, row, unit), y, 0);
      numbers = `y[${row}, ${unit}] = ${equals(text, y)}`;
    }
    const [into, out] = info.activation ? ["z", "y"] : ["x", info.dense ? "z" : "y"];
    const parts = [this.values(i, into), this.values(i + 1, out)];
    return { symbols: info.forward, numbers, table: numbersTable("Input and output", model, row, parts) };
  }

  loss(row) {
    const { model, given, fused } = this, { outputs } = model.net, end = this.layers.length;
    const each = (one) => model.rowLoss(one), source = fused ? end - 1 : end, letter = fused ? "z" : "p";
    const some = rangeOf(Math.min(model.rows, 8)).map((one) => number(each(one))).join(" + ");
    const sum = `L = (${some}${model.rows > 8 ? " + …" : ""}) / ${model.rows} = ${number(model.lossValue, 6)}`;
    const step = atLoss(model, row, this.places(end - 1)[1]), slope = step.symbols.split("[")[0];
    const target = { title: "target", units: given.units[end], at: (one, unit) => model.y[one * outputs + unit] };
    const parts = [
      this.values(source, letter), target, { title: "ℓ", units: [0], at: each }, this.slopes(source, `d${letter}`),
    ];
    return {
      symbols: given.loss.whole, more: fused ? `with the last activation: ${given.loss.each}` : "",
      numbers: `${sum}\n${slope}[${row}, ${step.input}] = ${equals(step.numbers, step.gradient)}`,
      table: numbersTable("Loss", model, row, parts),
    };
  }

  backward(i, row) {
    const { model } = this, info = this.given.layers[i], layer = this.layers[i];
    const [input, unit] = this.places(i), out = info.dense ? "z" : "y", into = info.activation ? "z" : "x";
    let numbers = "";
    if (i > 0 && info.dense) {
      const pairs = rangeOf(layer.outputs).map((k) => [model.slope(i + 1, row, k), model.weight(layer, input, k)]);
      numbers = `dx[${row}, ${input}] = ${equals(productSum(pairs), model.slope(i, row, input))}`;
    } else if (i > 0 && info.activation && info.activation !== "softmax") {
      const z = model.value(i, row, unit), y = model.value(i + 1, row, unit);
      const [, text] = activationNumbers(info, z, y, layer.slope(z, y, layer.alpha));
      const slope = /^[\d.]+$/.test(text) ? text : `(${text})`;
      const dy = factor(model.slope(i + 1, row, unit)), dz = number(model.slope(i, row, unit));
      numbers = `dz[${row}, ${unit}] = ${dy} · ${slope} = ${dz}`;
    }
    const parts = [this.slopes(i + 1, `d${out}`), ...(i > 0 ? [this.slopes(i, `d${into}`)] : [])];
    const text = i > 0 ? "" : "dx is not computed: nothing needs it.";
    const symbols = info.backward || info.forward;
    return { symbols, numbers, text, table: numbersTable("Slopes", model, row, parts) };
  }

  update(weight) {
    const [before, after] = this.model.losses.map((loss) => number(loss, 6));
    const numbers = `loss before the step: ${before}\nloss after it: ${after}`;
    const text = "The optimizer changes every weight; the tables below show the new ones. Both losses are computed on "
      + "these rows without dropout, as evaluate does.";
    return { numbers, text: weight ? `${text} The card of ${nameOf(weight)} shows its update.` : text };
  }

  // The input and the output of a layer that its formula is written out for: those on the path.
  places(i) {
    const step = this.path.find((one) => one.column === i + 1), [first] = this.given.units[i];
    if (step && step.input !== null) return [step.input, step.unit];
    return [first, step?.unit ?? this.given.units[i + 1][0]];
  }

  // The numbers, or the slopes, of a column for a table.
  values(c, title) {
    return { title, units: this.given.units[c], at: (row, unit) => this.model.value(c, row, unit) };
  }
  slopes(c, title) {
    return { title, units: this.given.units[c], at: (row, unit) => this.model.slope(c, row, unit) };
  }
}

const rangeOf = (size) => Array.from({ length: size }, (_, place) => place);
