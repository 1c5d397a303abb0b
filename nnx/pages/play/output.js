// The large picture: what the network answers over the plane, or for images.

// The points of the plane, as rows of inputs; inputs that are not on an axis stay at 0, their mean.
function planeRows(problem, axes) {
  const rows = new Float64Array(GRID * GRID * problem.inputs);
  const along = (at, place) => {
    const [low, high] = problem.extent[at];
    return low + ((place + 0.5) / GRID) * (high - low);
  };
  for (let down = 0; down < GRID; down += 1) {
    for (let right = 0; right < GRID; right += 1) {
      const row = (down * GRID + right) * problem.inputs;
      if (problem.inputs > 1) rows[row + axes[1]] = along(axes[1], GRID - 1 - down);
      rows[row + axes[0]] = along(axes[0], right);
    }
  }
  return rows;
}

// Paint the surface: the network's answer, or the output of a neuron that was chosen.
function paintSurface(app, looks) {
  const { problem, net } = app.session;
  const canvas = app.dom.surface;
  if (app.picked) {
    const group = app.groups[app.picked.group];
    paintOutput(canvas, looks[group.place], group.dense.outputs, app.picked.unit,
      kindOf(app, app.picked.group));
  } else if (problem.task === "classification" && problem.outputs > 1) {
    paintClasses(canvas, looks.at(-1), problem.outputs);
  } else if (problem.task === "autoencoding" || isCurve(problem)) {
    paintColumn(canvas, GRID, GRID, new Float64Array(GRID * GRID), 1, 0, 1);
  } else {
    paintOutput(canvas, looks.at(-1), net.outputs, 0, kindOf(app, app.groups.length - 1));
  }
}

// Each point has the mean of the classes' colours, weighted by their probabilities.
function paintClasses(canvas, values, outputs) {
  const picture = pictureOf(canvas, GRID, GRID);
  for (let at = 0; at < picture.pixels.length; at += 1) {
    let r = 0, g = 0, b = 0;
    for (let label = 0; label < outputs; label += 1) {
      const share = values[at * outputs + label];
      const colour = palette.classChannels[label];
      r += share * colour[0]; g += share * colour[1]; b += share * colour[2];
    }
    picture.pixels[at] = mixed(palette.middle, [r, g, b], 0.65);
  }
  show(picture);
}

// Where a row lies on the picture.
function placeOf(problem, axes, values, row, width, height, outputs = problem.inputs) {
  const share = (at) => {
    const [low, high] = problem.extent[at];
    return (values[row * outputs + at] - low) / (high - low);
  };
  const down = problem.inputs > 1 ? 1 - share(axes[1]) : 0.5;
  return [share(axes[0]) * width, down * height];
}

// A regression with one input is drawn as a curve.
function isCurve(problem) {
  return problem.inputs === 1 && problem.task === "regression";
}

function pointColour(problem, side, row) {
  if (isCurve(problem)) return palette.colours.positive;
  if (problem.task === "regression") return cssShade(side.y[row] / valueScale(problem));
  return side.labels ? classColour(side.labels[row], problem.classes?.length ?? 2) : palette.colours.positive;
}

// The rows as points; those held out are rings. They move only with the data, the axes and the size.
function paintPoints(app) {
  const { problem } = app.session;
  const { context, width, height } = sharp(app.dom.points);
  if (problem.image || problem.task === "autoencoding") return;
  const radius = problem.train.rows > 300 ? 2.6 : 3.6;
  const around = problem.task === "regression" && !isCurve(problem) ? palette.colours.soft
    : palette.colours.card;
  for (const [side, held] of [[problem.train, false], [problem.held, true]]) {
    for (let row = 0; row < side.rows; row += 1) {
      const [left, top] = pointPlace(app, side, row, width, height);
      context.beginPath();
      context.arc(left, top, radius, 0, 2 * Math.PI);
      context.fillStyle = held ? palette.colours.card : pointColour(problem, side, row);
      context.strokeStyle = held ? pointColour(problem, side, row) : around;
      context.lineWidth = held ? 1.8 : 0.8;
      context.fill();
      context.stroke();
    }
  }
}

// With one input, a regression's target is the height; each class has its own row.
function pointPlace(app, side, row, width, height) {
  const { problem } = app.session;
  const place = placeOf(problem, app.axes, side.x, row, width, height);
  if (problem.inputs > 1) return place;
  if (isCurve(problem)) return [place[0], heightOf(problem, side.y[row], height)];
  return [place[0], ((side.labels[row] + 1) / (problem.classes.length + 1)) * height];
}

