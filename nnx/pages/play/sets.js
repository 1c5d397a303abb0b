// The built-in sets: points in the plane, drawn from a seed, and scikit-learn's digits.

// Mulberry32 (Tommy Ettinger, 2017): numbers in [0, 1) from a seed of 32 bits; the same on every machine.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// A normal number (Box and Muller, 1958).
function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// The order of rows in an epoch: Fisher and Yates' shuffle.
function shuffled(count, random) {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// Each set returns a point, its class 0 or 1, and its value for regression in about [-1, 1].
const PLANE = {
  xor(random) {
    const sides = [random(), random()].map((u) => 2 * u - 1);
    const point = sides.map((side) => side + Math.sign(side) * 0.08);
    return { point, label: Number(point[0] * point[1] < 0), value: 1.2 * point[0] * point[1] };
  },
  circles(random, index) {
    const label = index % 2;
    const radius = label ? 0.68 + 0.3 * random() : 0.45 * Math.sqrt(random());
    const angle = 2 * Math.PI * random();
    const far = 1.05 * Math.sqrt(random());
    const point = [Math.cos(angle), Math.sin(angle)];
    return { point: point.map((side) => side * radius), label, spread: point.map((side) => side * far),
      value: Math.cos(1.6 * Math.PI * far) };
  },
  spirals(random, index) {
    const label = index % 2;
    const far = Math.sqrt(random());
    const angle = 1.75 * 2 * Math.PI * far * 0.75 + label * Math.PI;
    return { point: [far * Math.sin(angle), far * Math.cos(angle)], label, value: (label ? 1 : -1) * far };
  },
  moons(random, index) {
    const label = index % 2;
    const angle = Math.PI * random();
    const upper = [Math.cos(angle), Math.sin(angle)];
    const point = label ? [1 - upper[0], 0.5 - upper[1]] : upper;
    const spread = [2.1 * random() - 1.05, 2.1 * random() - 1.05];
    return { point: [(point[0] - 0.5) * 0.66, (point[1] - 0.25) * 0.9], label, spread,
      value: Math.sin(3 * spread[0]) * Math.cos(2 * spread[1]) };
  },
};

// Rows of a set in the plane: x, and either classes or values.
function planeSet(name, task, count, noise, seed) {
  const random = generator(0x9e3779b9 ^ (seed * 7919 + name.length));
  const x = new Float64Array(2 * count);
  const labels = new Uint8Array(count);
  const values = new Float64Array(count);
  for (let row = 0; row < count; row += 1) {
    const { point, label, value, spread } = PLANE[name](random, row);
    const place = task === "regression" && spread ? spread : point;
    const moved = [normal(random), normal(random)];
    if (task === "regression") {
      x.set(place, 2 * row);
      values[row] = value + noise * moved[0];
    } else {
      x.set(place.map((side, axis) => side + noise * moved[axis]), 2 * row);
    }
    labels[row] = label;
  }
  return { x, labels, values, rows: count };
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// The digits that Python put into the page; training rows come first.
function digitsSet(given) {
  const pixels = bytes(given.pixels);
  return { x: Float64Array.from(pixels, (pixel) => pixel / 16), labels: bytes(given.labels),
    rows: pixels.length / 64, train: given.train };
}
