// Requests to the server that this page came from. The token, where one is needed, is in this module's memory alone.

let token = "";

/** The server wants a token, or another one. */
export class Denied extends Error {}

export function useToken(text) {
  token = text.trim();
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, {
    ...options,
    headers,
    cache: "no-store",
    credentials: "same-origin",
    redirect: "error",
  });
  if (response.status === 401) throw new Denied(token ? "This token is not known here." : "");
  return response;
}

/** The samples with a number above `after`. */
export async function telemetry(after) {
  const response = await ask(`../v1/telemetry?after=${after}`);
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

/** The latest verdicts of the server, the newest first. */
export async function latest() {
  const response = await ask("../v1/recent");
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

/** The image of one of them; null where it is gone by now. */
export async function latestImage(number) {
  const response = await ask(`../v1/recent/${number}`);
  return response.ok ? response.blob() : null;
}

/**
 * The outcome of an image: a verdict or a rejection.
 * While the evidence of another image is being drawn, it waits for its turn.
 */
export async function score(file, bundle, explain) {
  const query = new URLSearchParams({ id: file.name || "pasted image", bundle, explain });
  for (let tries = 0; ; tries += 1) {
    const response = await ask(`../v1/score?${query}`, { method: "POST", body: file });
    const busy = response.status === 503 || response.status === 429;
    if (!busy || tries === 5) {
      const record = await response.json().catch(() => null);
      if (record?.label || record?.rejected) return record;
      throw new Error(record?.error ?? `The server answered ${response.status}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function reason(response) {
  const record = await response.json().catch(() => null);
  return record?.error ?? `The server answered ${response.status}.`;
}
