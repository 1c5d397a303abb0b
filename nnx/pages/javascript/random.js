// Random numbers as nnx draws them: NumPy's generator for weights and orders, a hash for masks and noise.

const MASK64 = (1n << 64n) - 1n;
const MASK128 = (1n << 128n) - 1n;

// NumPy's SeedSequence: four words of 32 bits from any number of them, and more words from these.
function seedWords(entropy, count) {
  let constant = 0x43b0d7e5;
  const hashed = (value) => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mixed = (x, y) => {
    const result = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return result ^ (result >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hashed(i < entropy.length ? entropy[i] : 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
  }
  for (let from = 4; from < entropy.length; from++) {
    for (let to = 0; to < 4; to++) pool[to] = mixed(pool[to], hashed(entropy[from]));
  }
  constant = 0x8b51f9dd;
  return Array.from({ length: count }, (_, i) => {
    let value = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  });
}

// The words of 32 bits of a whole number, the lowest first. A seed from 2^53 on is a text of digits.
function words(number) {
  const found = [];
  for (let rest = BigInt(number); found.length === 0 || rest > 0n; rest >>= 32n) {
    found.push(Number(rest & 0xffffffffn));
  }
  return found;
}

// nnx.initializers.generator: NumPy's PCG64 (O'Neill, 2014) for a seed, a purpose and counters.
class Generator {
  constructor(seed, purpose, ...counters) {
    const letters = Array.from(purpose, (letter) => letter.charCodeAt(0));
    const state = seedWords([seed, ...letters, ...counters].flatMap(words), 8).map(BigInt);
    const long = (i) => (state[i + 1] << 96n) | (state[i] << 64n) | (state[i + 3] << 32n) | state[i + 2];
    this.increment = ((long(4) << 1n) | 1n) & MASK128;
    this.state = (this.increment + long(0)) & MASK128;
    this.spare = null;
    this.advance();
  }

  advance() {
    this.state = (this.state * 0x2360ed051fc65da44385df649fccf645n + this.increment) & MASK128;
  }

  bits64() {
    this.advance();
    const folded = (this.state >> 64n) ^ (this.state & MASK64);
    const turn = this.state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & MASK64;
  }

  bits32() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const bits = this.bits64();
    this.spare = Number(bits >> 32n);
    return Number(bits & 0xffffffffn);
  }

  // A number from [low, high).
  uniform(low, high) {
    return low + (high - low) * (Number(this.bits64() >> 11n) / 9007199254740992);
  }

  // A whole number from [0, most]: bits are drawn until they are small enough.
  whole(most) {
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    let value = this.bits32() & mask;
    while (value > most) value = this.bits32() & mask;
    return value;
  }

  permutation(size) {
    const order = Int32Array.from({ length: size }, (_, i) => i);
    for (let i = size - 1; i > 0; i--) {
      const j = this.whole(i);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

// The order of the rows in the epoch of `fit` that starts after `step` steps.
function epochOrder(seed, step, rows) {
  return new Generator(seed, "shuffles", step).permutation(rows);
}

// The ziggurat of Marsaglia and Tsang (2000) with 256 strips, as NumPy has it: for each strip its width, the
// part of it that lies under the curve, and the curve's height at its end.
const EDGE = 3.6541528853610088; // where the tail begins
const strips = (() => {
  const height = (x) => Math.exp(-0.5 * x * x);
  const area = EDGE * height(EDGE) + Math.sqrt(Math.PI / 2) * erfc(EDGE * Math.SQRT1_2);
  const x = new Float64Array(256);
  x[255] = EDGE;
  for (let i = 254; i > 0; i--) x[i] = Math.sqrt(-2 * Math.log(area / x[i + 1] + height(x[i + 1])));
  const widths = x.map((end) => end / 2 ** 52), heights = x.map(height);
  const inside = x.map((end, i) => (i < 2 ? 0 : Math.floor(2 ** 52 * (x[i - 1] / end))));
  widths[0] = area / heights[255] / 2 ** 52;
  heights[0] = 1;
  inside[0] = Math.floor((2 ** 52 * EDGE * heights[255]) / area);
  return { widths, inside, heights };
})();

// A number from the standard normal distribution.
function normal(generator) {
  for (;;) {
    const bits = generator.bits64(), i = Number(bits & 255n);
    const place = Number((bits >> 9n) & 0xfffffffffffffn), sign = bits & 256n ? -1 : 1;
    const x = sign * place * strips.widths[i];
    if (place < strips.inside[i]) return x;
    if (i === 0) {
      for (;;) {
        const beyond = -Math.log1p(-generator.uniform(0, 1)) / EDGE;
        const y = -Math.log1p(-generator.uniform(0, 1));
        if (2 * y > beyond * beyond) return (bits >> 17n) & 1n ? -(EDGE + beyond) : EDGE + beyond;
      }
    }
    const [low, high] = [strips.heights[i], strips.heights[i - 1]];
    if ((high - low) * generator.uniform(0, 1) + low < Math.exp(-0.5 * x * x)) return x;
  }
}

// The initial W of a Dense layer, by nnx's names: numbers with the variance scale / fan, uniform or normal.
const scaled = (scale, fan, uniform) => (generator, inputs, units) => {
  const deviation = Math.sqrt(scale / (fan === "in" ? inputs : 0.5 * (inputs + units)));
  const limit = Math.sqrt(3) * deviation;
  return uniform ? () => generator.uniform(-limit, limit) : () => deviation * normal(generator);
};
const INITIALIZERS = {
  glorot_uniform: scaled(1, "mean", true),
  glorot_normal: scaled(1, "mean", false),
  he_uniform: scaled(2, "in", true),
  he_normal: scaled(2, "in", false),
  lecun_uniform: scaled(1, "in", true),
  lecun_normal: scaled(1, "in", false),
  uniform: (generator) => () => generator.uniform(-0.05, 0.05),
  zeros: () => () => 0,
};

// Draw W, of shape (inputs, units), into `target`.
function drawWeights(generator, initializer, inputs, units, target) {
  const draw = known("initializer", INITIALIZERS, initializer)(generator, inputs, units);
  for (let i = 0; i < inputs * units; i++) target[i] = draw();
}

// The key of a layer in a step, 64 bits as two halves: SplitMix64 (Steele, Lea and Flood, 2014).
function layerKey(seed, step, layer, halves) {
  let key = 0n;
  for (const part of [seed, step, layer]) {
    key = (key + BigInt(part) + 0x9e3779b97f4a7c15n) & MASK64;
    key = ((key ^ (key >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK64;
    key = ((key ^ (key >> 27n)) * 0x94d049bb133111ebn) & MASK64;
    key ^= key >> 31n;
  }
  halves[0] = Number(key & 0xffffffffn);
  halves[1] = Number(key >> 32n);
}

// The finalizer lowbias32 of Chris Wellons.
function mixBits(h) {
  h ^= h >>> 16;
  h = Math.imul(h, 0x7feb352d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

// 32 bits for a row, and with them 32 bits for a column of that row.
const rowBits = (key, row) => mixBits(row ^ key[0]) ^ key[1];
const columnBits = (bits, column) => mixBits(bits + Math.imul(column, 0x9e3779b1));
