// The weights as curves between the neurons.

const MOST_IN_A_COLUMN = 10; // neurons; between layers with more, only the edges of a chosen neuron are drawn

// Where the edges begin and end, in pixels of the canvas below the columns; measured once for a layout.
function edgePlaces(app) {
  const box = app.dom.edges.getBoundingClientRect();
  const columns = [...app.dom.layers.querySelectorAll(".layer")].map((column) =>
    [...column.querySelectorAll(".neuron canvas")].map((one) => {
      const place = one.getBoundingClientRect();
      return { left: place.left - box.left, right: place.right - box.left,
        middle: (place.top + place.bottom) / 2 - box.top };
    }));
  return columns;
}

// Draw the weights as curves: blue is positive, orange negative, and the width is the size.
function paintEdges(app) {
  const { context } = sharp(app.dom.edges);
  app.edges ??= edgePlaces(app);
  app.groups.forEach(({ dense }, at) => {
    const [from, to] = [app.edges[at], app.edges[at + 1]];
    if (from.length !== dense.inputs || to.length !== dense.outputs) return;
    const blurred = Math.max(from.length, to.length) > MOST_IN_A_COLUMN;
    const { W } = dense.parameters;
    const most = largest(W) || 1;
    to.forEach((end, unit) => {
      const picked = app.picked?.group === at && app.picked.unit === unit;
      if (blurred && !picked) return;
      from.forEach((begin, input) => {
        const value = W[input * dense.outputs + unit] / most;
        const strength = picked ? 1 : app.picked ? 0.25 : 0.75;
        drawEdge(context, begin.right, begin.middle, end.left, end.middle, value, strength);
      });
    });
  });
  context.globalAlpha = 1;
}

function drawEdge(context, x0, y0, x1, y1, value, strength) {
  const size = Math.abs(value);
  const middle = (x0 + x1) / 2;
  context.globalAlpha = strength * (0.15 + 0.85 * size);
  context.strokeStyle = value > 0 ? palette.colours.positive : palette.colours.negative;
  context.lineWidth = 0.6 + 3.4 * size;
  context.beginPath();
  context.moveTo(x0, y0);
  context.bezierCurveTo(middle, y0, middle, y1, x1, y1);
  context.stroke();
}
