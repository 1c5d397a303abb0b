// The network: its layers in order, all parameters in one array, and a training step.

class Network {
  constructor({ inputs, layers, loss, optimizer, seed = 0, fuse = true, weights, state }) {
    if (!layers?.length) throw new Error("a network needs at least one layer");
    checkSettings("network", { inputs });
    Object.assign(this, { inputs, seed, fuse, rows: 0, capacity: 0, steps: 0, fault: false });
    this.layers = makeLayers(inputs, layers);
    this.outputs = this.layers.at(-1).outputs;
    this.loss = new Loss(loss ?? "mean_squared_error", this.layers, fuse);
    this.allocate();
    this.setOptimizer(optimizer ?? "sgd");
    if (weights === undefined) this.initialize();
    else this.setWeights(weights);
    if (state !== undefined) this.restore(state);
    this.looks = [];
    this.keptLooks = new Map(); // by the number of rows
    this.scratch = new Float64Array(0);
  }

  // One array for all values, one for gradients, one for statistics; layers have views of them.
  allocate() {
    const size = (shapes) => Object.values(shapes).reduce((sum, shape) => sum + product(shape), 0);
    const total = (method) => this.layers.reduce((sum, layer) => sum + size(layer[method]()), 0);
    this.values = new Float64Array(total("shapes"));
    this.gradients = new Float64Array(this.values.length);
    this.statistics = new Float64Array(total("statisticShapes"));
    this.spans = []; // of the trainable values
    let at = 0, after = 0; // where the next parameter, and the next statistic begins
    for (const layer of this.layers) {
      const first = at;
      for (const [name, shape] of Object.entries(layer.shapes())) {
        const end = at + product(shape);
        layer.parameters[name] = this.values.subarray(at, end);
        layer.gradients[name] = this.gradients.subarray(at, end);
        at = end;
      }
      for (const [name, shape] of Object.entries(layer.statisticShapes())) {
        layer.statistics[name] = this.statistics.subarray(after, (after += product(shape)));
      }
      if (layer.trainable && at > first) this.spans.push([first, at]);
    }
  }

  // Take an optimizer, by its name or as an object; its moments start again. Between steps, settings in
  // `optimizer` may be changed directly, except those that add moments (momentum).
  setOptimizer(given) {
    this.optimizer = namedSettings("optimizer", OPTIMIZERS, given);
    this.slots = {};
    this.optimizerSteps = 0;
    const { slots } = OPTIMIZERS[this.optimizer.name];
    for (const [name, start] of Object.entries(slots(this.optimizer))) {
      this.slots[name] = new Float64Array(this.values.length).fill(start);
    }
  }

  // Draw the initial weights of the seed: those of nnx.
  initialize() {
    this.values.fill(0);
    this.statistics.fill(0);
    const generator = new Generator(this.seed, "weights");
    for (const layer of this.layers) layer.initialize(generator);
  }

  // Memory for a batch of so many rows; a smaller batch uses its first part.
  prepare(rows) {
    if (rows <= this.capacity) return;
    this.capacity = rows;
    for (const layer of this.layers) {
      layer.y = new Float64Array(rows * layer.outputs);
      layer.dx = new Float64Array(rows * layer.inputs);
    }
    this.dy = new Float64Array(rows * this.outputs); // ∂L/∂output
    this.layers.forEach((layer, i) => { layer.dy = this.layers[i + 1]?.dx ?? this.dy; });
    if (this.loss.fused) this.layers.at(-1).dy = null; // the loss includes the last layer
  }

  // Compute the output for rows of x; every layer keeps its x and y, which `backward` needs.
  forward(x, rows, training = true) {
    this.prepare(rows);
    this.rows = rows;
    let arriving = x;
    for (const layer of this.layers) {
      layer.x = arriving;
      if (training) layer.draw(this.seed, this.steps);
      layer.training = training;
      layer.forward(arriving, layer.y, rows, training);
      arriving = layer.y;
    }
    return arriving;
  }

  // Return the loss of the last forward pass for targets y, and write ∂L/∂output, or ∂L/∂z if it is fused.
  lossOf(y, rows) {
    const last = this.layers.at(-1);
    return this.loss.fused
      ? this.loss.evaluate(y, last.x, last.dx, rows)
      : this.loss.evaluate(y, last.y, this.dy, rows);
  }

  // Write all gradients for the last forward pass, and return the loss; with `inputGradient` also
  // ∂L/∂x, as layers[0].dx.
  backward(y, rows, inputGradient = false) {
    const loss = this.lossOf(y, rows);
    for (let i = this.layers.length - (this.loss.fused ? 2 : 1); i >= 0; i--) {
      const layer = this.layers[i];
      layer.backward(layer.dy, i > 0 || inputGradient ? layer.dx : null, rows);
    }
    return loss;
  }

