// Two histograms over the same buckets: filled bars, and an outline of what they are compared with.

import { element } from "./element.js";
import { number, percent, roundUp } from "./scale.js";
import { table } from "./table.js";

const [WIDTH, HEIGHT] = [360, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 6, 8, 20];

/**
 * @param {number[]} edges upper ends of the buckets, the first of which begins at 0
 * @param {Object<string, number[]>} series shares of each bucket: first what is filled, then what is outlined
 */
export function barChart(edges, series) {
  const names = Object.keys(series);
  const top = Math.min(1, roundUp(Math.max(0.01, ...Object.values(series).flat())));
  const slot = (WIDTH - LEFT - RIGHT) / edges.length;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const drawing = element("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  for (const value of [0, top / 2, top]) {
    drawing.append(
      element("svg:line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      element("svg:text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, percent(value)),
    );
  }
  names.forEach((name, rank) => {
    series[name].slice(0, edges.length).forEach((share, place) => {
      const box = { x: LEFT + place * slot + 2, y: y(share), width: slot - 4, height: Math.max(0, y(0) - y(share)) };
      if (share) drawing.append(element("svg:rect", { class: `bar${rank}`, ...box }));
    });
  });
  edges.forEach((edge, place) => {
    if (place % 3 === 2 || place === edges.length - 1) {
      const x = LEFT + (place + 1) * slot;
      drawing.append(element("svg:text", { x, y: HEIGHT - 4, "text-anchor": "end" }, number(edge)));
    }
  });
  const rows = edges.map((edge, place) => [
    `${number(place ? edges[place - 1] : 0)} to ${number(edge)}`,
    ...names.map((name) => percent(series[name][place] ?? null)),
  ]);
  return [drawing, key(names), table(["Probability", ...names], rows)];
}

function key(names) {
  const entry = (name, rank) =>
    element("li", {},
      element("svg:svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
        element("svg:rect", { class: `bar${rank}`, x: 2, y: 1, width: 22, height: 8 })),
      name);
  return element("ul", { class: "legend" }, ...names.map(entry));
}
