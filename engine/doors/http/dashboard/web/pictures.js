// The evidence of a verdict, as the server drew it.

import { element } from "./element.js";

const shown = new Set();

/** @param {Array<Object>} pictures `evidence.pictures` of an outcome */
export function pictureList(pictures) {
  shown.forEach((address) => URL.revokeObjectURL(address));
  shown.clear();
  return element("div", { class: "pictures" }, ...pictures.map(figure));
}

function figure({ title, notes, width, height, webp }) {
  const caption = element("figcaption", {}, element("h3", {}, title), ...notes.map((note) => element("p", {}, note)));
  if (height < 2) return element("figure", {}, caption);
  const bytes = Uint8Array.from(atob(webp), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
  shown.add(address);
  return element("figure", {}, caption, element("img", { src: address, width, height, alt: [title, ...notes].join(". ") }));
}