function heightOf(problem, value, height) {
  return (0.5 - (0.45 * value) / valueScale(problem)) * height;
}

// What moves in each step above the points: reconstructions, or the curve of a regression with one input.
function paintMoving(app, looks) {
  const { problem } = app.session;
  const { context, width, height } = sharp(app.dom.moving);
  if (app.picked) return;
  if (problem.task === "autoencoding") paintReconstructedPoints(app, context, width, height);
  else if (isCurve(problem)) {
    context.beginPath();
    for (let at = 0; at < GRID; at += 1) {
      context.lineTo(((at + 0.5) / GRID) * width, heightOf(problem, looks.at(-1)[at], height));
    }
    context.strokeStyle = palette.colours.ink;
    context.lineWidth = 2.5;
    context.stroke();
  }
}

// Lines from points to their reconstructions.
function paintReconstructedPoints(app, context, width, height) {
  const { problem, net } = app.session;
  for (const side of [problem.train, problem.held]) {
    if (!side.rows) continue;
    const answers = net.predict(side.x, side.rows);
    const rows = Math.min(side.rows, 600);
    context.beginPath();
    for (let row = 0; row < rows; row += 1) {
      context.moveTo(...placeOf(problem, app.axes, side.x, row, width, height));
      context.lineTo(...placeOf(problem, app.axes, answers, row, width, height));
    }
    context.strokeStyle = palette.colours.soft;
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.stroke();
    context.globalAlpha = 1;
    for (let row = 0; row < rows; row += 1) {
      dot(context, placeOf(problem, app.axes, side.x, row, width, height), 1.8, palette.colours.soft);
      dot(context, placeOf(problem, app.axes, answers, row, width, height), 2.6,
        pointColour(problem, side, row));
    }
  }
}

function dot(context, [left, top], radius, colour) {
  context.beginPath();
  context.arc(left, top, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}

// ------------------------------------------------------------------ images

const SHOWN_IMAGES = 20;

// The images of the large picture, held-out ones, two of each class: made once, painted with each step.
function buildImages(app) {
  const { problem } = app.session;
  app.dom.images.replaceChildren();
  app.shownRows = [];
  if (!problem.image) return;
  const side = problem.held;
  const counts = new Array(10).fill(0);
  for (let row = 0; row < side.rows && app.shownRows.length < SHOWN_IMAGES; row += 1) {
    if (counts[side.labels[row]] < 2) { counts[side.labels[row]] += 1; app.shownRows.push(row); }
  }
  app.shownRows.sort((a, b) => side.labels[a] - side.labels[b]);
  const { inputs } = problem;
  app.shownX = part(side.x, inputs, app.shownRows);
  for (const row of app.shownRows) {
    const canvas = element("canvas",
      { width: 8, height: 8, role: "img", "aria-label": `digit ${side.labels[row]}` });
    const item = element("li", {}, canvas);
    const answer = problem.task === "autoencoding"
      ? element("canvas", { width: 8, height: 8, role: "img",
        "aria-label": `reconstruction of digit ${side.labels[row]}` })
      : element("span", { class: "guess" });
    item.append(answer);
    paintInk(canvas, side.x, row);
    app.dom.images.append(item);
  }
}

// An image, ink on paper; the colours follow the page.
function paintInk(canvas, values, row) {
  const picture = pictureOf(canvas, 8, 8);
  const [ink, paper] = [channels(palette.colours.ink), channels(palette.colours.card)];
  for (let at = 0; at < 64; at += 1) {
    picture.pixels[at] = mixed(paper, ink, Math.min(Math.max(values[row * 64 + at], 0), 1));
  }
  show(picture);
}

function paintImages(app) {
  const { problem, net } = app.session;
  const answers = net.predict(app.shownX, app.shownRows.length);
  [...app.dom.images.children].forEach((item, at) => {
    if (problem.task === "autoencoding") { paintInk(item.lastChild, answers, at); return; }
    const guess = answerAt(answers, at, problem.outputs);
    const right = guess === problem.held.labels[app.shownRows[at]];
    const share = Math.round(100 * answers[at * problem.outputs + guess]);
    item.lastChild.textContent = right ? `${guess}` : `${guess} ✗`;
    item.lastChild.title = `${share} %`;
    item.classList.toggle("wrong", !right);
  });
}
