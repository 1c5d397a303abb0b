// Tables of numbers: those of a step, and those in which the reader changes the batch and the weights.

const ROWS = 8; // rows of the batch in the table of a step

function made(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element && key !== "form") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...inside);
  return element;
}

// A table with headings; `rows` are [heading, ...cells].
function table(caption, headings, rows, chosen = -1) {
  const head = made("tr", {}, ...headings.map((text) => made("th", { scope: "col" }, text)));
  const body = rows.map(([heading, ...cells], place) => {
    const inside = cells.map((cell) => made("td", {}, cell));
    const line = made("tr", {}, made("th", { scope: "row" }, heading), ...inside);
    if (place === chosen) line.className = "chosen";
    return line;
  });
  return made("table", {}, made("caption", {}, caption), made("thead", {}, head), made("tbody", {}, ...body));
}

// The rows of the batch to show: all, or the first ones and the chosen one.
function someRows(rows, chosen) {
  const places = Array.from({ length: rows }, (_, row) => row);
  if (rows <= ROWS) return places;
  return chosen < ROWS - 1 ? places.slice(0, ROWS) : [...places.slice(0, ROWS - 1), chosen];
}

// A table of arrays next to each other: `parts` are {title, units, at(row, unit)}.
function numbersTable(caption, model, row, parts) {
  const shown = someRows(model.rows, row);
  const headings = ["row", ...parts.flatMap(({ title, units }) => named(title, units))];
  const cells = (one) => parts.flatMap(({ units, at }) => units.map((unit) => number(at(one, unit))));
  return table(caption, headings, shown.map((one) => [String(one), ...cells(one)]), shown.indexOf(row));
}

// The headings of some columns: one alone has no number.
const named = (title, units) => units.map((unit) => (units.length > 1 ? `${title}[${unit}]` : title));

// A field for a number; `changed` gets the new one. What is not a number changes nothing.
function field(label, changed) {
  const input = made("input", { type: "number", step: "any", "aria-label": label });
  input.addEventListener("input", () => {
    if (Number.isFinite(input.valueAsNumber)) changed(input.valueAsNumber);
  });
  return input;
}

function fill(input, value) {
  if (document.activeElement !== input) input.value = String(Number(value.toPrecision(6)));
}

// The batch: a field for each input and target.
class Batch {
  constructor(model, holder, changed) {
    this.model = model;
    this.fields = [];
    const { units } = model.given, inputs = units[0], targets = units.at(-1);
    const cell = (name, row, unit, size) => {
      const input = field(`${name === "x" ? "input" : "target"} ${unit} of row ${row}`, (value) => {
        model[name][row * size + unit] = value;
        model.compute();
        changed(row);
      });
      this.fields.push({ input, name, at: row * size + unit });
      return input;
    };
    const headings = ["row", ...named("x", inputs), ...named("target", targets)];
    const rows = Array.from({ length: model.rows }, (_, row) => [
      String(row), ...inputs.map((unit) => cell("x", row, unit, model.net.inputs)),
      ...targets.map((unit) => cell("y", row, unit, model.net.outputs)),
    ]);
    holder.append(table("Inputs and targets", headings, rows));
  }
  show() { for (const { input, name, at } of this.fields) fill(input, this.model[name][at]); }
}

// The weights of the dense layers, with their gradients and their values after the step.
class Weights {
  constructor(model, holder, { changed, choose }) {
    Object.assign(this, { model, cells: [] });
    model.net.layers.forEach((layer, i) => {
      if (!model.given.layers[i].dense) return;
      const inputs = model.given.units[i], outputs = model.given.units[i + 1];
      const cell = (index) => {
        const about = { layer: layer.name, index }, at = model.place(layer, index);
        const input = field(nameOf(about), (value) => { model.setWeight(at, value); changed(); });
        input.addEventListener("focus", () => choose(about));
        const note = made("small");
        this.cells.push({ input, note, at, about });
        return made("div", { className: "weight" }, input, note);
      };
      const rows = inputs.map((from) => [`from ${from}`, ...outputs.map((to) => cell([from, to]))]);
      rows.push(["b", ...outputs.map((to) => cell([to]))]);
      const headings = ["", ...outputs.map((to) => `to ${to}`)];
      holder.append(made("div", { className: "scroll" }, table(`${layer.name}: W and b`, headings, rows)));
    });
  }
  // Show the weights; gradients and new values as far as the step has come.
  show({ gradients, updated, chosen }) {
    const { model } = this;
    for (const { input, note, at, about } of this.cells) {
      fill(input, model.start.values[at]);
      const gradient = gradients(about.layer) ? `d ${number(model.raw[at])}` : "";
      note.textContent = updated ? `${gradient}\n→ ${number(model.after.values[at])}` : gradient;
      const same = about.layer === chosen.layer && String(about.index) === String(chosen.index);
      input.closest("td").classList.toggle("chosen", same);
    }
  }
}
