// What the reader can take from the page: code, weights, data, a link. And the buttons, the legend and the notes.

const IDS = [
  "play", "playText", "step", "undo", "reset", "speed", "count", "epoch", "lossTrain", "lossHeld",
  "accuracy", "accuracyBox", "said", "trouble", "task", "data", "ownChoices", "targetLabel", "target",
  "axesChoices", "axisX", "axisY", "planeChoices", "heldLabel", "drop", "open", "file", "loss", "optimizer",
  "rate", "batch", "seed", "fewer", "more", "layerCount", "edges", "layers", "pictureNote", "unpick",
  "surface", "surfaceBox", "points", "moving", "axesNote", "images", "legend", "neuronNote", "curves",
  "curveTable", "curveRows", "weights", "numbers", "numbersLayer", "numbersHead", "numbersRows",
  "numbersNote", "code", "copyCode", "saveWeights", "saveData", "makeLink", "linkLabel", "link", "linkNote",
];

// Every element by the name of its id: lossTrain is #loss-train.
function findElements(app) {
  for (const name of IDS) {
    const id = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    app.dom[name] = document.getElementById(id);
  }
  app.dom.sliders = [...document.querySelectorAll("input[data-setting]")];
}

function connectButtons(app) {
  const { dom } = app;
  dom.play.addEventListener("click", () => (app.playing ? app.pause() : app.play()));
  dom.step.addEventListener("click",
    () => { app.pause(); app.train(1, Infinity); measure(app.session); app.sayLoss(); });
  dom.undo.addEventListener("click", () => app.undo());
  dom.reset.addEventListener("click",
    () => { app.pause(); app.use(restart(app.session)); app.say("new network, step 0"); });
  dom.unpick.addEventListener("click", () => app.pick(app.picked.group, app.picked.unit));
  dom.curveTable.addEventListener("toggle", () => fillCurveTable(app));
  dom.numbers.addEventListener("toggle", () => fillNumbers(app));
  dom.numbersLayer.addEventListener("change", () => fillNumbers(app));
  dom.saveData.addEventListener("click", () =>
    download("playground.csv", csvOf(app.session.problem), "text/csv"));
  dom.saveWeights.addEventListener("click", () => saveWeights(app));
  dom.makeLink.addEventListener("click", () => makeLink(app));
  dom.copyCode.addEventListener("click", () => copy(app, dom.code.textContent, "code"));
}

async function copy(app, text, what) {
  try {
    await navigator.clipboard.writeText(text);
    app.say(`${what} copied`);
  } catch (error) { // the browser does not allow it: the text can be selected
    app.say(`select the ${what} and copy it`);
  }
}

// ------------------------------------------------------------------ link

function makeLink(app) {
  app.pause();
  const { hash, whole } = hashOf(app.session.settings, progressOf(app.session));
  history.replaceState(null, "", hash);
  app.linked = hash;
  app.dom.linkLabel.hidden = false;
  app.dom.link.value = location.href;
  app.dom.link.select();
  const own = app.session.settings.data === "own"
    ? ` It opens with ${app.session.settings.table}, once that file is dropped.` : "";
  app.dom.linkNote.textContent = (whole ? "The link holds the settings and all weights." :
    "The link holds the settings. The weights are too many for a link: save them as a file.") + own;
  copy(app, location.href, "link");
}

function openLink(app) {
  if (location.hash === app.linked) return;
  const found = readHash(location.hash);
  if (!found) return;
  const { settings, progress } = found;
  if (settings.data === "own" && app.table?.name !== settings.table) {
    app.waiting = found;
    throw new Refused(`This link was made with your file ${settings.table}: drop it here.`);
  }
  const session = newSession(settings, problemOf(settings, app.given, app.table));
  if (progress) resume(session, progress);
  app.use(session);
}

// ------------------------------------------------------------------ legend and notes

