// Lines over time, with a legend and a table of the same values. Series differ in dashes as well as in colour.

import { element } from "./element.js";
import { roundUp } from "./scale.js";
import { table } from "./table.js";

const [WIDTH, HEIGHT] = [360, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 6, 8, 20];

/**
 * @param {Object} data
 * @param {number[]} data.times in seconds, of the points
 * @param {Object<string, Array<?number>>} data.series by name; null leaves a gap
 * @param {function(?number): string} format of a value
 * @param {number} span seconds that are shown
 * @param {number} [most] the top of the axis, where it is known
 */
export function lineChart({ times, series }, format, span, most) {
  const names = Object.keys(series);
  const top = most ?? roundUp(Math.max(0, ...names.flatMap((name) => series[name])));
  const end = times.at(-1) ?? 0;
  const x = (time) => LEFT + (WIDTH - LEFT - RIGHT) * (1 - (end - time) / span);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const drawing = element("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  for (const value of [0, top / 2, top]) {
    drawing.append(
      element("svg:line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      element("svg:text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
    );
  }
  drawing.append(
    element("svg:text", { x: LEFT, y: HEIGHT - 4 }, `${span / 60} min ago`),
    element("svg:text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, "now"),
    ...names.map((name, rank) =>
      element("svg:path", { class: `series s${rank % 4}`, d: path(times, series[name], x, y) })),
  );
  const head = ["Time", ...names];
  const rows = times.map((time, place) => [clock(time), ...names.map((name) => format(series[name][place]))]);
  return [drawing, ...(names.length > 1 ? [legend(names)] : []), table(head, rows.reverse())];
}

function path(times, values, x, y) {
  let pen = "M";
  return times
    .map((time, place) => {
      const value = values[place];
      if (value === null || value === undefined) {
        pen = "M";
        return "";
      }
      const step = `${pen}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

function legend(names) {
  const entry = (name, rank) =>
    element("li", {},
      element("svg:svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
        element("svg:path", { class: `series s${rank % 4}`, d: "M1 5L25 5" })),
      name);
  return element("ul", { class: "legend" }, ...names.map(entry));
}

const clock = (time) => new Date(1000 * time).toLocaleTimeString("en-GB");
