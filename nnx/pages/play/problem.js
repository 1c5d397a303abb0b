// From a set and the settings to what a network learns: inputs and targets, for training and held out.

// Columns of a table that can be inputs, and those that can be the target of a task.
function numberColumns(table) {
  return table.columns.map((_, at) => at).filter((at) => table.columns[at].numbers);
}

function classesOf(column) {
  const cells = column.texts ?? column.numbers;
  const found = [...new Set(cells)];
  if (column.texts) return found.sort();
  return found.every(Number.isInteger) ? found.sort((a, b) => a - b) : [];
}

function targetColumns(table, task) {
  if (task === "regression") return numberColumns(table);
  return table.columns.map((_, at) => at).filter((at) => {
    const count = classesOf(table.columns[at]).length;
    return count >= 2 && count <= 10;
  });
}

// The task that a target suggests: texts, and 0 and 1, are classes, as in nnx; other numbers are values.
function taskOf(table) {
  const column = table.columns[table.target];
  const few = targetColumns(table, "classification").includes(table.target);
  const classes = column.texts || column.numbers.every((value) => value === 0 || value === 1);
  if (few && classes) return "classification";
  return column.numbers ? "regression" : "autoencoding";
}

// Mean 0 and standard deviation 1 in the training rows; a constant column becomes 0.
function standardize(values, names, train) {
  const width = names.length;
  return names.map((name, at) => {
    const { unit, mean, scale } = scaleOf(train.map((row) => values[row * width + at]));
    for (let place = at; place < values.length; place += width) {
      values[place] = (values[place] / unit - mean) / scale;
      if (!Number.isFinite(values[place])) {
        throw new Refused(`column ${name}: its numbers are too far apart to scale: choose other units`);
      }
    }
    return { mean: mean * unit, scale: scale * unit };
  });
}

// Mean and standard deviation in a unit, a power of 2: squares of very large or very small numbers would leave
// the range of floats. The rounded mean of a constant column may differ from its number: it is not used.
function scaleOf(numbers) {
  const largest = numbers.reduce((top, one) => Math.max(top, Math.abs(one)), 0);
  const unit = largest > 0 ? 2 ** Math.floor(Math.log2(largest)) : 1;
  const first = numbers[0] / unit;
  if (numbers.every((one) => one === numbers[0])) return { unit, mean: first, scale: 1 / unit };
  let mean = 0, square = 0;
  for (const one of numbers) mean += one / unit / numbers.length;
  for (const one of numbers) square += (one / unit - mean) ** 2 / numbers.length;
  return { unit, mean, scale: Math.sqrt(square) };
}

function ownSet(table, settings) {
  const { task } = settings;
  if (task !== "autoencoding" && !targetColumns(table, task).includes(settings.target)) {
    throw new Refused(task === "regression" ? "no column of numbers can be the target" :
      "no column has 2 to 10 classes: choose regression or autoencoding");
  }
  const target = task === "autoencoding" ? -1 : settings.target;
  const inputs = numberColumns(table).filter((at) => at !== target);
  if (inputs.length < (target < 0 ? 2 : 1)) throw new Refused("no column of numbers is left as an input");
  const rows = (table.columns[0].numbers ?? table.columns[0].texts).length;
  const x = new Float64Array(rows * inputs.length);
  inputs.forEach((at, place) => {
    for (let row = 0; row < rows; row += 1) x[row * inputs.length + place] = table.columns[at].numbers[row];
  });
  const set = { x, rows, names: inputs.map((at) => table.columns[at].name) };
  if (task === "regression") set.values = Float64Array.from(table.columns[target].numbers);
  if (task === "classification") {
    const column = table.columns[target];
    const classes = classesOf(column);
    const places = new Map(classes.map((name, place) => [name, place]));
    set.labels = Uint8Array.from(column.texts ?? column.numbers, (cell) => places.get(cell));
    set.classes = classes.map(String);
  }
  if (target >= 0) set.target = table.columns[target].name;
  return set;
}

