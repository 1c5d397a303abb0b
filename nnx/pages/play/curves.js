// The learning curves: the loss in training and held out, step by step.

const DRAWN = 300; // points of a curve at most

// Round numbers that divide an interval into two to five parts.
function ticksOf(high) {
  const rough = high / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, at) => at * step);
}

function tickText(value) {
  if (value >= 10000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

function paintCurves(app) {
  const { curve } = app.session;
  const { context, width, height } = sharp(app.dom.curves);
  const finite = (values) => values.filter((value) => value !== null && Number.isFinite(value));
  const every = Math.max(1, Math.ceil(curve.steps.length / DRAWN));
  const places = curve.steps.map((_, at) => at).filter((at) => (curve.steps.length - 1 - at) % every === 0);
  const losses = finite(places.flatMap((at) => [curve.train[at], curve.held[at]]));
  const top = Math.max(...losses, 1e-12) * 1.06;
  const last = Math.max(curve.steps.at(-1), 10);
  const box = { left: 44, right: width - 8, top: 8, bottom: height - 24 };
  const across = (step) => box.left + (step / last) * (box.right - box.left);
  const up = (loss) => box.bottom - (Math.min(loss, top) / top) * (box.bottom - box.top);
  paintAxes(context, box, { across, up, last, top });
  const line = (values, colour, dashed) => {
    context.beginPath();
    let drawing = false;
    for (const at of places) {
      if (values[at] === null || !Number.isFinite(values[at])) { drawing = false; continue; }
      context[drawing ? "lineTo" : "moveTo"](across(curve.steps[at]), up(values[at]));
      drawing = true;
    }
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.setLineDash(dashed ? [5, 4] : []);
    context.stroke();
    context.setLineDash([]);
  };
  line(curve.held, palette.colours.negative, true);
  line(curve.train, palette.colours.positive, false);
}

function paintAxes(context, box, { across, up, last, top }) {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = palette.colours.soft;
  context.strokeStyle = palette.colours.line;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of ticksOf(top)) {
    const y = Math.round(up(value)) + 0.5;
    context.beginPath();
    context.moveTo(box.left, y);
    context.lineTo(box.right, y);
    context.stroke();
    context.fillText(tickText(value), box.left - 7, y);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of ticksOf(last)) {
    if (across(value) < box.right - 10) context.fillText(tickText(value), across(value), box.bottom + 7);
  }
}

// Some points of the curves as a table, for those who do not see the picture.
function fillCurveTable(app) {
  const { curve } = app.session;
  const count = Math.min(curve.steps.length, 10);
  const places = Array.from({ length: count }, (_, at) =>
    Math.round((at * (curve.steps.length - 1)) / Math.max(count - 1, 1)));
  const number = (value) => (value === null ? "–" : shown(value));
  app.dom.curveRows.replaceChildren(...places.map((at) => element("tr", {},
    element("th", { scope: "row" }, curve.steps[at].toLocaleString("en")),
    element("td", {}, number(curve.train[at])), element("td", {}, number(curve.held[at])))));
}
