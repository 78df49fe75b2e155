// Elements are made here and nowhere else: text goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} name such as "p", or "svg:path"
 * @param {Object<string, string|number|boolean>} [attributes] `false` leaves one out
 * @param {...(Node|string|number)} children
 * @returns {Element}
 */
export function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS(SVG, name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** Names of the API as words: `between_thresholds` -> `between thresholds`. */
export const words = (name) => String(name).replaceAll("_", " ");
