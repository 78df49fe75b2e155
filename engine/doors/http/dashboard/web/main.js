// The page: what is asked of the server, and what is shown of its answers.

import { showPanels } from "./charts.js";
import { element } from "./element.js";
import { watchIntake } from "./intake.js";
import { panels } from "./panels.js";
import { pictureList } from "./pictures.js";
import { showRecent } from "./recent.js";
import { number } from "./scale.js";
import { Denied, score, telemetry, useToken } from "./server.js";
import { verdictCard } from "./verdict.js";

const KEPT = 450;
const place = (id) => document.getElementById(id);
const samples = [];
let edges = null;
let step = 2;
let paused = false;
let asked = 0;
let preview = null;

function signIn(denied) {
  place("sign-in").hidden = false;
  place("denied").textContent = denied.message;
  place("health").textContent = "A token is needed.";
  if (!document.activeElement || document.activeElement === document.body) place("token").focus();
}

async function judge(file) {
  asked += 1;
  const mine = asked;
  const out = place("verdict");
  const name = file.name || "pasted image";
  out.setAttribute("aria-busy", "true");
  out.replaceChildren(element("p", { class: "faint" }, `Scoring ${name}…`));
  place("evidence").replaceChildren();
  try {
    const outcome = await score(file, place("bundle").value, place("explain").checked);
    if (mine !== asked) return;
    if (preview) URL.revokeObjectURL(preview);
    preview = URL.createObjectURL(file);
    out.replaceChildren(verdictCard(outcome, name, preview));
    if (outcome.evidence?.pictures) place("evidence").replaceChildren(pictureList(outcome.evidence.pictures));
  } catch (error) {
    if (mine !== asked) return;
    if (error instanceof Denied) signIn(error);
    const why = error instanceof TypeError ? "The server cannot be reached." : error.message;
    out.replaceChildren(element("p", { class: "notice" }, `${name} was not scored. ${why}`));
  } finally {
    if (mine === asked) out.setAttribute("aria-busy", "false");
  }
}

async function refresh() {
  const found = await telemetry(samples.at(-1)?.number ?? 0);
  ({ edges, step } = found);
  offer(found.bundles);
  if (found.samples.length && found.samples[0].number <= (samples.at(-1)?.number ?? 0)) samples.length = 0;
  samples.push(...found.samples);
  samples.splice(0, samples.length - KEPT);
  place("sign-in").hidden = true;
  show();
  if (found.recent) await showRecent(place("recent"));
}

/** The bundles to choose from, the first one by default. */
function offer(bundles) {
  const choice = place("bundle");
  if (bundles.join() === [...choice.options].map((option) => option.value).join()) return;
  const chosen = choice.value;
  choice.replaceChildren(...bundles.map((name) => element("option", { value: name, selected: name === chosen }, name)));
}

function show() {
  const last = samples.at(-1);
  if (!last) return;
  place("health").textContent = last.workers === 1 ? "1 worker" : `${number(last.workers)} workers`;
  showPanels(place("charts"), panels(samples, edges, Number(place("span").value)));
}

async function watch() {
  if (!paused && !document.hidden) {
    try {
      await refresh();
    } catch (error) {
      if (error instanceof Denied) signIn(error);
      else place("health").textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
      if (error instanceof Denied) return; // the form begins anew
    }
  }
  setTimeout(watch, 1000 * step);
}

watchIntake(place("drop"), place("file"), judge);
place("span").addEventListener("change", show);
place("pause").addEventListener("click", () => {
  paused = !paused;
  place("pause").setAttribute("aria-pressed", String(paused));
  place("pause").textContent = paused ? "Go on" : "Pause";
});
place("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(place("token").value);
  place("token").value = "";
  watch();
});
watch();
