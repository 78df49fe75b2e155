// Round numbers for axes, and numbers for people.

/** The least of 1, 2, 5, 10, ... that is not below `value`. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(value >= 1 ? 3 : 2)).toString();
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${number(1000 * value)} ms` : `${number(value)} s`;
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(0)} %`);
