// A training: a network on a problem, step by step, with curves and a history for undo.

const MOST_PAST = 400; // moments that are remembered
const APART = 20; // steps between two of them: those between are computed again

function newSession(settings, problem) {
  const net = nnxEngine.network(networkOf(settings, problem));
  const session = {
    settings, problem, net, past: [], stepCount: 0, epoch: 0, epochStart: 0, at: 0,
    curve: { steps: [], train: [], held: [], accuracy: [] }, order: null, batchX: null, batchY: null,
  };
  measure(session);
  return session;
}

// Everything that a step changes, to restore it; a restore also cuts off the later part of the curve.
function momentOf(session) {
  const { settings, problem, net, stepCount, epoch, epochStart, at, curve } = session;
  return { settings, problem, net, stepCount, epoch, epochStart, at, curve, state: net.state() };
}

function restoreMoment(session, { state, ...moment }) {
  Object.assign(session, moment, { order: null });
  session.net.restore(state);
  session.net.optimizer.learning_rate = session.settings.rate;
}

function remember(session) {
  session.past.push(momentOf(session));
  if (session.past.length > MOST_PAST) session.past.shift();
}

// The order of the rows in an epoch: that of `fit` in nnx, which does not shuffle rows of a single batch.
function orderOf({ settings, problem: { train }, epochStart }) {
  if (settings.batch >= train.rows) return Array.from({ length: train.rows }, (_, row) => row);
  return nnxEngine.epochOrder(settings.seed, epochStart, train.rows);
}

// One step on the next batch. False if its loss or its gradients are not finite: then nothing changed.
function oneStep(session) {
  const { problem: { train, inputs, outputs }, settings, net } = session;
  session.order ??= orderOf(session);
  const rows = Math.min(settings.batch, train.rows - session.at);
  if (session.batchX?.length !== rows * inputs || session.batchY?.length !== rows * outputs) {
    session.batchX = new Float64Array(rows * inputs);
    session.batchY = new Float64Array(rows * outputs);
  }
  for (let place = 0; place < rows; place += 1) {
    const row = session.order[session.at + place];
    session.batchX.set(train.x.subarray(row * inputs, (row + 1) * inputs), place * inputs);
    session.batchY.set(train.y.subarray(row * outputs, (row + 1) * outputs), place * outputs);
  }
  net.step(session.batchX, session.batchY, rows);
  if (net.fault) return false;
  session.stepCount += 1;
  session.at += rows;
  if (session.at >= train.rows) {
    Object.assign(session, { at: 0, epoch: session.epoch + 1, epochStart: session.stepCount, order: null });
  }
  return true;
}

// Train for some steps, but no longer than `limit` milliseconds. False if the loss is no longer finite.
function advance(session, steps, limit = Infinity) {
  const last = session.past.at(-1);
  if (!last || last.net !== session.net || last.settings !== session.settings
    || session.stepCount - last.stepCount >= APART) {
    remember(session);
  }
  const end = performance.now() + limit;
  for (let step = 0; step < steps; step += 1) {
    if (!oneStep(session)) return false;
    if (performance.now() > end) break;
  }
  return true;
}

// Go back by one step, or by one change of the settings. False if there is nothing to go back to.
function undo(session) {
  const { past, net, settings } = session;
  const same = (moment) => moment?.net === net && moment.settings === settings;
  const target = session.stepCount - 1;
  while (same(past.at(-1)) && past.at(-1).stepCount > target) past.pop();
  if (!past.length) return false;
  if (same(past.at(-1))) {
    // Begin before the wanted step if possible: the step to it is computed again, and with it its gradients.
    if (past.at(-1).stepCount === target && same(past.at(-2))) past.pop();
    restoreMoment(session, past.at(-1));
    while (session.stepCount < target) oneStep(session);
  } else {
    restoreMoment(session, past.pop());
  }
  trimCurve(session);
  measure(session);
  return true;
}

function trimCurve(session) {
  const { steps } = session.curve;
  let length = steps.length;
  while (length > 0 && steps[length - 1] > session.stepCount) length -= 1;
  for (const line of Object.values(session.curve)) line.length = length;
}

// Change the settings: keep the network if possible, else begin with a new one. Both can be undone.
function change(session, settings, problem) {
  if (problem === session.problem && !beginsAnew(session.settings, settings)) {
    remember(session);
    session.settings = settings;
    session.net.optimizer.learning_rate = settings.rate;
    return session;
  }
  return restart(session, settings, problem);
}

function restart(session, settings = session.settings, problem = session.problem) {
  remember(session);
  const next = newSession(settings, problem);
  next.past = session.past;
  return next;
}

// What a link and an undo in another page need.
function progressOf(session) {
  const { stepCount, epoch, epochStart, at, net, curve } = session;
  return { stepCount, epoch, epochStart, at, state: net.state(), curve: thinned(curve) };
}

// At most 60 points of a curve: a link has little room.
function thinned(curve) {
  const every = Math.ceil(curve.steps.length / 60);
  const kept = (_, place) => (curve.steps.length - 1 - place) % every === 0;
  const rounded = (value) => (value === null ? null : Number(value.toPrecision(5)));
  return Object.fromEntries(Object.entries(curve).map(([name, line]) =>
    [name, line.filter(kept).map(rounded)]));
}

function resume(session, progress) {
  try {
    session.net.restore(progress.state);
    const { stepCount, epoch, epochStart, at } = progress;
    const whole = (count) => Number.isInteger(count) && count >= 0;
    const { steps, optimizerSteps } = session.net;
    if (![stepCount, epoch, epochStart, at, steps, optimizerSteps].every(whole)) throw new Error("no counts");
    if (at >= session.problem.train.rows) throw new Error("no such row");
    Object.assign(session, { stepCount, epoch, epochStart, at, order: null });
    for (const name of Object.keys(session.curve)) {
      session.curve[name] = progress.curve[name].map((v) => (v === null ? v : Number(v)));
      if (session.curve[name].length !== session.curve.steps.length) throw new Error("cut curves");
    }
  } catch (error) {
    throw new Refused("the numbers of the link do not fit its network and data: copy the whole link again");
  }
  measure(session);
}

// Losses on all rows, and the share of right answers, without dropout and noise.
function measure(session) {
  const { net, problem, curve, stepCount } = session;
  const train = sideOf(net, problem, problem.train);
  const held = sideOf(net, problem, problem.held);
  if (curve.steps.at(-1) === stepCount) for (const line of Object.values(curve)) line.pop();
  curve.steps.push(stepCount);
  curve.train.push(train.loss);
  curve.held.push(held.loss);
  curve.accuracy.push(problem.held.rows ? held.accuracy : train.accuracy);
}

function sideOf(net, problem, side) {
  if (!side.rows) return { loss: null, accuracy: null };
  const loss = net.evaluate(side.x, side.y, side.rows);
  if (problem.task !== "classification") return { loss, accuracy: null };
  const answers = net.looks.at(-1); // of evaluate
  let right = 0;
  for (let row = 0; row < side.rows; row += 1) {
    if (answerAt(answers, row, problem.outputs) === side.labels[row]) right += 1;
  }
  return { loss, accuracy: right / side.rows };
}

// The class with the largest probability.
function answerAt(answers, row, outputs) {
  if (outputs === 1) return Number(answers[row] > 0.5);
  let best = 0;
  for (let at = 1; at < outputs; at += 1) {
    if (answers[row * outputs + at] > answers[row * outputs + best]) best = at;
  }
  return best;
}
