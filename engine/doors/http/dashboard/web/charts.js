// The cards of the charts: made once, their content replaced, so that focus and open tables stay.

import { element } from "./element.js";

const cards = new Map();

/**
 * @param {HTMLElement} place
 * @param {Array<{title: string, now: string, body: Node[]}>} found
 */
export function showPanels(place, found) {
  for (const { title, now, body } of found) {
    const card = cards.get(title) ?? newCard(place, title);
    card.now.textContent = now;
    const before = card.body.querySelector("details");
    const after = body.find((node) => node.localName === "details");
    if (before && after) {
      after.open = before.open;
      refill(before, after);
      body[body.indexOf(after)] = before;
    }
    card.body.replaceChildren(...body);
  }
}

/** The rows alone change, and not under somebody who is scrolling in them. */
function refill(before, after) {
  const old = before.querySelector("table");
  if (before.contains(document.activeElement) && before.open && document.activeElement.localName !== "summary") return;
  old.replaceWith(after.querySelector("table"));
}

function newCard(place, title) {
  const id = `chart-${cards.size}`;
  const now = element("p", { class: "now" });
  const body = element("div", {});
  place.append(element("article", { class: "chart", "aria-labelledby": id }, element("h3", { id }, title), now, body));
  cards.set(title, { now, body });
  return cards.get(title);
}
