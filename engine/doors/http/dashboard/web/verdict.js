// The outcome of one image as people read it.

import { element, words } from "./element.js";

const SURE = {
  authentic: "Looks like a camera photograph",
  synthetic: "Looks like an image made by AI",
  uncertain: "Uncertain",
};

/**
 * @param {Object} outcome as /v1/score answers
 * @param {string} name of the file
 * @param {string|null} picture an address of the image, where the browser can show it
 */
export function verdictCard(outcome, name, picture) {
  const card = element("div", { class: "judged" });
  card.append(preview(picture), outcome.rejected ? rejection(outcome, name) : verdict(outcome, name));
  return card;
}

function preview(address) {
  if (!address) return element("p", { class: "faint" }, "This browser does not show this format.");
  const image = element("img", { src: address, alt: "The image that was scored" });
  image.addEventListener("error", () => image.replaceWith(preview(null)), { once: true });
  return image;
}

function rejection(outcome, name) {
  return element(
    "div",
    {},
    element("p", { class: "label rejected" }, `No verdict: ${words(outcome.rejected)}`),
    element("p", {}, outcome.detail),
    list([["File", name]]),
  );
}

function verdict(outcome, name) {
  const { probability } = outcome;
  const shown = probability.toFixed(3);
  const seconds = Object.values(outcome.seconds).reduce((sum, each) => sum + each, 0);
  return element(
    "div",
    {},
    element("p", { class: `label ${outcome.label in SURE ? outcome.label : ""}` }, SURE[outcome.label] ?? outcome.label),
    element("label", {}, `Probability of synthetic ${shown} `, element("br"),
      element("meter", { class: outcome.label, min: 0, max: 1, value: probability }, shown)),
    list([
      ["File", name],
      ...outcome.doubts.map((doubt) => ["In doubt because", words(doubt)]),
      ...Object.entries(outcome.scores).map(([kind, score]) => [`Logit (${kind})`, score.toFixed(3)]),
      ["Bundle", `${outcome.bundle} ${outcome.version}`],
      ["Time", `${(1000 * seconds).toFixed(0)} ms`],
      ...origin(outcome.evidence.provenance),
    ]),
    element("details", {}, element("summary", {}, "All of the outcome, as JSON"),
      element("pre", { tabindex: 0 }, JSON.stringify(withoutPictures(outcome), null, 2))),
  );
}

function origin(provenance) {
  return (provenance?.claims ?? []).map(({ in: where, field, text }) => ["The file says", `${text} (${where}, ${field})`]);
}

function withoutPictures(outcome) {
  const { pictures, ...evidence } = outcome.evidence;
  return { ...outcome, evidence };
}

function list(pairs) {
  return element("dl", {}, ...pairs.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
}
