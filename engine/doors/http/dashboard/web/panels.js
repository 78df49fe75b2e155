// The charts of the server: what each shows, of the samples that a page has.

import { barChart } from "./barchart.js";
import { words } from "./element.js";
import { lineChart } from "./linechart.js";
import { before, between, drift, percentile, total } from "./samples.js";
import { number, percent, seconds } from "./scale.js";
import { openTable } from "./table.js";

/** Seconds over which a point of a line is averaged. */
const WINDOW = 20;
/** Verdicts below which a histogram says nothing of drift. */
const ENOUGH = 100;
const LABELS = ["authentic", "synthetic", "uncertain"];

/**
 * @param {Object[]} samples all that are kept, oldest first
 * @param {Object} edges upper ends of the buckets of histograms
 * @param {number} span seconds that are shown
 * @returns {Array<{title: string, now: string, body: Node[]}>}
 */
export function panels(samples, edges, span) {
  const last = samples.at(-1);
  const shown = samples.map((_, place) => place).filter((place) => last.at - samples[place].at <= span);
  const times = shown.map((place) => samples[place].at);
  const points = (value) => shown.map((place) => value(samples[place], before(samples, place, WINDOW)));
  const lines = (series, ...how) => lineChart({ times, series }, ...how);
  const found = [rate(points, lines, span), ...latencies(points, lines, span, edges, last), shares(points, lines, span)];
  found.push(scores(samples, edges), doubts(samples, span), queue(points, lines, span, last));
  if (Object.keys(last.lag).length) found.push(lag(points, lines, span, last));
  return found;
}

function rate(points, lines, span) {
  const values = points((now, then) => (now.at > then.at ? Math.max(0, total(now.outcomes) - total(then.outcomes)) / (now.at - then.at) : null));
  return { title: "Images a second", now: number(values.at(-1)), body: lines({ "Images/s": values }, number, span) };
}

function latencies(points, lines, span, edges, last) {
  return Object.keys(last.latency).sort().reverse().map((priority) => {
    const at = (share) => points((now, then) =>
      percentile(between(then.latency[priority], now.latency[priority]), edges.latency, share));
    const series = { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
    const now = Object.entries(series).map(([name, values]) => `${name} ${seconds(values.at(-1))}`).join(", ");
    return { title: priority === "interactive" ? "Seconds an image: calls" : "Seconds an image: backlog", now, body: lines(series, seconds, span) };
  });
}

function shares(points, lines, span) {
  const share = (pick) => points((now, then) => {
    const all = total(now.outcomes) - total(then.outcomes);
    return all > 0 ? (pick(now.outcomes) - pick(then.outcomes)) / all : null;
  });
  const series = Object.fromEntries(LABELS.map((label) => [label, share((each) => each[label] ?? 0)]));
  series.rejected = share((each) => total(each) - LABELS.reduce((sum, label) => sum + (each[label] ?? 0), 0));
  const now = Object.entries(series).map(([name, values]) => `${name} ${percent(values.at(-1))}`).join(", ");
  return { title: "Shares of outcomes", now, body: lines(series, percent, span, 1) };
}

/** The probabilities of the last 5 minutes beside all before them, since the server was started. */
function scores(samples, edges) {
  const last = samples.at(-1);
  const split = before(samples, samples.length - 1, Math.min(300, (last.at - samples[0].at) / 2));
  const [then, now] = [split.probability, between(split.probability, last.probability)];
  const enough = total(then) >= ENOUGH && total(now) >= ENOUGH;
  const index = enough ? drift(now, then) : null;
  const judged = index === null
    ? `Drift needs ${ENOUGH} verdicts on both sides: ${number(total(now))} now, ${number(total(then))} before.`
    : `Drift (PSI) ${index.toFixed(2)}: ${index < 0.1 ? "alike" : index < 0.25 ? "moved" : "changed"}.`;
  const share = (counts) => counts.map((count) => count / Math.max(1, total(counts)));
  return {
    title: "Probabilities of verdicts",
    now: judged,
    body: barChart(edges.probability, { [`last ${lasting(last.at - split.at)}`]: share(now), "since the start, before": share(then) }),
  };
}

const lasting = (time) => (time < 90 ? `${Math.round(time)} s` : `${number(time / 60)} min`);

function doubts(samples, span) {
  const last = samples.at(-1);
  const first = before(samples, samples.length - 1, span);
  const since = (doubt) => last.doubts[doubt] - (first.doubts[doubt] ?? 0);
  const counts = Object.keys(last.doubts).map((doubt) => [doubt, since(doubt), last.doubts[doubt]]);
  counts.sort((one, other) => other[2] - one[2]);
  const rows = counts.map(([doubt, recent, all]) => [words(doubt), number(recent), number(all)]);
  const title = "Uncertain, by reason";
  if (!rows.length) return { title, now: "No uncertain verdict yet.", body: [] };
  const now = "A verdict with several reasons counts for each.";
  return { title, now, body: [openTable(["Reason", "shown span", "since the start"], rows)] };
}

function queue(points, lines, span, last) {
  const values = points((now) => now.queue);
  const used = percent(last.memory[0] / last.memory[1]);
  const now = `${number(last.queue)} wait, ${seconds(last.wait)} for a call; memory budget ${used} in use`;
  return { title: "Queue", now, body: lines({ "Images that wait": values }, number, span) };
}

function lag(points, lines, span, last) {
  const topics = Object.keys(last.lag).sort().slice(0, 4);
  const series = Object.fromEntries(topics.map((topic) => [topic, points((now) => now.lag[topic] ?? null)]));
  const now = topics.map((topic) => `${topic} ${number(last.lag[topic])}`).join(", ");
  return { title: "Kafka lag, records", now, body: lines(series, number, span) };
}
