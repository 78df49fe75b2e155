// The latest verdicts with their images, where the operator has them shown.

import { element, words } from "./element.js";
import { latest, latestImage } from "./server.js";
import { openTable } from "./table.js";

const pictures = new Map(); // by the number of a verdict: what stands in its row

export async function showRecent(section) {
  const { verdicts } = await latest();
  const numbers = new Set(verdicts.map(({ number }) => number));
  for (const [number, image] of pictures) {
    if (numbers.has(number)) continue;
    URL.revokeObjectURL(image.src);
    pictures.delete(number);
  }
  await Promise.all(verdicts.filter(({ number }) => !pictures.has(number)).map(load));
  const rows = verdicts.map((each) => [
    pictures.get(each.number) ?? "none",
    new Date(1000 * each.at).toLocaleTimeString(),
    each.id,
    [each.label, ...each.doubts.map(words)].join(", "),
    each.probability.toFixed(3),
    each.bundle,
  ]);
  section.querySelector(".rows").replaceChildren(openTable(["Image", "At", "Id", "Verdict", "Synthetic", "Bundle"], rows));
  section.hidden = false;
}

async function load({ number, pictured }) {
  const blob = pictured ? await latestImage(number) : null;
  if (!blob) return;
  const image = element("img", { src: URL.createObjectURL(blob), alt: "The image that was scored" });
  image.addEventListener("error", () => image.replaceWith("not shown by this browser"), { once: true });
  pictures.set(number, image);
}
