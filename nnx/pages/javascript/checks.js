// Settings with nnx's names and defaults, and errors that say what to change.

function known(what, table, name) {
  if (Object.hasOwn(table, name)) return table[name];
  throw new Error(`unknown ${what} "${name}": choose one of ${Object.keys(table).join(", ")}`);
}

const within = (low, high) => (value) => typeof value === "number" && value >= low && value < high;
const above0 = (value) => within(0, Infinity)(value) && value > 0;
const flag = (value) => typeof value === "boolean";
const size = (value) => Number.isInteger(value) && value > 0;
const onlyFirst = (value) => Array.isArray(value) && value.length === 1 && value[0] === 1;
const SHARE = "a number from 0 to below 1", POSITIVE = "a number above 0";
const NOT_NEGATIVE = "a number of at least 0";
const RANGES = {
  units: [size, "a whole number above 0"],
  inputs: [size, "a whole number above 0"],
  rate: [within(0, 1), SHARE],
  momentum: [within(0, 1), SHARE],
  label_smoothing: [within(0, 1), SHARE],
  beta1: [within(0, 1), SHARE],
  beta2: [within(0, 1), SHARE],
  rho: [within(0, 1), SHARE],
  epsilon: [above0, POSITIVE],
  delta: [above0, POSITIVE],
  clip_norm: [(value) => value === null || above0(value), `${POSITIVE}, or null`],
  clip_value: [(value) => value === null || above0(value), `${POSITIVE}, or null`],
  stddev: [within(0, Infinity), NOT_NEGATIVE],
  alpha: [within(0, Infinity), NOT_NEGATIVE],
  learning_rate: [within(0, Infinity), NOT_NEGATIVE],
  initial_accumulator: [within(0, Infinity), NOT_NEGATIVE],
  weight_decay: [within(0, Infinity), NOT_NEGATIVE],
  l2: [within(0, Infinity), NOT_NEGATIVE],
  shared_axes: [(value) => value === null || onlyFirst(value), "null or [1]"],
  initial: [Number.isFinite, "a number"],
  nesterov: [flag, "true or false"],
  from_logits: [flag, "true or false"],
  approximate: [flag, "true or false"],
  trainable: [flag, "true or false"],
  reduction: [(value) => ["mean", "sum_over_features"].includes(value), '"mean" or "sum_over_features"'],
};

function checkSettings(what, settings) {
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) throw new Error(`${what} needs a value for ${name}`);
    const [fits, range] = RANGES[name] ?? [];
    if (fits?.(value) === false) throw new Error(`${what}: ${name} must be ${range}, not ${value}`);
  }
}

// The defaults, replaced by what is given; `more` names settings that need no default.
function settingsOf(what, defaults, given, more = []) {
  const settings = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, name) && !more.includes(name)) {
      const names = Object.keys(defaults).join(", ") || "none";
      throw new Error(`${what} has no setting "${name}": it has ${names}`);
    }
    if (value !== undefined) settings[name] = value;
  }
  checkSettings(what, settings);
  return settings;
}

// {name, …settings} for a name, or for an object with a name.
function namedSettings(what, table, given) {
  const { name, ...rest } = typeof given === "string" ? { name: given } : given;
  const record = known(what, table, name);
  return { name, ...settingsOf(`${what} ${name}`, record.defaults, rest) };
}
