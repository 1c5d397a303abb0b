// Numbers in texts, as nnx/tracing/formulas.py writes them.

const DIGITS = 4;
const MOST = 6; // terms of a sum that are written out

// A number with a few significant digits, as Python's format "g".
function number(value, digits = DIGITS) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "−inf";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  const power = Number(exponent);
  const scientific = `${short}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const text = power < -4 || power >= digits ? scientific : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

// A number as a factor of a product: a negative one in parentheses.
function factor(value, digits = DIGITS) {
  const text = number(value, digits);
  return text.startsWith("−") ? `(${text})` : text;
}

// A sum of products and more terms; of a long sum the largest terms, and the rest as one number.
function productSum(pairs, ...more) {
  const places = pairs.map((_, place) => place);
  const size = (place) => Math.abs(pairs[place][0] * pairs[place][1]);
  const chosen = places.toSorted((a, b) => size(b) - size(a)).slice(0, MOST).toSorted((a, b) => a - b);
  const parts = chosen.map((place) => `${factor(pairs[place][0])} · ${factor(pairs[place][1])}`);
  if (chosen.length < pairs.length) {
    const others = places.filter((place) => !chosen.includes(place));
    const rest = others.reduce((sum, place) => sum + pairs[place][0] * pairs[place][1], 0);
    parts.push(`[${others.length} more: ${number(rest)}]`);
  }
  return [...parts, ...more.map((value) => factor(value))].join(" + ");
}

// A formula's numbers and its value, without repeating the value.
function equals(numbers, value, digits = DIGITS) {
  const text = number(value, digits);
  return numbers === text || numbers === number(value) ? text : `${numbers} = ${text}`;
}
