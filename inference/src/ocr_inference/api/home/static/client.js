// The server's API. Addresses are relative: the page may be served below a path.

const KEY = "ocr-key";
const SILENCE_MS = 60_000;

/** A refusal in the server's own words. `retryAfter` is in seconds, null when it names none. */
export class Problem extends Error {
  constructor(status, code, message, { retryAfter = null, details = {}, requestId = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter, details, requestId });
  }
}

/** No answer at all: the network or the server is gone. */
export class Unreachable extends Error {}

let key = remembered();

export const hasKey = () => key !== "";

/** Kept for this tab only and sent as a header only; never part of an address. */
export function useKey(given) {
  key = given;
  try {
    if (given) sessionStorage.setItem(KEY, given);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage may be forbidden; then the key lives as long as the page.
  }
}

/** GET, DELETE, …; raises `Problem` or `Unreachable`. */
export async function ask(path, { method = "GET", headers = {}, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method, signal, headers: { ...headers, ...authorization() }, cache: "no-store",
    });
  } catch (error) {
    throw signal?.aborted ? error : new Unreachable(path);
  }
  if (!response.ok) throw problemOf(response.status, await response.text().catch(() => ""), (name) =>
    response.headers.get(name));
  return response;
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/** `POST /v1/jobs` with a file; `onProgress` gets 0..1. fetch cannot tell how much was sent. */
export function submit(file, fields, { idempotencyKey, onProgress, signal }) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file, file.name || "document");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("POST", "v1/jobs");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", idempotencyKey);
    for (const [name, value] of Object.entries(authorization())) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => event.total && onProgress(event.loaded / event.total);
    request.onload = () => {
      const { status, responseText: text } = request;
      if (status < 200 || status > 299) {
        reject(problemOf(status, text, (name) => request.getResponseHeader(name)));
      } else {
        resolve(JSON.parse(text));
      }
    };
    request.onerror = () => reject(new Unreachable("v1/jobs"));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    else request.send(form);
  });
}

/** Server-sent events. EventSource cannot send a key, so the stream is read here. */
export async function events(path, { lastId, signal }) {
  const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
  const response = await ask(path, { headers, signal });
  return eventsOf(response.body.pipeThrough(new TextDecoderStream()).getReader(), signal);
}

async function* eventsOf(reader, signal) {
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await heard(reader, signal);
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const event = parsed(part);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function randomId() {
  // randomUUID exists over TLS only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A connection that died without a word would be waited on for ever. */
async function heard(reader, signal) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Unreachable("silence")), SILENCE_MS);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    throw signal.aborted || error instanceof Unreachable ? error : new Unreachable("stream");
  } finally {
    clearTimeout(timer);
  }
}

function parsed(part) {
  const event = { name: "message", id: null, data: "" };
  for (const line of part.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
    else if (field === "data") event.data += value;
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}

function problemOf(status, text, header) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's answer; its page is not for our reader.
  }
  const error = body?.error ?? {};
  const seconds = Number.parseInt(header("Retry-After") ?? "", 10);
  return new Problem(status, error.code ?? `http_${status}`, error.message ?? "", {
    retryAfter: Number.isFinite(seconds) ? seconds : null,
    details: error.details ?? {},
    requestId: body?.request_id ?? header("X-Request-Id"),
  });
}

function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
