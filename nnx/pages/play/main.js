// The page: one training, drawn once in each frame if something changed.

const FRAME_BUDGET = 9; // milliseconds of training in a frame; the rest is for drawing
const SAY_EVERY = 5000; // milliseconds between two readings of the loss by a screen reader
const CALM_EVERY = 400; // milliseconds between two pictures for those who asked for less motion
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const app = {
  dom: {}, session: null, groups: [], picked: null, axes: [0, 1], table: null, plane: null, edges: null,
  playing: false, dirty: true, frames: 0, lastDrawn: 0, lastSaid: 0, waiting: null, given: null,

  // Change settings; begin with a new network if they need one.
  set(changes) {
    this.guard(() => {
      const { settings } = this.session;
      const next = changes.task || changes.data ? startOf(settings, changes)
        : checkedSettings({ ...settings, ...changes });
      if (JSON.stringify(next) === JSON.stringify(settings)) return;
      const sameData = ["task", "data", "points", "noise", "held", "seed", "target"].every((name) =>
        next[name] === settings[name]);
      const problem = sameData ? this.session.problem : problemOf(next, this.given, this.table);
      this.use(change(this.session, next, problem));
    });
    showSettings(this);
  },

  setLayer(at, changes) {
    const layers = this.session.settings.layers.map((layer, place) =>
      (place === at ? { ...layer, ...changes } : layer));
    this.set({ layers });
  },

  setAxes(x, y) {
    const [before] = this.axes;
    this.axes = x === y ? [y === before ? this.axes[1] : y, before] : [x, y];
    this.lookAgain();
    showSettings(this);
  },

  // Take another session: its network may have other layers.
  use(session) {
    const before = this.session;
    this.session = session;
    this.table = session.problem.table ?? this.table;
    const sameProblem = before?.problem === session.problem;
    const sameNet = before?.net === session.net && sameProblem;
    if (!sameProblem) this.fitAxes();
    if (!sameNet) this.rebuild();
    this.dirty = true;
  },

  // Two inputs for the axes of the plane, or one.
  fitAxes() {
    const { inputs } = this.session.problem;
    const unfit = this.axes[0] === this.axes[1] || this.axes.some((at) => at >= inputs);
    if (unfit) this.axes = [0, Math.min(1, inputs - 1)];
  },

  // Everything in the page that depends on the network's layers or on the data.
  rebuild() {
    this.picked = null;
    buildDiagram(this);
    buildWeights(this);
    buildImages(this);
    this.lookAgain();
    this.showPicked();
    showSettings(this);
  },

  lookAgain() {
    const { problem } = this.session;
    this.plane = problem.image ? null : planeRows(problem, this.axes);
    paintInputs(this, this.plane);
    paintPoints(this);
    showLegend(this);
    this.edges = null;
    this.dirty = true;
  },

  pick(group, unit) {
    const same = this.picked?.group === group && this.picked.unit === unit;
    this.picked = same ? null : { group, unit };
    this.showPicked();
    this.dirty = true;
  },

  showPicked() {
    for (const button of this.dom.layers.querySelectorAll("button.neuron")) {
      const on = this.picked && Number(button.dataset.group) === this.picked.group
        && Number(button.dataset.unit) === this.picked.unit;
      button.setAttribute("aria-pressed", String(Boolean(on)));
    }
    showNeuron(this);
  },

  useTable(table) {
    const { target } = table;
    const task = taskOf(table);
    const waiting = this.waiting?.settings.table === table.name ? this.waiting : null;
    this.waiting = null;
    const wanted = waiting?.settings ?? startOf(this.session.settings,
      { task, data: "own", target, table: table.name });
    const problem = problemOf(wanted, this.given, table);
    const session = restart(this.session,
      checkedSettings({ ...wanted, batch: Math.min(wanted.batch, problem.train.rows) }), problem);
    if (waiting?.progress) resume(session, waiting.progress);
    this.axes = [0, 1];
    this.use(session);
    const rows = counted(problem.train.rows + problem.held.rows, "row");
    this.say(`${table.name}: ${rows}, ${counted(problem.inputs, "input")}`);
  },

  // Run something that may refuse the user's file or link: its line is shown, and nothing changes.
  async guard(action) {
    this.dom.trouble.hidden = true;
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.dom.trouble.textContent = error.message;
      this.dom.trouble.hidden = false;
      this.pause();
    }
  },

  say(text) {
    this.dom.said.textContent = text;
    this.lastSaid = performance.now();
  },

  sayLoss() {
    const { curve, stepCount } = this.session;
    const held = curve.held.at(-1);
    const more = held === null ? "" : `, held out ${shown(held)}`;
    this.say(`step ${stepCount}, loss ${shown(curve.train.at(-1))}${more}`);
  },

  play() {
    this.playing = true;
    this.showPlaying();
  },

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.showPlaying();
    this.sayLoss();
  },

  showPlaying() {
    this.dom.playText.textContent = this.playing ? "Pause" : "Play";
    this.dom.play.firstElementChild.textContent = this.playing ? "❚❚" : "▶";
    this.dirty = true;
  },

  train(steps, limit) {
    const fine = advance(this.session, steps, limit);
    this.dirty = true;
    if (fine) return;
    this.guard(() => {
      throw new Refused("The loss is no longer finite. Undo, or reset, and choose a lower rate.");
    });
  },

  undo() {
    this.pause();
    const before = { ...this.session };
    if (!undo(this.session)) return;
    this.table = this.session.problem.table ?? this.table;
    if (before.problem !== this.session.problem) this.fitAxes();
    if (before.net !== this.session.net || before.problem !== this.session.problem) this.rebuild();
    else showSettings(this);
    this.dom.trouble.hidden = true;
    this.dirty = true;
    this.sayLoss();
  },
};

