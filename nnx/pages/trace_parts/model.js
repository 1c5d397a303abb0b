// The network of the page: one training step by the engine, from the weights and the batch that the page shows.

class Model {
  constructor(given) {
    const { description, rows, x, y } = given;
    Object.assign(this, { given, rows, x: Float64Array.from(x), y: Float64Array.from(y) });
    this.net = nnxEngine.network(description);
    this.start = this.net.state(); // the weights that the reader sees, and the optimizer's moments before the step
    this.first = this.net.state();
    this.compute();
  }

  // Take the step again from `start`; the layers of `net` hold the passes, and `after` what the update made.
  compute() {
    const { net, start } = this;
    net.restore(start);
    net.forward(this.x, this.rows, true);
    this.lossValue = net.backward(this.y, this.rows);
    this.raw = net.gradients.slice();
    net.update();
    this.clipped = net.gradients.slice();
    this.after = net.state();
    const after = net.evaluate(this.x, this.y, this.rows);
    net.restore(start);
    this.losses = [net.evaluate(this.x, this.y, this.rows), after]; // before and after the step, without dropout
  }

  // Make the weights after the step those that the next step starts from.
  advance() {
    this.start = this.after;
    this.compute();
  }

  // The weights and the batch of the trace again.
  reset() {
    this.start = this.first;
    this.x = Float64Array.from(this.given.x);
    this.y = Float64Array.from(this.given.y);
    this.compute();
  }

  // Set one weight; `at` is its place among all values.
  setWeight(at, value) {
    this.start = { ...this.start, values: this.start.values.slice() };
    this.start.values[at] = value;
    this.compute();
  }

  // Where a parameter begins among all values.
  begin(layer, name) {
    return (layer.parameters[name].byteOffset - this.net.values.byteOffset) / Float64Array.BYTES_PER_ELEMENT;
  }

  // The place of a weight among all values: of W[from, to], or of b[to].
  place(layer, index) {
    const [first, second] = index;
    if (second === undefined) return this.begin(layer, "b") + first;
    return this.begin(layer, "W") + first * layer.outputs + second;
  }
  weight(layer, from, to) { return this.start.values[this.place(layer, [from, to])]; }
  bias(layer, to) { return this.start.values[this.place(layer, [to])]; }

  // The loss of one row.
  rowLoss(row) {
    const { loss, layers, outputs } = this.net, last = layers.at(-1), part = [row * outputs, (row + 1) * outputs];
    const p = (loss.fused ? last.x : last.y).slice(...part);
    return loss.evaluate(this.y.slice(...part), p, new Float64Array(outputs), 1);
  }

  // The numbers of one weight for `updateLines`.
  numbersOf(layer, at) {
    const { net, start, after } = this;
    const slots = {};
    for (const name of Object.keys(start.slots)) slots[name] = [start.slots[name][at], after.slots[name][at]];
    return {
      w: start.values[at], raw: this.raw[at], g: this.clipped[at], rate: net.optimizer.learning_rate,
      step: start.optimizerSteps + 1, slots, after: after.values[at], trainable: layer.trainable,
    };
  }

  // The largest difference to the trace's numbers, and its place. It is a share of the largest number in the array;
  // for parameters and gradients, of the largest in all of them, as one array may be 0 except for rounding. The new
  // weight of such a gradient is not compared: Adam divides by the gradient's size, so rounding becomes a full step.
  difference() {
    const { expected, tolerance } = this.given;
    let worst = { share: 0, place: "" };
    const largest = (numbers) => numbers.reduce((top, one) => Math.max(top, Math.abs(one)), Number.MIN_VALUE);
    const of = (name) => Math.max(...Object.values(expected.parameters).map((one) => largest(one[name])));
    const steepest = of("gradient"), heaviest = of("after");
    const look = (place, found, wanted, least = 0, gradient = null) => {
      if (!wanted || !found) return;
      const size = Math.max(largest(wanted), least);
      for (let i = 0; i < wanted.length; i++) {
        if (gradient !== null && Math.abs(gradient[i]) <= tolerance * steepest) continue;
        const share = Math.abs(found[i] - wanted[i]) / size;
        if (!(share <= worst.share)) worst = { share: Number.isNaN(share) ? Infinity : share, place };
      }
    };
    look("loss", [this.lossValue], [expected.loss]);
    this.net.layers.forEach((layer, i) => {
      for (const name of ["y", "dy", "dx"]) look(`${layer.name}.${name}`, layer[name], expected.layers[i][name]);
      for (const name of Object.keys(layer.parameters)) {
        const at = this.begin(layer, name), wanted = expected.parameters[`${layer.name}.${name}`];
        look(`${layer.name}.d${name}`, this.raw.subarray(at), wanted.gradient, steepest);
        look(`${layer.name}.${name}`, this.after.values.subarray(at), wanted.after, heaviest, wanted.gradient);
      }
    });
    return worst;
  }

  // ∂L/∂y of one number of a layer's output; null if it is not computed.
  slope(column, row, unit) {
    const { layers } = this.net;
    const last = column === layers.length;
    const array = last ? (this.net.loss.fused ? null : this.net.dy) : column === 0 ? null : layers[column].dx;
    return array === null ? null : array[row * this.size(column) + unit];
  }

  // The number of a unit: of the input (column 0), or of a layer's output.
  value(column, row, unit) {
    const array = column === 0 ? this.x : this.net.layers[column - 1].y;
    return array[row * this.size(column) + unit];
  }

  // How many numbers a row has in a column.
  size(column) {
    return column === 0 ? this.net.inputs : this.net.layers[column - 1].outputs;
  }
}
