// The controls: what they show, and what they change.

const SIMPLE_CHOICES = ["task", "data", "loss", "optimizer", "rate", "batch"];

// Connect every control once.
function connectControls(app) {
  const { dom } = app;
  for (const name of SIMPLE_CHOICES) {
    dom[name].addEventListener("change", () => app.set(changeOf(name, dom[name].value, app)));
  }
  dom.speed.addEventListener("change", () => app.set({ speed: Number(dom.speed.value) }));
  dom.seed.addEventListener("change", () => app.set({ seed: Number(dom.seed.value) }));
  dom.target.addEventListener("change", () => app.set({ target: Number(dom.target.value) }));
  for (const slider of dom.sliders) {
    slider.addEventListener("input", () => showSlider(slider));
    slider.addEventListener("change", () => app.set({ [slider.dataset.setting]: Number(slider.value) }));
  }
  dom.axisX.addEventListener("change", () => app.setAxes(Number(dom.axisX.value), app.axes[1]));
  dom.axisY.addEventListener("change", () => app.setAxes(app.axes[0], Number(dom.axisY.value)));
  dom.fewer.addEventListener("click", () => app.set({ layers: app.session.settings.layers.slice(0, -1) }));
  dom.more.addEventListener("click", () => {
    const { layers } = app.session.settings;
    app.set({ layers: [...layers, { ...(layers.at(-1) ?? DEFAULTS.layers[0]) }] });
  });
  dom.layers.addEventListener("keydown", (event) => moveFocus(event, dom.layers));
  dom.layers.addEventListener("focusin", (event) => {
    const now = event.target.closest("button.neuron");
    if (!now) return;
    for (const one of dom.layers.querySelectorAll("button.neuron")) one.tabIndex = one === now ? 0 : -1;
  });
  connectFiles(app);
}

function changeOf(name, value, app) {
  if (name === "optimizer") return { optimizer: value, rate: OPTIMIZERS[value].rate };
  if (name === "rate" || name === "batch") return { [name]: Number(value) };
  const changes = { [name]: value };
  if (name === "task" && app.table && app.session.settings.data === "own") {
    const choices = targetColumns(app.table, value);
    const now = app.session.settings.target;
    changes.target = choices.includes(now) ? now : choices.at(-1) ?? now;
  }
  return changes;
}

function showSlider(slider) {
  const value = Number(slider.value);
  const percent = slider.dataset.setting === "held";
  const text = percent ? `${Math.round(100 * value)} %` : String(Number(value.toFixed(2)));
  slider.parentElement.querySelector(".value").textContent = text;
}

// Show the settings in every control.
function showSettings(app) {
  const { dom, session: { settings, problem }, table } = app;
  const sets = { ...SETS[settings.task], ...(table ? { own: table.name } : {}) };
  const numbers = (values, chosen) => [...new Set([...values, chosen])].sort((a, b) => a - b);
  const choices = {
    task: TASKS, data: sets, loss: LOSSES[settings.task], speed: SPEEDS,
    optimizer: Object.fromEntries(Object.entries(OPTIMIZERS).map(([name, { label }]) => [name, label])),
  };
  for (const [name, offered] of Object.entries(choices)) {
    dom[name].replaceChildren(...optionsOf(offered, settings[name]));
  }
  dom.rate.replaceChildren(...numbers(RATES, settings.rate).map((rate) =>
    element("option", { value: rate, selected: rate === settings.rate }, String(rate))));
  dom.batch.replaceChildren(...numbers([...BATCHES, problem.train.rows], settings.batch)
    .filter((batch) => batch <= problem.train.rows || batch === settings.batch)
    .map((batch) => element("option", { value: batch, selected: batch === settings.batch },
      batch === problem.train.rows ? `all ${batch}` : String(batch))));
  dom.seed.value = settings.seed;
  for (const slider of dom.sliders) {
    slider.value = settings[slider.dataset.setting];
    showSlider(slider);
  }
  const count = settings.layers.length;
  dom.layerCount.textContent = counted(count, "hidden layer");
  dom.fewer.disabled = count === 0;
  dom.more.disabled = count === MOST_LAYERS;
  showDataChoices(app);
}

function showDataChoices(app) {
  const { dom, session: { settings, problem }, table } = app;
  const own = settings.data === "own";
  dom.ownChoices.hidden = !own;
  dom.planeChoices.hidden = own || settings.data === "digits";
  dom.heldLabel.hidden = settings.data === "digits";
  if (!own) return;
  dom.targetLabel.hidden = settings.task === "autoencoding";
  const targets = Object.fromEntries(targetColumns(table, settings.task).map((at) =>
    [at, table.columns[at].name]));
  dom.target.replaceChildren(...optionsOf(targets, settings.target));
  dom.axesChoices.hidden = problem.inputs < 3;
  const names = Object.fromEntries(problem.names.map((name, at) => [at, name]));
  dom.axisX.replaceChildren(...optionsOf(names, app.axes[0]));
  dom.axisY.replaceChildren(...optionsOf(names, app.axes[1]));
}

// ------------------------------------------------------------------ files

function connectFiles(app) {
  const { dom } = app;
  dom.open.addEventListener("click", () => dom.file.click());
  dom.file.addEventListener("change", () => { readFile(app, dom.file.files[0]); dom.file.value = ""; });
  document.addEventListener("dragover",
    (event) => { event.preventDefault(); dom.drop.classList.add("over"); });
  document.addEventListener("dragleave", () => dom.drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dom.drop.classList.remove("over");
    readFile(app, event.dataTransfer.files[0]);
  });
}

async function readFile(app, file) {
  if (!file) return;
  app.guard(async () => {
    if (file.size > MOST_BYTES) {
      throw new Refused(`${file.name}: has more than ${MOST_BYTES / 1e6} MB: nnx play FILE reads it`);
    }
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch (error) {
      throw new Refused(`${file.name}: is not a text in UTF-8: save the table as CSV UTF-8`);
    }
    try {
      app.useTable(tableOf(text, file.name));
    } catch (error) {
      throw error instanceof Refused ? new Refused(`${file.name}: ${error.message}`) : error;
    }
  });
}

function download(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