// The curve's points cost a pass over all rows: with many rows, not in every frame.
function measureOften() {
  const { problem, net } = app.session;
  const work = (problem.train.rows + problem.held.rows) * net.values.length;
  return app.playing ? Math.max(1, Math.round(work / 300000)) : 1;
}

function draw() {
  const { session, dom } = app;
  const { problem, net, curve } = session;
  app.dirty = false;
  const heavy = app.frames % measureOften() === 0;
  if (heavy || !app.playing) {
    measure(session);
    showStatus();
    paintCurves(app);
    if (dom.curveTable.open) fillCurveTable(app);
  }
  if (!problem.image) {
    const looks = net.look(app.plane, GRID * GRID);
    paintSurface(app, looks);
    paintNeurons(app, looks);
    paintMoving(app, looks);
  } else if (heavy || !app.playing) {
    net.look(problem.train.x, Math.min(IMAGES, problem.train.rows));
    paintNeurons(app, net.looks);
    paintImages(app);
  }
  paintEdges(app);
  if (app.frames % 3 === 0 || !app.playing) paintWeights(app);
  if (app.picked) showNeuron(app);
}

function showStatus() {
  const { dom, session: { curve, stepCount, epoch, problem } } = app;
  dom.count.textContent = stepCount.toLocaleString("en");
  dom.epoch.textContent = epoch.toLocaleString("en");
  dom.lossTrain.textContent = shown(curve.train.at(-1));
  dom.lossHeld.textContent = curve.held.at(-1) === null ? "–" : shown(curve.held.at(-1));
  dom.accuracyBox.hidden = problem.task !== "classification";
  const share = curve.accuracy.at(-1);
  dom.accuracy.textContent = share === null ? "–" : `${(100 * share).toFixed(1)} %`;
  dom.undo.disabled = app.session.past.length === 0;
  const [first, last] = [curve.train[0], curve.train.at(-1)].map(shown);
  const text = `Learning curves to step ${stepCount}: training loss from ${first} to ${last}`;
  dom.curves.setAttribute("aria-label", text);
}

function frame(now) {
  if (app.playing) {
    app.train(app.session.settings.speed, FRAME_BUDGET);
    if (performance.now() - app.lastSaid > SAY_EVERY) app.sayLoss();
  }
  const early = app.playing && calm.matches && now - app.lastDrawn < CALM_EVERY;
  if (app.dirty && !early) {
    draw();
    app.frames += 1;
    app.lastDrawn = now;
  }
  if (!app.playing) showCode(app);
  requestAnimationFrame(frame);
}

function start() {
  findElements(app);
  app.given = JSON.parse(document.getElementById("given").textContent);
  readColours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => { readColours(); app.rebuild(); });
  const resized = () => { paintPoints(app); app.edges = null; app.dirty = true; };
  new ResizeObserver(resized).observe(document.querySelector("main"));
  connectControls(app);
  connectButtons(app);
  app.table = app.given.table;
  app.use(newSession(DEFAULTS, problemOf(DEFAULTS, app.given, null)));
  if (app.table) app.guard(() => app.useTable(app.table)).then(() => { app.session.past = []; });
  const fromLink = () => app.guard(() => openLink(app));
  window.addEventListener("hashchange", fromLink);
  if (location.hash) fromLink(); // without a link, what is wrong with the table stays in sight
  globalThis.nnxPlayground = app;
  requestAnimationFrame(frame);
}

start();
