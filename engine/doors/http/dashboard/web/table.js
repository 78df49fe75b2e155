// The values behind a chart, for whoever would rather read them.

import { element } from "./element.js";

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
export function table(head, rows) {
  return element("details", { class: "numbers" },
    element("summary", {}, "As a table"),
    element("div", { class: "rows", tabindex: 0, role: "region", "aria-label": "Values of the chart" },
      openTable(head, rows)));
}

/** The same, always shown. */
export function openTable(head, rows) {
  const row = ([first, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells.map((cell) => element("td", {}, cell)));
  return element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows.map(row)));
}
