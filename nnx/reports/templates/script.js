
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Charts: the pointer over the plot, or the slider below it, chooses an epoch and shows its values.
  for (const chart of all(".chart")) {
    const data = JSON.parse(chart.dataset.chart);
    const area = chart.querySelector(".area");
    const cursor = chart.querySelector(".cursor");
    const dots = all(".dot", chart);
    const slider = chart.querySelector("input");
    const readout = chart.querySelector("output");

    const show = (index) => {
      slider.value = index;
      const left = data.x[index] / 10 + "%";
      cursor.hidden = false;
      cursor.style.left = left;
      data.lines.forEach((line, place) => {
        dots[place].hidden = line.y[index] === null;
        dots[place].style.left = left;
        dots[place].style.top = line.y[index] / 10 + "%";
      });
      const values = data.lines.filter((line) => line.values[index] !== null)
        .map((line) => `${line.label} ${line.values[index]}`);
      const text = `${data.step} ${data.positions[index].toLocaleString("en")}: ${values.join(", ")}`;
      readout.textContent = text;
      slider.setAttribute("aria-valuetext", text);
    };
    const nearest = (share) => {
      let best = 0;
      data.x.forEach((x, index) => {
        if (Math.abs(x - 1000 * share) < Math.abs(data.x[best] - 1000 * share)) best = index;
      });
      return best;
    };
    const follow = (event) => {
      const box = area.getBoundingClientRect();
      show(nearest((event.clientX - box.left) / box.width));
    };
    area.addEventListener("pointermove", follow);
    area.addEventListener("pointerdown", follow);
    slider.addEventListener("input", () => show(Number(slider.value)));
    chart.querySelector(".scrub").hidden = false;
    show(data.positions.length - 1);
  }

  // The code map: chosen classes stay visible, the others fade.
  for (const map of all(".map")) {
    const buttons = all("button", map);
    map.querySelector(".classes").hidden = false;
    map.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "false");
      const chosen = buttons.filter((one) => one.getAttribute("aria-pressed") === "true")
        .map((one) => one.dataset.class);
      for (const drawn of all("svg [data-class]", map)) {
        drawn.classList.toggle("away", chosen.length > 0 && !chosen.includes(drawn.dataset.class));
      }
    });
  }

  // The confusion matrix: a cell opens its test images; arrow keys go from cell to cell.
  for (const matrix of all(".confusion")) {
    const buttons = all("button", matrix);
    const panels = all(".panel", matrix);
    const choose = (button) => buttons.forEach((one) => { one.tabIndex = one === button ? 0 : -1; });
    const open = (chosen) => {
      const wanted = chosen.getAttribute("aria-expanded") === "false";
      for (const one of buttons) one.setAttribute("aria-expanded", one === chosen && wanted);
      for (const panel of panels) panel.hidden = !wanted || panel.id !== chosen.getAttribute("aria-controls");
    };
    const place = (button) => [Number(button.dataset.row), Number(button.dataset.column)];
    const towards = (button, down, right) => {
      const [row, column] = place(button);
      const steps = (one) => {
        const [other, across] = place(one);
        const along = (other - row) * down + (across - column) * right;
        const aside = Math.abs((other - row) * right) + Math.abs((across - column) * down);
        return along > 0 ? along + 100 * aside : Infinity;
      };
      const best = buttons.reduce((a, b) => steps(b) < steps(a) ? b : a);
      return steps(best) < Infinity ? best : button;
    };
    const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    for (const panel of panels) panel.hidden = true;
    if (buttons.length) {
      const worst = buttons.reduce((a, b) => Number(b.textContent) > Number(a.textContent) ? b : a);
      choose(worst);
      open(worst);
    }
    for (const button of buttons) {
      button.addEventListener("click", () => { choose(button); open(button); });
      button.addEventListener("keydown", (event) => {
        if (!(event.key in arrows)) return;
        event.preventDefault();
        const next = towards(button, ...arrows[event.key]);
        choose(next);
        next.focus();
      });
    }
  }

  // Print everything open.
  let closed = [], unseen = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    unseen = all(".panel[hidden]");
    for (const one of closed) one.open = true;
    for (const one of unseen) one.hidden = false;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    for (const one of unseen) one.hidden = true;
  });
})();
