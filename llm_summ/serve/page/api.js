// Requests to the service. Addresses are relative, so that the service may be below a path.

import { askKey, keptKey } from "./key.js";

/**
 * A request that failed: `status` is 0 if the service was not reached, `code` is the service's word for the error,
 * `retryAfter` the seconds after which a new try makes sense, or null.
 */
export class ApiError extends Error {
  constructor(status, message, { code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

async function errorOf(response) {
  const wait = parseInt(response.headers.get("Retry-After") ?? "", 10);
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not from the service itself, but from a proxy.
  }
  const message = error.message ?? response.statusText;
  return new ApiError(response.status, message, { code: error.code, retryAfter: Number.isNaN(wait) ? null : wait });
}

/** Send a request; if the service wants a key, ask for it and send the request again. */
async function send(path, options = {}) {
  for (let refused = false; ; refused = true) {
    const key = keptKey();
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "");
    }
    if (response.ok) return response;
    const error = await errorOf(response);
    if (response.status !== 401 || !(await askKey(refused || Boolean(key)))) throw error;
  }
}

function asJson(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

/** Return what a path answers. */
export async function get(path) {
  return (await send(path)).json();
}

/** Send JSON, or a form with files, and return the answer. */
export async function post(path, body, signal) {
  return (await send(path, body instanceof FormData ? { method: "POST", body, signal } : asJson(body, signal))).json();
}

/** Send JSON, and yield the events of the answer as [name, data], as they come. */
export async function* events(path, body, signal) {
  const response = await send(path, asJson({ ...body, stream: true }, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (waiting + value).split(/\r?\n\r?\n/);
      waiting = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    throw error.name === "AbortError" || error instanceof ApiError ? error : new ApiError(0, "");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Return an event of a stream as [name, data]; null for a comment, which only keeps the connection open. */
function parse(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}
