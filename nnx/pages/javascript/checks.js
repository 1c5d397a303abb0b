// Settings with nnx's names and defaults, and errors that say what to change.

function known(what, table, name) {
  if (Object.hasOwn(table, name)) return table[name];
  throw new Error(`unknown ${what} "${name}": choose one of ${Object.keys(table).join(", ")}`);
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
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) throw new Error(`${what} needs a value for ${name}`);
  }
  return settings;
}

// {name, …settings} for a name, or for an object with a name.
function namedSettings(what, table, given) {
  const { name, ...rest } = typeof given === "string" ? { name: given } : given;
  const record = known(what, table, name);
  return { name, ...settingsOf(`${what} ${name}`, record.defaults, rest) };
}
