// The picture of the network: a column of units for the input and each layer, the weights between, and the loss.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 118, HIGH = 58, BOX = { width: 82, height: 42 }, TOP = 34, LEFT = 50;

function drawn(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

class Picture {
  // `listen` has hover(weight or null) and choose(weight).
  constructor(model, holder, listen) {
    Object.assign(this, { model, holder, listen, edges: [], boxes: [] });
    const { units } = model.given;
    this.columns = [...units, [0]]; // the last one is the loss
    this.most = Math.max(...this.columns.map((column) => column.length));
    const width = LEFT * 2 + WIDE * (this.columns.length - 1), height = TOP + HIGH * this.most + 8;
    const box = { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" };
    this.svg = drawn("svg", { ...box, "aria-label": "The network; its numbers are in the tables below." }, holder);
    this.columns.forEach((column, c) => this.heading(c));
    this.columns.slice(0, -1).forEach((column, c) => this.connect(c));
    this.columns.forEach((column, c) => column.forEach((unit, place) => this.box(c, unit, place)));
  }

  x(c) { return LEFT + WIDE * c; }
  y(c, place) { return TOP + (HIGH * (this.most - this.columns[c].length)) / 2 + HIGH * (place + 0.5); }

  heading(c) {
    const { layers } = this.model.given, { length } = this.columns;
    const text = c === 0 ? "input" : c === length - 1 ? "loss" : layers[c - 1].name;
    const label = drawn("text", { x: this.x(c), y: 14, class: "label" }, this.svg);
    const hidden = c === length - 1 ? 0 : this.model.size(c) - this.columns[c].length;
    label.textContent = hidden ? `${text} (${hidden} more)` : text;
  }

  // Draw the lines from one column to the next: a weight for each pair of a dense layer, else one for each unit.
  connect(c) {
    const info = this.model.given.layers[c], last = c === this.columns.length - 2;
    const pairs = !last && !info.elementwise;
    this.columns[c].forEach((from, a) => {
      this.columns[c + 1].forEach((to, b) => {
        if (pairs || last || from === to) this.edge(c, [from, a], [to, b], !last && info.dense);
      });
    });
  }

  edge(c, [from, a], [to, b], weight) {
    const ends = {
      x1: this.x(c) + BOX.width / 2, y1: this.y(c, a), x2: this.x(c + 1) - BOX.width / 2, y2: this.y(c + 1, b),
    };
    const line = drawn("line", { ...ends, class: weight ? "edge weight" : "edge" }, this.svg);
    const edge = { c, from, to, line, weight };
    this.edges.push(edge);
    if (!weight) return;
    const layer = this.model.given.layers[c].name, about = { layer, index: [from, to] };
    const touch = drawn("line", { ...ends, class: "touch" }, this.svg);
    drawn("title", {}, touch).textContent = `${layer}.W[${from}, ${to}]`;
    touch.addEventListener("pointerenter", () => this.listen.hover(about));
    touch.addEventListener("pointerleave", () => this.listen.hover(null));
    touch.addEventListener("click", () => this.listen.choose(about));
  }

  box(c, unit, place) {
    const transform = `translate(${this.x(c)} ${this.y(c, place)})`;
    const group = drawn("g", { transform, class: "unit" }, this.svg);
    drawn("rect", { x: -BOX.width / 2, y: -BOX.height / 2, ...BOX, rx: 8 }, group);
    const value = drawn("text", { y: -3, class: "value" }, group);
    const slope = drawn("text", { y: 14, class: "slope" }, group);
    this.boxes.push({ c, unit, group, value, slope });
  }

  // Show the numbers that are known at a step (see `Words.reached`), and the path of a weight's gradient.
  show({ row, forward, loss, backward, now, path }) {
    const { model } = this, last = this.columns.length - 1;
    for (const { c, unit, group, value, slope } of this.boxes) {
      const known = c === last ? loss : c <= forward;
      value.textContent = known ? number(c === last ? model.lossValue : model.value(c, row, unit)) : "?";
      const found = c === last ? 1 : model.slope(c, row, unit);
      slope.textContent = c >= backward && found !== null && loss ? `d ${number(found)}` : "";
      group.classList.toggle("now", now.includes(c));
      group.classList.toggle("unknown", !known);
      group.classList.toggle("lit", path.some((step) => step.column === c && step.unit === unit && c !== last));
    }
    this.weights();
    this.light(row, path);
    this.bring(now);
  }

  // Scroll so that the columns of this step can be seen.
  bring(now) {
    const { holder } = this, middle = (this.x(now.at(0) ?? 0) + this.x(now.at(-1) ?? 0)) / 2;
    if (now.length) holder.scrollLeft = middle - holder.clientWidth / 2;
  }

  // Colour the weights by sign and size.
  weights() {
    const { model } = this;
    for (const { c, from, to, line, weight } of this.edges) {
      if (!weight) continue;
      const layer = model.net.layers[c], begin = model.begin(layer, "W");
      const values = model.start.values.subarray(begin, begin + layer.inputs * layer.outputs);
      const most = values.reduce((top, value) => Math.max(top, Math.abs(value)), Number.MIN_VALUE);
      const value = values[from * layer.outputs + to];
      line.classList.toggle("negative", value < 0);
      line.style.strokeWidth = 0.8 + (2.6 * Math.abs(value)) / most;
    }
  }

  // Mark all paths from a weight to the loss; a wider line carries a larger part of the slope.
  light(row, path) {
    for (const { line } of this.edges) line.classList.remove("lit", "strong");
    if (!path.length) return;
    const start = path.at(-1), reached = Array.from(this.columns, () => new Set());
    reached[start.column].add(start.unit);
    for (const edge of this.edges) {
      const { c, from, to, line } = edge;
      const first = c === start.column - 1 && from === start.input && to === start.unit;
      if (!first && !(c >= start.column && reached[c].has(from) && this.part(edge, row) > 0)) continue;
      reached[c + 1].add(to);
      line.classList.add("lit");
      line.classList.toggle("strong", first || this.strong(edge, path));
    }
  }

  // Whether a line is on the path; the loss includes a last activation that is fused with it.
  strong({ c, from, to }, path) {
    const end = this.columns.length - 2;
    const ending = c >= end - (this.model.net.loss.fused ? 1 : 0);
    if (ending) return from === path[0].input && (c === end || from === to);
    return path.some((step) => step.column === c + 1 && step.input === from && step.unit === to);
  }

  // The size of the slope that comes back along a line.
  part({ c, from, to, weight }, row) {
    const { model } = this, layer = model.net.layers[c];
    if (!weight) return 1;
    return Math.abs(model.slope(c + 1, row, to) * model.weight(layer, from, to));
  }
}