function showLegend(app) {
  const { dom, session: { problem } } = app;
  dom.surfaceBox.hidden = problem.image;
  dom.images.hidden = !problem.image;
  dom.axesNote.hidden = problem.image || !problem.own;
  dom.axesNote.textContent = problem.inputs > 1
    ? `Across: ${problem.names[app.axes[0]]}. Up: ${problem.names[app.axes[1]]}.` +
    (problem.inputs > 2 ? " Other inputs are at their mean." : "") : `Across: ${problem.names[0]}.`;
  dom.surface.setAttribute("aria-label", problem.task === "autoencoding" ? "Points and their reconstructions"
    : "Output of the network over the plane");
  const keys = [];
  if (problem.image) {
    keys.push(element("span", { class: "small" }, problem.task === "autoencoding"
      ? "Held-out images, and below them their reconstructions."
      : "Held-out images, and below them the answers."));
  } else if (problem.classes) {
    problem.classes.forEach((name, label) => {
      const style = `--colour: ${classColour(label, problem.classes.length)}`;
      keys.push(element("span", { class: "key", style }, name));
    });
  }
  if (problem.task === "regression" && problem.inputs > 1) {
    const { mean, scale } = problem.scale;
    const end = valueScale(problem) * scale;
    keys.push(element("span", { class: "bar-scale" }, element("span", {}, shown(mean - end)),
      element("i", { "aria-hidden": "true" }), element("span", {}, shown(mean + end))));
  }
  if (!problem.image && problem.task === "autoencoding") {
    keys.push(element("span", { class: "small" }, "Small points: data. Large points: reconstructions."));
  } else if (!problem.image && problem.held.rows) {
    keys.push(element("span", { class: "key ring" }, "held out"));
  }
  dom.legend.replaceChildren(...keys);
}

function showNeuron(app) {
  const { dom, picked } = app;
  dom.unpick.hidden = !picked;
  if (!picked) { dom.neuronNote.textContent = ""; return; }
  const { dense } = app.groups[picked.group];
  const title = titleOf(picked.group, app.groups);
  const weights = Array.from({ length: dense.inputs }, (_, input) =>
    dense.parameters.W[input * dense.outputs + picked.unit]);
  const few = weights.slice(0, 8).map(shown).join(", ") + (weights.length > 8 ? ", …" : "");
  dom.neuronNote.textContent =
    `${title}, neuron ${picked.unit + 1}: weights ${few}; bias ${shown(dense.parameters.b[picked.unit])}`;
}

// ------------------------------------------------------------------ code and files

// Lines of Python that make x and y: the digits of nnx, or the file that the button Data saves.
function dataLines(problem) {
  const held = "  # the rest was held out";
  if (problem.image) {
    const y = problem.task === "autoencoding" ? "data.x_train" : "np.eye(10)[data.y_train]";
    return ['data = nnx.datasets.load_digits("float64")', `x, y = data.x_train, ${y}`];
  }
  const rows = `rows[:${problem.train.rows}]`;
  const read = "# the button Data saves the file\n" +
    'rows = np.loadtxt("playground.csv", delimiter=",", skiprows=1, ndmin=2, encoding="utf-8")';
  if (problem.task === "autoencoding") return [read, `x = y = ${rows}${held}`];
  return [read, `x, y = ${rows}[:, :${problem.inputs}], ${rows}[:, ${problem.inputs}:]${held}`];
}

function codeOf({ net, problem, settings, epoch }) {
  const code = nnxEngine.pythonCode(net,
    { epochs: Math.max(epoch, 1), batch_size: Math.min(settings.batch, problem.train.rows) });
  return code.replace("import nnx\n",
    `import numpy as np\n\nimport nnx\n\n${dataLines(problem).join("\n")}\n`);
}

function showCode(app) {
  const { session } = app;
  if (app.codeFor === session.settings && app.codeEpoch === session.epoch) return;
  Object.assign(app, { codeFor: session.settings, codeEpoch: session.epoch });
  app.dom.code.textContent = codeOf(session);
}

function saveWeights(app) {
  app.pause();
  const { net, settings, stepCount } = app.session;
  download("playground.safetensors", nnxEngine.modelFile(net, { playground: settings, steps: stepCount }),
    "application/octet-stream");
}
