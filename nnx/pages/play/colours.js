// Colours from the style sheet, and pictures of numbers: blue for positive, orange for negative.

const SHADES = 512; // of the scale from -1 to 1
const palette = { scale: new Uint32Array(SHADES + 1), classes: [], colours: {} };

function channels(text) {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

// Read the colours again: at the start, and when the page becomes dark or light.
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  for (const name of ["ink", "soft", "line", "card", "page", "accent", "positive", "negative", "middle"]) {
    palette.colours[name] = get(`--${name}`);
  }
  const [positive, negative, middle] =
    ["positive", "negative", "middle"].map((name) => channels(palette.colours[name]));
  for (let shade = 0; shade <= SHADES; shade += 1) {
    const value = (2 * shade) / SHADES - 1;
    palette.scale[shade] = mixed(middle, value > 0 ? positive : negative, Math.abs(value) ** 0.85);
  }
  palette.classes = Array.from({ length: 10 }, (_, at) => get(`--c${at}`));
  palette.classChannels = palette.classes.map(channels);
  palette.middle = middle;
}

function mixed(from, to, share) {
  const channel = (at) => Math.round(from[at] + share * (to[at] - from[at]));
  return ((255 << 24) | (channel(2) << 16) | (channel(1) << 8) | channel(0)) >>> 0;
}

// The colour of a number from -1 to 1, as the pixels of a canvas hold it.
function shade(value) {
  const place = Math.round(((value + 1) / 2) * SHADES);
  return palette.scale[place < 0 || Number.isNaN(place) ? 0 : place > SHADES ? SHADES : place];
}

function cssShade(value) {
  const pixel = shade(value);
  return `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
}

// The colour of a class; with two classes, blue and orange.
function classColour(label, count) {
  return count === 2 ? [palette.colours.positive, palette.colours.negative][label] : palette.classes[label];
}

// A picture that is written pixel by pixel: {canvas, context, image, pixels}, made once for each canvas.
const pictures = new WeakMap();

function pictureOf(canvas, width, height) {
  let picture = pictures.get(canvas);
  if (!picture || picture.image.width !== width || picture.image.height !== height) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    picture = { context, image, pixels: new Uint32Array(image.data.buffer) };
    pictures.set(canvas, picture);
  }
  return picture;
}

function show(picture) {
  picture.context.putImageData(picture.image, 0, 0);
}

// A column of a table of numbers as a picture, from -most to most.
function paintColumn(canvas, width, height, values, stride, offset, most) {
  const picture = pictureOf(canvas, width, height);
  const factor = most > 0 ? 1 / most : 0;
  const { pixels } = picture;
  for (let at = 0; at < pixels.length; at += 1) pixels[at] = shade(values[at * stride + offset] * factor);
  show(picture);
}

function largest(values, stride = 1, offset = 0) {
  let most = 0;
  for (let at = offset; at < values.length; at += stride) {
    const size = Math.abs(values[at]);
    if (size > most) most = size;
  }
  return most;
}

// A canvas for lines and points, as sharp as the screen; returns its context in CSS pixels, cleared.
function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