function setOf(settings, given, table) {
  if (settings.data === "own") {
    if (!table) throw new Refused("drop a csv file first");
    return ownSet(table, settings);
  }
  if (settings.data === "digits") {
    const names = Array.from({ length: 64 }, (_, at) => `pixel ${at}`);
    return { ...digitsSet(given.digits), names, classes: [..."0123456789"] };
  }
  const set = planeSet(settings.data, settings.task, settings.points, settings.noise, settings.seed);
  return { ...set, names: ["x₁", "x₂"], classes: ["blue", "orange"], target: "y" };
}

// Which rows are trained on: digits have a fixed split; others are divided at random.
function splitOf(set, settings) {
  if (set.train) {
    const all = Array.from({ length: set.rows }, (_, row) => row);
    return { train: all.slice(0, set.train), held: all.slice(set.train) };
  }
  const order = Array.from(shuffled(set.rows, generator(settings.seed + 77)));
  const held = Math.round(set.rows * settings.held);
  return { train: order.slice(held), held: order.slice(0, held) };
}

function targetsOf(set, settings, rows) {
  if (settings.task === "autoencoding") return { y: set.x, outputs: set.names.length };
  if (settings.task === "regression") return { y: set.values, outputs: 1 };
  const outputs = set.classes.length === 2 ? 1 : set.classes.length;
  const y = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row += 1) {
    if (outputs === 1) y[row] = set.labels[row];
    else y[row * outputs + set.labels[row]] = 1;
  }
  return { y, outputs };
}

function part(values, width, rows) {
  const taken = new Float64Array(rows.length * width);
  rows.forEach((row, place) => taken.set(values.subarray(row * width, (row + 1) * width), place * width));
  return taken;
}

// The problem: {task, inputs, outputs, train, held, names, classes, image, extent, …}.
function problemOf(settings, given, table) {
  const set = setOf(settings, given, table);
  const split = splitOf(set, settings);
  const inputs = set.names.length;
  const own = settings.data === "own";
  if (own) standardize(set.x, set.names, split.train);
  const scale = own && set.values ? standardize(set.values, [set.target], split.train)[0]
    : { mean: 0, scale: 1 };
  const { y, outputs } = targetsOf(set, settings, set.rows);
  const side = (rows) => ({
    x: part(set.x, inputs, rows), y: part(y, outputs, rows), rows: rows.length,
    labels: set.labels ? Uint8Array.from(rows, (row) => set.labels[row]) : null,
  });
  return {
    task: settings.task, inputs, outputs, names: set.names,
    classes: settings.task === "classification" ? set.classes : null,
    target: set.target ?? "", scale, image: settings.data === "digits", own, table: own ? table : null,
    train: side(split.train), held: side(split.held), extent: extentOf(set, own),
  };
}

// The part of the plane that is drawn: the same for both axes of a built-in set, else from the data.
function extentOf(set, own) {
  return set.names.map((_, at) => {
    if (!own) return [-1.3, 1.3];
    let low = Infinity, high = -Infinity;
    for (let row = 0; row < set.rows; row += 1) {
      low = Math.min(low, set.x[row * set.names.length + at]);
      high = Math.max(high, set.x[row * set.names.length + at]);
    }
    const margin = 0.1 * (high - low) || 1;
    return [low - margin, high + margin];
  });
}

// The rows as a table, training rows first: what the Python code reads.
function csvOf(problem) {
  const answers = problem.task === "autoencoding" ? [] :
    problem.outputs === 1 ? [problem.target || "y"] : problem.classes.map((name) => `is ${name}`);
  const quote = (name) => `"${name.replaceAll('"', '""').replace(/\s+/g, " ")}"`;
  const lines = [[...problem.names, ...answers].map(quote).join(",")];
  for (const side of [problem.train, problem.held]) {
    for (let row = 0; row < side.rows; row += 1) {
      const cells = [...side.x.subarray(row * problem.inputs, (row + 1) * problem.inputs)];
      if (answers.length) cells.push(...side.y.subarray(row * problem.outputs, (row + 1) * problem.outputs));
      lines.push(cells.join(","));
    }
  }
  return lines.join("\n") + "\n";
}
