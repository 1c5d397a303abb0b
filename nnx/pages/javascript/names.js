// What pages use, and what tests must cover.

function defaultsOf(table) {
  return Object.fromEntries(Object.entries(table).map(([name, { defaults }]) => [name, defaults]));
}
const kindsOfActivations = Object.values(ACTIVATIONS).map(({ kind }) => kind);

return {
  network: (description) => new Network(description),
  epochOrder,
  modelFile,
  pythonCode,
  offers: {
    layers: Object.keys(LAYERS).filter((kind) => !kindsOfActivations.includes(kind)),
    activations: Object.keys(ACTIVATIONS).filter((name) => name !== "gelu_tanh"),
    losses: Object.keys(LOSSES),
    optimizers: Object.keys(OPTIMIZERS),
    initializers: Object.keys(INITIALIZERS),
  },
  // The settings of each kind with their defaults; undefined where one must be given.
  defaults: { layers: defaultsOf(LAYERS), losses: defaultsOf(LOSSES), optimizers: defaultsOf(OPTIMIZERS) },
};
