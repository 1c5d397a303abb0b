// The state as the part of an address after #: settings as JSON, and all numbers of the network, exactly.

const LONGEST_LINK = 60000; // characters: mail and chat programs cut longer ones

function toBase64(bytes) {
  let letters = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    letters += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64(text) {
  return bytes(text.replaceAll("-", "+").replaceAll("_", "/"));
}

// Replace each array of numbers in an object by its place in one buffer.
function packed(state) {
  const arrays = [];
  const tree = JSON.parse(JSON.stringify(state, (_, value) => {
    if (!(value instanceof Float64Array)) return value;
    arrays.push(value);
    return { numbers: value.length };
  }));
  const all = new Float64Array(arrays.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of arrays) { all.set(one, at); at += one.length; }
  return { tree, bytes: new Uint8Array(all.buffer) };
}

function unpacked(tree, buffer) {
  const all = new Float64Array(buffer.buffer, 0, Math.floor(buffer.length / 8));
  let at = 0;
  const walk = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Number.isInteger(value.numbers)) {
      if (at + value.numbers > all.length) throw new Refused("the link is cut short");
      at += value.numbers;
      return all.slice(at - value.numbers, at);
    }
    if (Array.isArray(value)) return value.map(walk);
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, walk(one)]));
  };
  return walk(tree);
}

// The link's text, and whether the network's numbers fit into it.
function hashOf(settings, progress) {
  const { tree, bytes: numbers } = packed(progress);
  const text = (value) => toBase64(new TextEncoder().encode(JSON.stringify(value)));
  const short = `#s=${text(settings)}`;
  const long = `${short}&p=${text(tree)}&w=${toBase64(numbers)}`;
  return long.length <= LONGEST_LINK ? { hash: long, whole: true } : { hash: short, whole: false };
}

// What a link holds: {settings, progress}; null if the address has none.
function readHash(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  if (!parts.has("s")) return null;
  try {
    const json = (name) => JSON.parse(new TextDecoder().decode(fromBase64(parts.get(name))));
    const settings = checkedSettings(json("s"));
    const progress = parts.has("w") ? unpacked(json("p"), fromBase64(parts.get("w"))) : null;
    return { settings, progress };
  } catch (error) {
    throw new Refused("the link is damaged: copy the whole link again");
  }
}
