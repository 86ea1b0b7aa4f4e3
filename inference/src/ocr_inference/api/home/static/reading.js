// One document on its way: sent, queued, read page by page, ended. It survives a lost connection,
// a busy server and a missing key by waiting for each to pass.

import { Problem, Unreachable, ask, events, randomId, submit } from "./client.js";
import { passes } from "./problems.js";

const DEFAULT_RETRY_S = 5;
const LONGEST_BACKOFF_S = 15;
const MOST_IMAGES = 24;

export const ENDED = new Set(["done", "partial", "failed", "cancelled"]);

/**
 * `phase`: turn, uploading, retry, key, offline, queued, reading, and those of `ENDED`.
 * Fires `change` for anything, and `page` with the number for each page that arrived.
 */
export class Reading extends EventTarget {
  constructor(file, { limits, waitForKey }) {
    super();
    this.file = file;
    this.name = file.name || "Pasted picture";
    this.limits = limits;
    this.waitForKey = waitForKey;
    this.reset();
  }

  reset() {
    this.phase = "turn";
    this.job = null;
    this.pages = new Map();
    this.total = null;
    this.sent = 0;
    this.problem = null;
    this.retryAt = null;
    this.lastId = null;
    this.began = null;
    this.seconds = null;
    this.warnings = [];
    this.stopping = new AbortController();
    this.skipWait = () => {};
    for (const url of this.images?.values() ?? []) url.then(URL.revokeObjectURL, () => {});
    this.images = new Map();
  }

  get ended() {
    return ENDED.has(this.phase);
  }

  get failedPages() {
    return [...this.pages.values()].filter((page) => page.status === "failed");
  }

  /** Until it has ended, however. Never raises. */
  async run(fields) {
    const { signal } = this.stopping;
    this.fields = fields;
    try {
      await this.#checkFile();
      this.job = await this.#patiently(() => this.#upload(fields, signal), signal);
      this.began = performance.now();
      this.#take(this.job);
      await this.#follow(signal);
    } catch (error) {
      if (signal.aborted) return;
      this.problem = error instanceof Problem ? error : new Problem(0, "page_failed", String(error));
      this.#enter("failed");
    }
  }

  /** Stops the work on the server too. */
  async cancel() {
    this.stopping.abort();
    this.skipWait();
    this.#enter("cancelled");
    if (this.job) await ask(`v1/jobs/${this.job.id}`, { method: "DELETE" }).catch(() => {});
  }

  /** The picture of a page as an address for `img`; raises as `ask` does. */
  image(number) {
    let url = this.images.get(number);
    if (!url) {
      url = ask(`v1/jobs/${this.job.id}/pages/${number}/image?side=1600`)
        .then((response) => response.blob())
        .then((blob) => URL.createObjectURL(blob));
      url.catch(() => this.images.delete(number));
    }
    this.images.delete(number);
    this.images.set(number, url); // the newest is last
    if (this.images.size > MOST_IMAGES) {
      const [oldest, old] = this.images.entries().next().value;
      this.images.delete(oldest);
      old.then(URL.revokeObjectURL, () => {});
    }
    return url;
  }

  async result(output) {
    return (await ask(`v1/jobs/${this.job.id}/result?output=${output}`)).blob();
  }

  async #checkFile() {
    const limit = this.limits().upload_bytes;
    if (limit && this.file.size > limit) {
      throw new Problem(413, "file_too_large", "", { details: { limit } });
    }
    await this.#checkReadable();
  }

  async #checkReadable() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
    } catch {
      throw new Problem(0, "file_unreadable", "");
    }
  }

  async #upload(fields, signal) {
    await this.#checkReadable();
    this.sent = 0;
    this.problem = null;
    this.#enter("uploading");
    return submit(this.file, fields, {
      signal,
      // The same for every attempt: an answer that was lost must not mean a second job.
      idempotencyKey: (this.idempotencyKey ??= randomId()),
      onProgress: (share) => {
        this.sent = share;
        this.#changed();
      },
    });
  }

  async #follow(signal) {
    let silent = false;
    while (!this.ended) {
      await this.#patiently(async () => {
        const path = `v1/jobs/${this.job.id}/events`;
        const stream = await events(path, { lastId: this.lastId, signal });
        this.#take(this.job); // no longer offline
        for await (const event of stream) {
          silent = false;
          this.lastId = event.id ?? this.lastId;
          this.#hear(event);
          if (this.ended) return;
        }
        // It ended without a last word: a proxy's limit, or a server that ends. Once that is
        // nothing; twice without an event it is a fault.
        if (silent) throw new Unreachable(path);
        silent = true;
      }, signal);
    }
  }

  #hear({ name, data }) {
    if (name === "page") {
      const page = data.page === undefined || typeof data.page === "object" ? data.page : data;
      this.pages.set(page.page, page);
      this.#changed();
      this.dispatchEvent(new CustomEvent("page", { detail: page.page }));
    } else if (name === "state" || name === "done") {
      this.#take(data);
    }
  }

  #take(job) {
    this.job = { ...this.job, ...job };
    this.problem = null;
    this.total = job.pages_total ?? this.total;
    const phase = {
      queued: "queued", running: "reading", cancelling: "reading", succeeded: "done",
      partial: "partial", failed: "failed", cancelled: "cancelled", expired: "failed",
    }[job.status];
    if (phase === "failed") {
      const { code = "job_expired", message = "", details } = job.error ?? {};
      this.problem = new Problem(0, code, message, { details });
    }
    if (phase === "done" || phase === "partial") this.#learnWarnings();
    if (ENDED.has(phase) && this.seconds === null) {
      this.seconds = elapsed(this.job) ?? (performance.now() - this.began) / 1000;
    }
    this.#enter(phase ?? this.phase);
  }

  /** They are in the JSON answer, which is large: a header of a small one tells if there are any. */
  async #learnWarnings() {
    const path = `v1/jobs/${this.job.id}/result`;
    try {
      const told = await ask(`${path}?output=text`);
      if (!told.headers.get("X-OCR-Warnings")) return;
      const { warnings } = await (await ask(`${path}?output=json`)).json();
      this.warnings = warnings;
      this.#changed();
    } catch {
      // The downloads say what is wrong, if anything is.
    }
  }

  /** Again and again while it is a matter of waiting. */
  async #patiently(attempt, signal) {
    for (let failures = 0; ; ) {
      try {
        return await attempt();
      } catch (error) {
        if (signal.aborted) throw error;
        if (error instanceof Unreachable) {
          await this.#wait("offline", Math.min(LONGEST_BACKOFF_S, 2 ** failures), null);
          failures += 1;
        } else if (error instanceof Problem && error.status === 401) {
          this.problem = error;
          this.#enter("key");
          await Promise.race([this.waitForKey(), aborted(signal)]);
        } else if (error instanceof Problem && passes(error)) {
          await this.#wait("retry", error.retryAfter ?? DEFAULT_RETRY_S, error);
        } else {
          throw error;
        }
        signal.throwIfAborted();
      }
    }
  }

  async #wait(phase, seconds, problem) {
    this.problem = problem;
    this.retryAt = performance.now() + seconds * 1000;
    this.#enter(phase);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.skipWait = () => {
        clearTimeout(timer);
        resolve();
      };
      if (phase === "offline") addEventListener("online", this.skipWait, { once: true });
    });
    this.retryAt = null;
    this.#changed();
  }

  #enter(phase) {
    if (this.phase === "cancelled") return;
    this.phase = phase;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function aborted(signal) {
  return new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

function elapsed({ created_at: from, finished_at: to }) {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  return Number.isFinite(seconds) ? seconds : null;
}
