// The latest verdicts with their images, where the operator has them shown.

import { element, words } from "./element.js";
import { latest, latestImage } from "./server.js";
import { openTable } from "./table.js";

const pictures = new Map(); // what stands in the row of a verdict: an image, or words

// Numbers begin anew with the server.
const key = ({ number, at }) => `${number} ${at}`;

export async function showRecent(section) {
  const { verdicts } = await latest();
  const kept = new Set(verdicts.map(key));
  for (const [name, shown] of pictures) {
    if (kept.has(name)) continue;
    if (shown instanceof Element) URL.revokeObjectURL(shown.src);
    pictures.delete(name);
  }
  await Promise.all(verdicts.filter((each) => !pictures.has(key(each))).map(load));
  const rows = verdicts.map((each) => [
    pictures.get(key(each)) ?? "none",
    new Date(1000 * each.at).toLocaleTimeString(),
    each.id,
    [each.label, ...each.doubts.map(words)].join(", "),
    each.probability.toFixed(3),
    each.bundle,
  ]);
  section.querySelector(".rows").replaceChildren(openTable(["Image", "At", "Id", "Verdict", "Synthetic", "Bundle"], rows));
  section.hidden = false;
}

async function load(each) {
  const blob = each.pictured ? await latestImage(each.number) : null;
  if (!blob) return;
  const image = element("img", { src: URL.createObjectURL(blob), alt: "The image that was scored" });
  image.addEventListener("error", () => {
    image.replaceWith("not shown by this browser");
    pictures.set(key(each), "not shown by this browser");
  }, { once: true });
  pictures.set(key(each), image);
}
