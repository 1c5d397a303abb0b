// The path of a weight's gradient: from the loss back through one unit of each layer, as in nnx/tracing/path.py.

// The steps from the loss to a weight of a dense layer: {layer, unit, input, symbols, numbers, factor, gradient}.
function follow(model, weight, row) {
  const { net, given } = model, { layers } = net;
  const place = layers.findIndex((layer) => layer.name === weight.layer);
  const bias = weight.index.length === 1, j = weight.index.at(-1);
  const x = bias ? 1 : layers[place].x[row * layers[place].inputs + weight.index[0]];
  const dz = model.slope(place + 1, row, j) ?? 0;
  const steps = [{
    layer: weight.layer, column: place + 1, unit: j, input: bias ? null : weight.index[0],
    symbols: bias ? "· 1, as b is added" : `· x[${weight.index[0]}]`, numbers: number(x),
    factor: x, gradient: x * dz,
  }];
  let unit = j;
  for (let i = place + 1; i < layers.length; i++) {
    if (net.loss.fused && i === layers.length - 1) break;
    const step = through(model, i, row, unit);
    steps.push(step);
    unit = step.unit;
  }
  steps.push(atLoss(model, row, unit));
  return steps.reverse();
}

// The step through one layer, from one of its inputs to the output with the largest part.
function through(model, i, row, input) {
  const layer = model.net.layers[i], info = model.given.layers[i], { inputs, outputs } = layer;
  const gradient = layer.dx[row * inputs + input];
  const found = { layer: layer.name, column: i + 1, input, unit: input, gradient };
  if (info.dense) {
    const part = (k) => Math.abs(layer.dy[row * outputs + k] * model.weight(layer, input, k));
    const unit = strongest(outputs, part), value = model.weight(layer, input, unit);
    return { ...found, unit, symbols: `· W[${input}, ${unit}]`, numbers: number(value), factor: value };
  }
  const y = (k) => layer.y[row * outputs + k];
  if (info.activation === "softmax") {
    const slope = (k) => y(k) * ((k === input ? 1 : 0) - y(input));
    const unit = strongest(outputs, (k) => Math.abs(layer.dy[row * outputs + k] * slope(k)));
    const symbols = unit === input ? `· y[${unit}] (1 − y[${unit}])` : `· (−y[${unit}] y[${input}])`;
    return { ...found, unit, symbols, numbers: number(slope(unit)), factor: slope(unit) };
  }
  if (info.activation) {
    const z = layer.x[row * inputs + input], slope = layer.slope(z, y(input), layer.alpha);
    const [, numbers] = activationNumbers(info, z, y(input), slope);
    return { ...found, symbols: "· f'(z)", numbers, factor: slope };
  }
  const dy = layer.dy[row * outputs + input];
  if (info.elementwise && dy !== 0) {
    return { ...found, symbols: "· ∂y/∂x", numbers: number(gradient / dy), factor: gradient / dy };
  }
  const unit = strongest(outputs, (k) => Math.abs(layer.dy[row * outputs + k]));
  return { ...found, unit, symbols: "· …", numbers: "its backward pass gives dx from dy", factor: null };
}

function strongest(size, part) {
  let best = 0;
  for (let k = 1; k < size; k++) if (part(k) > part(best)) best = k;
  return best;
}

function atLoss(model, row, unit) {
  const { net, rows } = model, last = net.layers.at(-1), { fused } = net.loss;
  const at = row * net.outputs + unit, p = fused ? last.x[at] : last.y[at];
  const gradient = fused ? last.dx[at] : net.dy[at];
  const numbers = lossNumbers(net.loss, p, model.y[at], rows, last.y[at]) || number(gradient);
  const symbols = `dL/d${fused ? "z" : "y"}[${unit}]`;
  const found = { layer: "loss", column: net.layers.length + 1, input: unit, unit: 0 };
  return { ...found, symbols, numbers, factor: gradient, gradient };
}
