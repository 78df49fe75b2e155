// What the server's samples say: rates, percentiles, shares and drift, from counters as they stood.

const ADDED = (a, b) => a + b;

/** Buckets of `later` less those of `earlier`, which a server that was just started has none of. */
export function between(earlier = [], later = []) {
  return later.map((count, place) => Math.max(0, count - (earlier[place] ?? 0)));
}

export const total = (counts) => Object.values(counts).reduce(ADDED, 0);

/**
 * The value below which a share of what was observed lies, evenly spread within its bucket.
 * @param {number[]} counts of each bucket, the last without an end
 * @param {number[]} edges upper ends of the others
 * @returns {?number} null where nothing was observed; the last edge where it lies beyond
 */
export function percentile(counts, edges, share) {
  const wanted = share * total(counts);
  if (!wanted) return null;
  let below = 0;
  for (let place = 0; place < edges.length; place += 1) {
    if (below + counts[place] >= wanted) {
      const start = place ? edges[place - 1] : 0;
      return start + ((wanted - below) / counts[place]) * (edges[place] - start);
    }
    below += counts[place];
  }
  return edges.at(-1);
}

/** The last sample at least `seconds` before that at `place`; the first one where there is none. */
export function before(samples, place, seconds) {
  let found = place;
  while (found > 0 && samples[place].at - samples[found].at < seconds) found -= 1;
  return samples[found];
}

/**
 * Population stability index of two histograms: below 0.1 they are alike, above 0.25 they differ.
 * An empty bucket counts half an image, so that none is infinitely far.
 */
export function drift(counts, others) {
  const shares = (each) => each.map((count) => (count + 0.5) / (total(each) + 0.5 * each.length));
  const [now, then] = [shares(counts), shares(others)];
  return now.map((share, place) => (share - then[place]) * Math.log(share / then[place])).reduce(ADDED, 0);
}
