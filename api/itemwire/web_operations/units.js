// Amounts in words: few digits, and a unit.

const PREFIXES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Return a number with its unit; nothing known is a dash. */
export function amount(value, unit = "") {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  if (unit === "bytes") return bytes(value);
  const digits = value !== 0 && Math.abs(value) < 10 ? 1 : 0;
  const number = value.toLocaleString("en", { maximumFractionDigits: digits });
  return unit === "ms" ? `${number} ms` : number + unit;
}

function bytes(value) {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), PREFIXES.length - 1);
  const scaled = value / 1024 ** power;
  return `${scaled.toLocaleString("en", { maximumFractionDigits: scaled < 10 && power ? 1 : 0 })} ${PREFIXES[power]}`;
}

/** Return how many there are of something. */
export function counted(number, thing) {
  return `${amount(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** Return a number of seconds as people say it. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? units.at(-1);
  return `${Math.floor(seconds / size)} ${unit}`;
}
