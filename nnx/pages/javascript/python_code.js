// The Python code that makes the same network in nnx, and trains it.

const CONSTANTS = new Map([[true, "True"], [false, "False"], [null, "None"]]);
// Large seeds are texts, see random.js.
const isSeed = (value) => typeof value === "string" && /^\d+$/.test(value);
const literal = (value) => CONSTANTS.get(value) ?? (isSeed(value) ? value : JSON.stringify(value));

// nnx.Name(first, …, setting=value, …), with the settings that are not the defaults
function call(name, first, settings, defaults) {
  const changed = Object.entries(settings).filter(([key, value]) => value !== defaults[key]);
  const named = changed.map(([key, value]) => `${key}=${literal(value)}`);
  return `nnx.${name}(${[...first.map(literal), ...named].join(", ")})`;
}

function layerCall({ kind, inputs, settings: { trainable, ...settings } }, activation) {
  const { defaults } = LAYERS[kind];
  if (kind !== "Dense") return call(kind, [], settings, defaults);
  const { units, ...rest } = settings;
  return call(kind, [inputs, units], activation === undefined ? rest : { activation, ...rest }, defaults);
}

// The name of an activation that Dense can have: one with its default settings.
function shorthand(layer) {
  if (layer === undefined || layer.settings.trainable === false) return undefined;
  const entries = Object.entries(ACTIVATIONS).filter(([, record]) => record.kind === layer.kind);
  const { defaults } = LAYERS[layer.kind];
  const plain = Object.entries(layer.settings).every(([key, value]) => value === defaults[key]);
  return plain ? entries[0]?.[0] : undefined;
}

function layerLines(layers) {
  const lines = [];
  for (let i = 0; i < layers.length; i++) {
    const layer = layers[i];
    const activation = layer.kind === "Dense" ? shorthand(layers[i + 1]) : undefined;
    lines.push(`        ${layerCall(layer, activation)},`);
    if (activation !== undefined) i += 1;
  }
  return lines;
}

// `epochs` and `batch_size` add the training; x and y are then the rows and targets of the reader.
function pythonCode(net, { epochs, batch_size: batchSize = 32 } = {}) {
  const { name: lossName, ...lossSettings } = net.loss.settings;
  const { name: optimizerName, learning_rate: rate, ...optimizerSettings } = net.optimizer;
  const loss = LOSSES[lossName], optimizer = OPTIMIZERS[optimizerName];
  const fuse = net.fuse ? "" : ", fuse=False";
  const lines = ["import nnx", "", "network = nnx.Network(", "    [", ...layerLines(net.layers), "    ],"];
  lines.push(`    precision="float64", seed=${net.seed}${fuse},`, ")");
  if (net.layers[0].kind !== "Dense") lines.push(`network.build(${net.inputs})`);
  for (const layer of net.layers.filter((one) => !one.trainable)) {
    lines.push(`network.layers[${layer.index}].trainable = False`);
  }
  if (epochs !== undefined) {
    lines.push(
      "history = network.fit(", "    x, y,",
      `    loss=${call(loss.python, [], lossSettings, loss.defaults)},`,
      `    optimizer=${call(optimizer.python, [rate], optimizerSettings, optimizer.defaults)},`,
      `    epochs=${epochs}, batch_size=${batchSize},`, ")",
      'print("loss in the last epoch:", history["loss"][-1])',
    );
  }
  return lines.join("\n") + "\n";
}
