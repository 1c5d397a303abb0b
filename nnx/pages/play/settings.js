// The settings: their defaults, their limits, and the network that they describe.

const DEFAULTS = {
  task: "classification", data: "xor", points: 500, noise: 0.05, held: 0.25, seed: 1, target: 0, table: "",
  layers: [{ units: 8, activation: "tanh" }, { units: 8, activation: "tanh" }],
  loss: "cross_entropy", optimizer: "adam", rate: 0.01, batch: 16, dropout: 0, inputNoise: 0, speed: 5,
};

// What a set starts with when it is chosen.
const STARTS = {
  digits: {
    classification: { layers: [{ units: 32, activation: "relu" }], rate: 0.003, batch: 32, speed: 5 },
    autoencoding: {
      layers: [{ units: 32, activation: "relu" }, { units: 16, activation: "relu" },
        { units: 32, activation: "relu" }],
      rate: 0.003, batch: 32, speed: 5,
    },
  },
  plane: {
    classification: { layers: DEFAULTS.layers, rate: 0.01, batch: 16 },
    regression: { layers: DEFAULTS.layers, rate: 0.01, batch: 16 },
    autoencoding: {
      layers: [{ units: 8, activation: "tanh" }, { units: 1, activation: "identity" },
        { units: 8, activation: "tanh" }],
      rate: 0.01, batch: 16,
    },
  },
};

STARTS.own = {
  ...STARTS.plane,
  autoencoding: {
    layers: [{ units: 8, activation: "tanh" }, { units: 2, activation: "identity" },
      { units: 8, activation: "tanh" }],
    rate: 0.01, batch: 16,
  },
};

const LIMITS = {
  points: [20, 1000], noise: [0, 0.5], held: [0, 0.5], seed: [0, 999999], target: [0, 63],
  rate: [1e-6, 10], batch: [1, 5000], dropout: [0, 0.8], inputNoise: [0, 1], speed: [1, 100],
};
const WHOLE = new Set(["points", "seed", "target", "batch", "speed"]);

// The most units of a layer: pictures of more neurons would be too small.
const MOST_UNITS = 64;

// Settings from a link, with defaults in place of what is missing or makes no sense.
function checkedSettings(given) {
  const settings = { ...DEFAULTS,
    ...Object.fromEntries(Object.entries(given ?? {}).filter(([key]) => key in DEFAULTS)) };
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    const value = Number(settings[name]);
    const fits = Number.isFinite(value) && value >= low && value <= high;
    settings[name] = fits ? (WHOLE.has(name) ? Math.round(value) : value) : DEFAULTS[name];
  }
  const choose = (name, choices) => {
    if (!Object.hasOwn(choices, settings[name])) settings[name] = Object.keys(choices)[0];
  };
  choose("task", TASKS);
  if (settings.data !== "own") choose("data", SETS[settings.task]);
  choose("loss", LOSSES[settings.task]);
  choose("optimizer", OPTIMIZERS);
  settings.table = String(settings.table).slice(0, 200);
  const layers = Array.isArray(settings.layers) ? settings.layers.slice(0, MOST_LAYERS) : DEFAULTS.layers;
  settings.layers = layers.map((layer) => ({
    units: Math.min(Math.max(Math.round(Number(layer?.units)) || 1, 1), MOST_UNITS),
    activation: Object.hasOwn(ACTIVATIONS, layer?.activation) ? layer.activation : "tanh",
  }));
  return settings;
}

// Settings after another task or set was chosen: a network and a rate that suit it.
function startOf(settings, changes) {
  const next = { ...settings, ...changes };
  const offered = SETS[next.task];
  if (next.data !== "own" && !Object.hasOwn(offered, next.data)) next.data = Object.keys(offered)[0];
  const kindOfSet = (name) => (Object.hasOwn(STARTS, name) ? name : "plane");
  const [kind, wasKind] = [next, settings].map(({ data }) => kindOfSet(data));
  if (next.task !== settings.task) next.loss = Object.keys(LOSSES[next.task])[0];
  if (next.task !== settings.task || kind !== wasKind) Object.assign(next, STARTS[kind][next.task]);
  return checkedSettings(next);
}

function lossOf(settings, problem) {
  if (settings.loss !== "cross_entropy") return settings.loss;
  return problem.outputs === 1 ? "binary_cross_entropy" : "categorical_cross_entropy";
}

// The output's activation follows from the task.
function answerOf(problem) {
  if (problem.task === "classification") return problem.outputs === 1 ? "sigmoid" : "softmax";
  return problem.task === "autoencoding" && problem.image ? "sigmoid" : "identity";
}

function optimizerOf(settings) {
  if (settings.optimizer === "momentum") return { name: "sgd", learning_rate: settings.rate, momentum: 0.9 };
  return { name: settings.optimizer, learning_rate: settings.rate };
}

// The network as the engine takes it.
function networkOf(settings, problem) {
  const layers = [];
  if (settings.inputNoise > 0) layers.push({ kind: "GaussianNoise", stddev: settings.inputNoise });
  for (const { units, activation } of settings.layers) {
    layers.push({ kind: "Dense", units, activation });
    if (settings.dropout > 0) layers.push({ kind: "Dropout", rate: settings.dropout });
  }
  layers.push({ kind: "Dense", units: problem.outputs, activation: answerOf(problem) });
  return {
    inputs: problem.inputs, layers, loss: lossOf(settings, problem), optimizer: optimizerOf(settings),
    seed: settings.seed,
  };
}

// Whether a change of the settings needs a new network.
function beginsAnew(before, after) {
  const live = new Set(["rate", "batch", "speed"]);
  return Object.keys(DEFAULTS).some((name) => !live.has(name)
    && JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}
