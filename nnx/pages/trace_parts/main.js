// The page: what is chosen, and what is shown.

const byId = (id) => document.getElementById(id);
const model = new Model(JSON.parse(byId("given").textContent));
const { given, net } = model, words = new Words(model), last = words.steps.length - 1;
const state = { at: 0, row: given.row, weight: firstWeight(given), hovered: null, edited: false, advanced: 0 };

function showStep() {
  const step = words.steps[state.at], texts = words.of(step, state.weight, state.row);
  byId("slider").value = state.at;
  byId("slider").setAttribute("aria-valuetext", step.title);
  byId("title").textContent = `${state.at + 1} of ${words.steps.length}: ${step.title}`;
  for (const id of ["first", "back"]) byId(id).disabled = state.at === 0;
  for (const id of ["next", "last"]) byId(id).disabled = state.at === last;
  byId("now-title").textContent = step.title;
  const inside = [formula(texts.symbols, ""), formula(texts.more, ""), formula("", texts.numbers)];
  if (texts.text) inside.push(made("p", { className: "small" }, texts.text));
  if (texts.table) inside.push(made("div", { className: "scroll" }, texts.table));
  byId("now-numbers").replaceChildren(...inside);
}

function showWeight() {
  byId("weight").hidden = state.weight === null;
  if (state.weight === null) return;
  byId("weight-title").textContent = `The weight ${nameOf(state.weight)}`;
  byId("weight-numbers").replaceChildren(...weightInWords(model, state.weight, state.row));
}

// Whether the numbers are those of nnx, as long as they are those of the trace.
function showCheck() {
  const { share, place } = model.difference(), agrees = share <= given.tolerance, much = number(share, 2);
  const changed = state.edited || state.advanced > 0;
  byId("check").classList.toggle("bad", !changed && !agrees);
  const good = `The numbers of this page agree with those of nnx in ${given.precision}: the largest difference is `
    + `${much} of the largest number.`;
  const bad = `The numbers of this page differ from those of nnx, by ${much} of the largest number, in ${place}.`;
  byId("check").textContent = changed ? changedText() : agrees ? good : bad;
  byId("trouble").hidden = Number.isFinite(model.lossValue) && model.raw.every(Number.isFinite);
}

function changedText() {
  const { advanced } = state, further = advanced ? `, ${advanced} step${advanced > 1 ? "s" : ""} further` : "";
  return `Changed by you: this page computed all numbers${further}.`;
}

function refresh() {
  const step = words.steps[state.at], known = words.reached(step), chosen = state.hovered ?? state.weight;
  const place = (name) => net.layers.findIndex((layer) => layer.name === name);
  picture.show({ row: state.row, ...known, path: chosen ? follow(model, chosen, state.row) : [] });
  weights.show({
    gradients: (name) => place(name) >= known.backward, updated: step.kind === "update",
    chosen: state.weight ?? {},
  });
  batch.show();
  byId("row").value = state.row;
  showStep();
  showWeight();
  showCheck();
}

function change(what) {
  Object.assign(state, what);
  state.at = Math.min(Math.max(state.at, 0), last);
  refresh();
}

const choose = (weight) => change({ weight });
const picture = new Picture(model, byId("picture"), { choose, hover: (hovered) => change({ hovered }) });
const batch = new Batch(model, byId("batch-table"), (row) => change({ row, edited: true }));
const weights = new Weights(model, byId("fields"), { choose, changed: () => change({ edited: true }) });

function facts() {
  const { loss, optimizer, state: { optimizerSteps } } = given.description;
  return `${model.rows} rows, ${net.values.length} weights, ${given.precision}; loss ${loss.name}, `
    + `optimizer ${optimizer.name}, step ${optimizerSteps + 1}`;
}

byId("facts").textContent = facts();
byId("slider").max = last;
byId("slider").addEventListener("input", (event) => change({ at: event.target.valueAsNumber }));
byId("first").addEventListener("click", () => change({ at: 0 }));
byId("back").addEventListener("click", () => change({ at: state.at - 1 }));
byId("next").addEventListener("click", () => change({ at: state.at + 1 }));
byId("last").addEventListener("click", () => change({ at: last }));
byId("row").append(...rangeOf(model.rows).map((row) => made("option", { value: String(row) }, String(row))));
byId("row").addEventListener("change", (event) => change({ row: Number(event.target.value) }));
byId("advance").addEventListener("click", () => {
  model.advance();
  change({ advanced: state.advanced + 1, at: 0 });
});
byId("reset").addEventListener("click", () => {
  model.reset();
  change({ edited: false, advanced: 0 });
});
refresh();
