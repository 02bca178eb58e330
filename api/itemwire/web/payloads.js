// The payload of a message as text: text unchanged, other JSON as JSON, bytes as hexadecimal.

const MAX_SHOWN = 2000; // characters: 500 of the largest messages must not slow the page down
const MAX_SHOWN_BYTES = 64;

/** Return a message's payload as `{ kind, label, text }`. */
export function describePayload(data, encoding) {
  try {
    if (encoding === "base64") return describeBytes(data);
    if (typeof data === "string") return { kind: "text", label: "", text: shortened(data) };
    return { kind: "json", label: "JSON", text: shortened(JSON.stringify(data)) };
  } catch { // invalid base64, or nested more deeply than the browser's stack allows
    return { kind: "unreadable", label: "", text: "a payload that this page cannot show" };
  }
}

function describeBytes(data) {
  const binary = atob(data);
  const hex = [...binary.slice(0, MAX_SHOWN_BYTES)].map(hexadecimal).join(" ");
  const rest = binary.length > MAX_SHOWN_BYTES ? " …" : "";
  const unit = binary.length === 1 ? "byte" : "bytes";
  return { kind: "bytes", label: `${binary.length} ${unit}`, text: hex + rest };
}

function hexadecimal(byte) {
  return byte.charCodeAt(0).toString(16).padStart(2, "0");
}

/** Return the text, cut where it would slow the page down. */
export function shortened(text) {
  if (text.length <= MAX_SHOWN) return text;
  return `${text.slice(0, MAX_SHOWN)} … and ${text.length - MAX_SHOWN} more characters`;
}
