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

// The words of 32 bits of a whole number, the lowest first.
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

// The limits of a Dense layer's initial W; the order of the operations is that of nnx, so the bits are equal.
const INITIALIZERS = {
  glorot_uniform: (inputs, units) => Math.sqrt(3) * Math.sqrt(1 / (0.5 * (inputs + units))),
  he_uniform: (inputs) => Math.sqrt(3) * Math.sqrt(2 / inputs),
  lecun_uniform: (inputs) => Math.sqrt(3) * Math.sqrt(1 / inputs),
  uniform: () => 0.05,
  zeros: () => 0,
};

// Draw W, of shape (inputs, units), into `target`.
function drawWeights(generator, initializer, inputs, units, target) {
  const limit = INITIALIZERS[initializer](inputs, units);
  if (limit === 0) return; // NumPy draws nothing for zeros
  for (let i = 0; i < inputs * units; i++) target[i] = generator.uniform(-limit, limit);
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