  // Change the parameters by their gradients.
  update() {
    const { optimizer, values, gradients, spans } = this;
    if ((optimizer.clip_value ?? optimizer.clip_norm) !== null) clipGradients(gradients, spans, optimizer);
    this.steps += 1;
    this.optimizerSteps += 1;
    const rule = OPTIMIZERS[optimizer.name];
    for (const [from, to] of spans) {
      rule.update(values, gradients, this.slots, from, to, optimizer, this.optimizerSteps);
    }
  }

  // One training step; returns the loss before the update. If the loss or a gradient is not finite, nothing
  // changes and `fault` is true, as `fit` then stops.
  step(x, y, rows) {
    this.forward(x, rows, true);
    const loss = this.backward(y, rows);
    this.fault = !Number.isFinite(loss) || !this.gradients.every(Number.isFinite);
    if (!this.fault) this.update();
    return loss;
  }

  // The output of each layer in inference; the results of the last training pass stay as they are.
  look(x, rows) {
    let arriving = x;
    this.looks = this.looksFor(rows);
    this.layers.forEach((layer, i) => {
      layer.forward(arriving, this.looks[i], rows, false);
      arriving = this.looks[i];
    });
    return this.looks;
  }

  // Memory for `look`, kept for a few numbers of rows: a page alternates between them in each frame.
  looksFor(rows) {
    const kept = this.keptLooks;
    if (!kept.has(rows)) {
      if (kept.size === 4) kept.delete(kept.keys().next().value); // the oldest
      kept.set(rows, this.layers.map((layer) => new Float64Array(rows * layer.outputs)));
    }
    return kept.get(rows);
  }

  // The output in inference; the next call of predict or look overwrites it.
  predict(x, rows) {
    return this.look(x, rows).at(-1);
  }

  // The loss of rows in inference.
  evaluate(x, y, rows) {
    const looks = this.look(x, rows), place = this.layers.length - 1;
    const p = this.loss.fused ? (place > 0 ? looks[place - 1] : x) : looks[place];
    const size = rows * this.outputs;
    if (this.scratch.length < size) this.scratch = new Float64Array(size); // for a gradient that nobody needs
    return this.loss.evaluate(y, p, this.scratch, rows);
  }

  // Copies of everything that a step changes, for `restore`.
  state() {
    const slots = Object.fromEntries(Object.entries(this.slots).map(([name, slot]) => [name, slot.slice()]));
    const { steps, optimizerSteps } = this;
    return { values: this.values.slice(), statistics: this.statistics.slice(), slots, steps, optimizerSteps };
  }

  // Set what `state` returned, or a part of it.
  restore({ values, statistics, slots = {}, steps = this.steps, optimizerSteps = this.optimizerSteps }) {
    const pairs = [[this.values, values ?? this.values], [this.statistics, statistics ?? this.statistics]];
    for (const [name, slot] of Object.entries(slots)) pairs.push([this.slots[name], slot]);
    if (pairs.some(([there, given]) => there?.length !== given.length)) {
      throw new Error("the state is that of another network, or of another optimizer");
    }
    for (const [there, given] of pairs) there.set(given);
    Object.assign(this, { steps, optimizerSteps });
  }

  // What makes the same network again, without its weights and its state.
  description() {
    const layers = this.layers.map(({ kind, settings }) => ({ kind, ...settings }));
    const { inputs, seed, fuse, optimizer } = this;
    return { inputs, seed, fuse, layers, loss: { ...this.loss.settings }, optimizer: { ...optimizer } };
  }

  // Every parameter and statistic by nnx's name: {shape, values}, where values is a view.
  weights() {
    const found = {};
    const add = (layer, shapes, views) => {
      for (const [name, shape] of Object.entries(shapes)) {
        found[`${layer.name}.${name}`] = { shape, values: views[name] };
      }
    };
    for (const layer of this.layers) add(layer, layer.shapes(), layer.parameters);
    for (const layer of this.layers) add(layer, layer.statisticShapes(), layer.statistics);
    return found;
  }

  // Set them from numbers by name, one after the other.
  setWeights(numbers) {
    const weights = Object.entries(this.weights());
    for (const [name, { values }] of weights) {
      if (numbers[name]?.length !== values.length) throw new Error(`${name} needs ${values.length} numbers`);
    }
    for (const [name, { values }] of weights) values.set(numbers[name]);
  }
}

const product = (shape) => shape.reduce((total, size) => total * size, 1);
