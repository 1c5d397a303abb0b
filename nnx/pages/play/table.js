// Read a table as text: delimiter, decimal comma, names of columns. A fault becomes one line with its place.

class Refused extends Error {}

const MOST_ROWS = 5000;
const MOST_COLUMNS = 64;
const MOST_BYTES = 20e6;
const GAPS = new Set(["", "na", "n/a", "nan", "null", "none", "?"]);

// The rows of a text, each with its line; quoted cells may hold the delimiter, quotes and line ends.
function cellsOf(text, delimiter) {
  const rows = [];
  let row = [], cell = "", quoted = false, line = 1, began = 1, wasQuoted = false;
  const endCell = () => { row.push(wasQuoted ? cell : cell.trim()); cell = ""; wasQuoted = false; };
  const endRow = () => {
    endCell();
    if (row.length > 1 || row[0] !== "") rows.push({ line: began, cells: row });
    row = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === "\n") line += 1;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; } else quoted = false;
    } else if (letter === '"' && cell.trim() === "") { quoted = true; wasQuoted = true; cell = ""; }
    else if (letter === delimiter) endCell();
    else if (letter === "\n") { endRow(); began = line; }
    else if (letter !== "\r") cell += letter;
  }
  if (quoted) throw new Refused(`line ${began}: a quoted cell does not end: add the closing quote`);
  endRow();
  return rows;
}

// The delimiter that cuts the first lines into the most columns, the same number in each.
function delimiterOf(text) {
  const lines = text.split("\n").slice(0, 20).filter((line) => line.trim() !== "");
  const counts = (mark) => lines.map((line) => line.replace(/"[^"]*"/g, "").split(mark).length);
  let best = ",", most = 1;
  for (const mark of ["\t", ";", ",", "|"]) {
    const found = counts(mark);
    const least = Math.min(...found);
    if (least > most && least === Math.max(...found)) [best, most] = [mark, least];
  }
  if (most > 1) return best;
  return [";", "\t", ","].find((mark) => lines.length > 0 && lines[0].includes(mark)) ?? ",";
}

function numberOf(cell, comma) {
  const text = comma ? cell.replace(",", ".") : cell;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

// What errors call a cell.
function cellAt(row, at, name) {
  return `line ${row.line}, column ${at + 1} (${name})`;
}

function columnOf(name, cells, rows, comma, at) {
  const numbers = cells.map((cell) => numberOf(cell, comma));
  const texts = numbers.flatMap((value, row) => (Number.isNaN(value) ? [row] : []));
  if (texts.length === 0) {
    const infinite = numbers.findIndex((value) => !Number.isFinite(value));
    if (infinite >= 0) throw new Refused(`${cellAt(rows[infinite], at, name)}: ${cells[infinite]} is too large`);
    return { name, numbers };
  }
  if (texts.length < cells.length / 2) {
    const row = texts[0];
    throw new Refused(`${cellAt(rows[row], at, name)}: “${cells[row].slice(0, 40)}” is not a number, ` +
      `but most cells of the column are: correct it, or delete the line`);
  }
  return { name, texts: cells };
}

// Refuse a first line with numbers that may hold names, such as years: its texts do not come again, but those
// below them do.
function checkNames([first, ...body], comma) {
  const below = (at) => body.map((row) => row.cells[at]);
  const texts = first.cells.map((_, at) => at).filter((at) => Number.isNaN(numberOf(first.cells[at], comma))
    && below(at).every((cell) => Number.isNaN(numberOf(cell, comma))));
  const unlike = (at) => {
    const others = new Set(below(at));
    return !others.has(first.cells[at]) && others.size <= body.length / 2;
  };
  if (texts.length === 0 || !texts.every(unlike)) return;
  const start = first.cells.slice(0, 4).map((cell) => cell.slice(0, 20)).join(", ");
  throw new Refused(`line ${first.line} (${start}) may hold names of columns or data: ` +
    "write names that are no numbers, or move the line down");
}

// Names of columns are all different and none is empty.
function namesOf(cells) {
  const taken = new Set();
  return cells.map((cell, at) => {
    let name = cell || `column ${at + 1}`;
    while (taken.has(name)) name += " (2)";
    taken.add(name);
    return name;
  });
}

// A table from text: {name, target, columns: [{name, numbers} or {name, texts}]}, as Python writes it, too.
function tableOf(text, name) {
  if (text.includes("\u0000")) throw new Refused("is not a text: save the table as CSV");
  const clean = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  const delimiter = delimiterOf(clean);
  const rows = cellsOf(clean, delimiter);
  if (rows.length === 0) throw new Refused("holds no rows");
  const width = rows[0].cells.length;
  const ragged = rows.find((row) => row.cells.length !== width);
  if (ragged) {
    const has = counted(ragged.cells.length, "column");
    throw new Refused(`line ${ragged.line}: has ${has}, but line ${rows[0].line} has ${width}`);
  }
  if (width < 2 || width > MOST_COLUMNS) {
    throw new Refused(`has ${counted(width, "column")}, but the playground takes 2 to ${MOST_COLUMNS}`);
  }
  const comma = delimiter !== ","
    && rows.slice(1, 50).some((row) => row.cells.some((cell) => /^[-+]?\d+,\d+$/.test(cell)));
  const named = rows[0].cells.every((cell) => Number.isNaN(numberOf(cell, comma)));
  const body = named ? rows.slice(1) : rows;
  if (body.length < 4) throw new Refused(`has ${counted(body.length, "row")}, but needs at least 4`);
  if (body.length > MOST_ROWS) {
    const [has, most] = [body.length, MOST_ROWS].map((count) => count.toLocaleString("en"));
    throw new Refused(`has ${has} rows, more than ${most}: nnx play FILE chooses some`);
  }
  if (!named) checkNames(rows, comma);
  const names = namesOf(named ? rows[0].cells : rows[0].cells.map(() => ""));
  for (const row of body) {
    const gap = row.cells.findIndex((cell) => GAPS.has(cell.toLowerCase()));
    if (gap >= 0) throw new Refused(`${cellAt(row, gap, names[gap])}: is empty: fill the cell, or delete the line`);
  }
  const columns = names.map((called, at) =>
    columnOf(called, body.map((row) => row.cells[at]), body, comma, at));
  return { name, target: width - 1, columns };
}
