// Makes elements; whatever comes from the server or a user is inserted as text and nothing else.

/** Return an element of this tag and class; the children are texts and elements. */
export function part(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** Keep foreign text from reordering ours: `<bdi>` isolates its writing direction. */
export function isolated(text, name = "") {
  return part("bdi", name, String(text));
}
