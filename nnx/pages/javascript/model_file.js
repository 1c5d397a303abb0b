// A file that `nnx.load` reads: safetensors with a description of the network, as nnx/model_files.py writes.

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

// CRC-32 of bytes, after those of `before`.
function crc32(bytes, before = 0) {
  let crc = ~before;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const encoded = (text) => new TextEncoder().encode(text);

// The numbers as bytes, the lowest byte of each first.
function numberBytes(values) {
  const view = new DataView(new ArrayBuffer(8 * values.length));
  values.forEach((value, i) => view.setFloat64(8 * i, value, true));
  return new Uint8Array(view.buffer);
}

// The network as `Network.config` describes it.
function networkConfig(net) {
  const layers = net.layers.map(({ kind, inputs, settings: { trainable = true, ...settings } }) => ({
    kind, config: kind === "Dense" ? { inputs, ...settings } : settings, trainable,
  }));
  return { layers, inputs: net.inputs, dtype: "float64", seed: net.seed, fuse: net.fuse, code: null };
}

// The bytes of the file. `metadata` is what `nnx.checkpoints.read_metadata` returns.
function modelFile(net, metadata = {}) {
  const network = JSON.stringify(networkConfig(net)).replace(/"seed":"(\d+)"/g, '"seed":$1');
  const descriptions = { network, metadata: JSON.stringify(metadata) };
  let crc = crc32(encoded(descriptions.network + descriptions.metadata)), position = 0;
  const arrays = {}, pieces = [];
  const weights = net.weights();
  for (const name of Object.keys(weights).sort()) {
    const { shape, values } = weights[name];
    const bytes = numberBytes(values);
    const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    crc = crc32(bytes, crc32(encoded(`${name} ${tuple} float64`), crc));
    arrays[name] = { dtype: "F64", shape, data_offsets: [position, (position += bytes.length)] };
    pieces.push(bytes);
  }
  const checksum = crc.toString(16).padStart(8, "0");
  const metadataOfFile = { format: "nnx-network", format_version: "1", ...descriptions, crc32: checksum };
  const header = encoded(JSON.stringify({ __metadata__: metadataOfFile, ...arrays }));
  const start = 8 + Math.ceil(header.length / 8) * 8; // the arrays are aligned
  const file = new Uint8Array(start + position).fill(32, 0, start);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - 8), true);
  file.set(header, 8);
  pieces.reduce((at, piece) => (file.set(piece, at), at + piece.length), start);
  return file;
}
