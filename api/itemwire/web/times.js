// Points in time, given in Unix seconds, as words.

const UNITS = [["year", 31557600], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const LAST_DATE = 8.64e12; // seconds: a Date holds no more
const RELATIVE = new Intl.RelativeTimeFormat("en");
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const PRECISE = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Return how far away a time is, such as “in 5 minutes”. */
export function relativeTime(at) {
  const away = at - Date.now() / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(away) >= size) ?? UNITS.at(-1);
  return RELATIVE.format(Math.round(away / size), unit);
}

/** Return how far away a time is, and its local date and time of day. */
export function fullTime(at) {
  if (Math.abs(at) > LAST_DATE) return "beyond any calendar";
  return `${relativeTime(at)}, ${LOCAL.format(at * 1000)}`;
}

/** Return the local time of day. */
export function clockTime(at) {
  return Math.abs(at) <= LAST_DATE ? CLOCK.format(at * 1000) : "";
}

/** Return the local time of day to the millisecond, of a time in milliseconds. */
export function preciseTime(milliseconds) {
  return PRECISE.format(milliseconds);
}
