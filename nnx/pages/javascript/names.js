// What pages use, and what tests must cover.

return {
  network: (description) => new Network(description),
  epochOrder,
  modelFile,
  pythonCode,
  offers: {
    layers: Object.keys(LAYERS).filter((kind) => !Object.values(ACTIVATIONS).some((one) => one.kind === kind)),
    activations: Object.keys(ACTIVATIONS).filter((name) => name !== "gelu_tanh"),
    losses: Object.keys(LOSSES),
    optimizers: Object.keys(OPTIMIZERS),
    initializers: Object.keys(INITIALIZERS),
  },
  // The settings of each kind with their defaults; undefined where one must be given.
  defaults: {
    layers: Object.fromEntries(Object.entries(LAYERS).map(([name, { defaults }]) => [name, defaults])),
    losses: Object.fromEntries(Object.entries(LOSSES).map(([name, { defaults }]) => [name, defaults])),
    optimizers: Object.fromEntries(Object.entries(OPTIMIZERS).map(([name, { defaults }]) => [name, defaults])),
  },
};
