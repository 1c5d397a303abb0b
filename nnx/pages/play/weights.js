// The weights of each layer and their gradients in the last step, as pictures and as numbers.

const MOST_CELLS = 300; // of a table of numbers

// One row of pictures for each layer: W and b, dW and db, each on its own scale.
function buildWeights(app) {
  app.dom.weights.replaceChildren(...app.groups.map((group, at) => {
    const title = titleOf(at, app.groups);
    const { inputs, outputs } = group.dense;
    const picture = (symbol, what) => element("figure", {},
      element("canvas", { class: "matrix", role: "img", "aria-label": `${what} of ${title}`,
        style: `--rows: ${outputs}` }),
      element("figcaption", {}, element("b", {}, symbol), element("span", { class: "most" })));
    return element("article", { class: "weights-layer" },
      element("h3", {}, title, element("small", {}, ` ${inputs} → ${outputs}`)),
      element("div", { class: "matrices" }, picture("W, b", "Weights and biases"),
        picture("dW, db", "Gradients")));
  }));
  fillLayerChoice(app);
}

// A row of the picture is a neuron; its last cell, after a gap, is the bias.
function paintMatrix(canvas, W, b, inputs, outputs, most) {
  const fine = 5; // pixels of a cell, so that the gap can be narrow
  const width = fine * (inputs + 1) + 1;
  const picture = pictureOf(canvas, width, outputs);
  const factor = most > 0 ? 1 / most : 0;
  for (let unit = 0; unit < outputs; unit += 1) {
    for (let input = 0; input <= inputs; input += 1) {
      const colour = shade((input < inputs ? W[input * outputs + unit] : b[unit]) * factor);
      const begin = unit * width + fine * input + Number(input === inputs);
      picture.pixels.fill(colour, begin, begin + fine);
    }
  }
  show(picture);
}

function paintWeights(app) {
  [...app.dom.weights.children].forEach((article, at) => {
    const { dense } = app.groups[at];
    article.querySelectorAll("figure").forEach((figure, which) => {
      const { W, b } = which ? dense.gradients : dense.parameters;
      const most = Math.max(largest(W), largest(b));
      paintMatrix(figure.querySelector("canvas"), W, b, dense.inputs, dense.outputs, most);
      figure.querySelector(".most").textContent = most === 0 ? (which ? "no step yet" : "all 0")
        : `to ±${shown(most)}`;
    });
  });
  if (app.dom.numbers.open) fillNumbers(app);
}

// ------------------------------------------------------------------ numbers

function fillLayerChoice(app) {
  const titles = Object.fromEntries(app.groups.map((_, at) => [at, titleOf(at, app.groups)]));
  const chosen = Math.min(Number(app.dom.numbersLayer.value) || 0, app.groups.length - 1);
  app.dom.numbersLayer.replaceChildren(...optionsOf(titles, chosen));
}

// The weights and gradients of one layer as a table: a row for each input, and one for the bias.
function fillNumbers(app) {
  const at = Number(app.dom.numbersLayer.value) || 0;
  const { dense } = app.groups[at];
  const { inputs, outputs } = dense;
  const rows = Math.max(1, Math.min(inputs, Math.floor(MOST_CELLS / outputs)));
  const names = at === 0 ? app.session.problem.names
    : Array.from({ length: inputs }, (_, input) => `neuron ${input + 1}`);
  const row = (name, value, gradient) => element("tr", {}, element("th", { scope: "row" }, name),
    ...Array.from({ length: outputs }, (_, unit) => element("td", {}, shown(value(unit)),
      element("small", {}, shown(gradient(unit))))));
  const body = Array.from({ length: rows }, (_, input) => row(names[input],
    (unit) => dense.parameters.W[input * outputs + unit],
    (unit) => dense.gradients.W[input * outputs + unit]));
  body.push(row("bias", (unit) => dense.parameters.b[unit], (unit) => dense.gradients.b[unit]));
  app.dom.numbersHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, "from"),
    ...Array.from({ length: outputs }, (_, unit) => element("th", { scope: "col" }, `to ${unit + 1}`))));
  app.dom.numbersRows.replaceChildren(...body);
  app.dom.numbersNote.textContent = rows < inputs
    ? `The first ${rows} of ${inputs} inputs. The file of the weights has all.`
    : "In small digits: the gradient of the last step.";
}
