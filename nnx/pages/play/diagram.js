// The network as a picture: a column of neurons for each layer, each with its own picture.

const GRID = 60; // points of the plane along each side of a picture
const MOST_INPUTS = 10; // that are shown one by one

// The layers as they are drawn: each Dense with what follows it, and the place of its output in net.looks.
function groupsOf(net) {
  const groups = [];
  net.layers.forEach((layer, place) => {
    if (layer.kind === "Dense") groups.push({ dense: layer, place });
    else if (groups.length && !["Dropout", "GaussianNoise"].includes(layer.kind)) groups.at(-1).place = place;
  });
  return groups;
}

function titleOf(group, groups) {
  return group === groups.length - 1 ? "Output" : `Hidden ${group + 1}`;
}

// What the pictures show, in words.
function pictureNote(problem) {
  if (problem.image) {
    return "First layer: the weight of each pixel. Later layers: the digits that excite a neuron. " +
      "Choose a neuron to see its weights.";
  }
  return "Each neuron’s picture: its output over the plane. " +
    "Choose a neuron to see it large, and its weights.";
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function optionsOf(choices, chosen) {
  return Object.entries(choices).map(([value, label]) => {
    const option = element("option", { value }, label);
    option.selected = value === String(chosen);
    return option;
  });
}

// Build the columns again: after another network began.
function buildDiagram(app) {
  const { problem, net } = app.session;
  const groups = groupsOf(net);
  const columns = [inputColumn(problem)];
  groups.forEach((group, at) => columns.push(layerColumn(app, groups, at)));
  app.dom.layers.replaceChildren(...columns);
  app.groups = groups;
  app.edges = null;
  app.dom.pictureNote.textContent = pictureNote(problem);
  const first = app.dom.layers.querySelector("button.neuron");
  if (first) first.tabIndex = 0;
}

function inputColumn(problem) {
  const column = element("li", { class: "layer inputs" }, element("h3", {}, "Input"));
  const nodes = element("div", { class: "neurons" });
  const count = problem.image ? "8×8 pixels" : counted(problem.inputs, "value");
  column.append(element("p", { class: "sub" }, count), nodes);
  const shownOnes = problem.image ? 1 : problem.inputs <= MOST_INPUTS ? problem.inputs : 0;
  for (let at = 0; at < shownOnes; at += 1) {
    const name = problem.image ? "mean" : problem.names[at];
    nodes.append(element("div", { class: "neuron", "data-unit": at },
      element("canvas", { width: GRID, height: GRID, "aria-hidden": "true" }),
      element("span", { class: "name", title: name }, name)));
  }
  return column;
}

function layerColumn(app, groups, at) {
  const { dense } = groups[at];
  const last = at === groups.length - 1;
  const title = titleOf(at, groups);
  const settings = app.session.settings.layers[at];
  const column = element("li", { class: "layer" }, element("h3", {}, title));
  if (last) {
    const answer = answerOf(app.session.problem);
    const count = counted(dense.outputs, "value");
    column.append(element("p", { class: "sub" }, ACTIVATIONS[answer] ?? answer, element("br"), count));
    if (app.session.problem.task === "autoencoding" && dense.outputs > MOST_INPUTS) {
      column.append(wholeOutput(app.session.problem));
      return column;
    }
  } else {
    const units = element("input",
      { type: "number", min: 1, max: MOST_UNITS, value: settings.units, "aria-label": `Units of ${title}` });
    units.addEventListener("change", () => app.setLayer(at, { units: Number(units.value) }));
    const activation = element("select", { "aria-label": `Activation of ${title}` },
      ...optionsOf(ACTIVATIONS, settings.activation));
    activation.addEventListener("change", () => app.setLayer(at, { activation: activation.value }));
    column.append(element("div", { class: "layer-controls" }, units, activation));
  }
  const [, many] = [[24, " crowd"], [10, " many"], [8, " tight"], [0, ""]].find(([size]) => dense.outputs > size);
  const nodes = element("div", { class: `neurons${many}`, role: "group",
    "aria-label": `Neurons of ${title}` });
  for (let unit = 0; unit < dense.outputs; unit += 1) nodes.append(neuronButton(app, groups, at, unit));
  column.append(nodes);
  return column;
}

// The output of an autoencoder with many inputs: only for images there is a picture, the mean reconstruction.
function wholeOutput(problem) {
  const nodes = element("div", { class: "neurons whole" });
  if (problem.image) nodes.append(element("div", { class: "neuron" },
    element("canvas", { width: 8, height: 8, "aria-hidden": "true" }),
    element("span", { class: "name" }, "mean")));
  return nodes;
}

function neuronButton(app, groups, group, unit) {
  const { problem } = app.session;
  const last = group === groups.length - 1;
  const named = last && problem.classes && problem.outputs > 1;
  const name = `${titleOf(group, groups)}, ${named ? problem.classes[unit] : `neuron ${unit + 1}`}`;
  const side = problem.image ? 8 : GRID;
  const button = element("button", { type: "button", class: "neuron", "data-group": group, "data-unit": unit,
    "aria-pressed": "false", "aria-label": name, tabindex: -1 },
    element("canvas", { width: side, height: side, "aria-hidden": "true" }));
  if (named) button.append(element("span", { class: "name", title: problem.classes[unit] },
    problem.classes[unit]));
  button.addEventListener("click", () => app.pick(group, unit));
  return button;
}

// Arrow keys move from neuron to neuron; one of them can be reached by Tab.
function moveFocus(event, root) {
  const step = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
  const now = event.target.closest("button.neuron");
  if (!step || !now) return;
  event.preventDefault();
  const columns = [...root.querySelectorAll(".layer:not(.inputs)")].map((one) =>
    [...one.querySelectorAll("button.neuron")]);
  const column = columns.findIndex((one) => one.includes(now));
  const wanted = columns[column + step[0]] ?? columns[column];
  const next = wanted[Math.min(Math.max(columns[column].indexOf(now) + step[1], 0), wanted.length - 1)];
  now.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// Paint every neuron's picture. `looks` are the outputs of all layers over the plane.
function paintNeurons(app, looks) {
  const { net, problem } = app.session;
  app.dom.layers.querySelectorAll(".layer:not(.inputs)").forEach((column, at) => {
    const { place, dense } = app.groups[at];
    const canvases = column.querySelectorAll("canvas");
    if (column.querySelector(".whole")) {
      canvases.forEach((canvas) => paintMean(canvas, net.looks[place], Math.min(IMAGES, problem.train.rows)));
    } else if (problem.image) {
      const images = at === 0 ? dense.parameters.W : excitingImages(app, net.looks[place], dense.outputs);
      canvases.forEach((canvas, unit) =>
        paintColumn(canvas, 8, 8, images, dense.outputs, unit, largest(images, dense.outputs, unit)));
    } else {
      canvases.forEach((canvas, unit) =>
        paintOutput(canvas, looks[place], dense.outputs, unit, kindOf(app, at)));
    }
  });
}

// How a layer's outputs are coloured: as the answer, or on a scale to 1 if they cannot be larger.
function kindOf(app, at) {
  const { net, problem } = app.session;
  const bounded = ["Tanh", "Sigmoid", "Softmax"].includes(net.layers[app.groups[at].place].kind);
  return { answer: at === app.groups.length - 1, bounded, problem };
}

// The output of a neuron over the plane. A probability is blue above one half, or with two classes below it.
const PALE = 1.3; // 2 would be the full colour: points must stand out from the answer

function paintOutput(canvas, values, outputs, unit, { answer, bounded, problem }) {
  if (answer && problem.task === "classification") {
    const picture = pictureOf(canvas, GRID, GRID);
    const sign = outputs === 1 ? -PALE : PALE;
    for (let at = 0; at < picture.pixels.length; at += 1) {
      picture.pixels[at] = shade(sign * (values[at * outputs + unit] - 0.5));
    }
    show(picture);
    return;
  }
  let most = largest(values, outputs, unit);
  if (answer && problem.task === "regression") most = valueScale(problem) / (PALE / 2);
  else if (bounded) most = 1;
  paintColumn(canvas, GRID, GRID, values, outputs, unit, most);
}

// The largest target: where the colours of a regression end.
function valueScale(problem) {
  problem.most ??= Math.max(largest(problem.train.y), largest(problem.held.y)) || 1;
  return problem.most;
}

const IMAGES = 300; // rows from which the pictures of later layers come

// Σ a (x − mean) over images, for each neuron, where a is its output: what excites it. Pixel by pixel,
// neurons inside.
function excitingImages(app, outputs, units) {
  const { train } = app.session.problem;
  const rows = Math.min(IMAGES, train.rows);
  const sums = new Float64Array(64 * units);
  const means = new Float64Array(units);
  for (let at = 0; at < rows * units; at += 1) means[at % units] += outputs[at] / rows;
  for (let row = 0; row < rows; row += 1) {
    for (let pixel = 0; pixel < 64; pixel += 1) {
      const ink = train.x[row * 64 + pixel];
      if (ink === 0) continue;
      for (let unit = 0; unit < units; unit += 1) {
        sums[pixel * units + unit] += ink * (outputs[row * units + unit] - means[unit]);
      }
    }
  }
  return sums;
}

function paintMean(canvas, images, rows) {
  const mean = new Float64Array(64);
  for (let place = 0; place < 64 * rows; place += 1) mean[place % 64] += images[place] / rows;
  paintColumn(canvas, 8, 8, mean, 1, 0, largest(mean));
}

// The inputs' own pictures: they change only with the data.
function paintInputs(app, plane) {
  const { problem } = app.session;
  app.dom.layers.querySelectorAll(".inputs canvas").forEach((canvas, at) => {
    if (problem.image) {
      paintMean(canvas, problem.train.x, problem.train.rows);
    } else {
      const [low, high] = problem.extent[at];
      paintColumn(canvas, GRID, GRID, plane, problem.inputs, at, Math.max(Math.abs(low), Math.abs(high)));
    }
  });
}
