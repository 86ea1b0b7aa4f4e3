// How the server is: the words in the bar, and a notice while it is not as it should be.

import { Problem, Unreachable, askJson, hasKey, useKey } from "./client.js";
import { byId, el, say, show } from "./dom.js";

const UNSEEN_MS = 30_000;
const CALM_MS = 5_000;
const WATCHFUL_MS = 1_500;

const WORDS = {
  unknown: "Connecting…", ready: "Ready", loading: "Loading", degraded: "Not at its best",
  failed: "Failed", draining: "Shutting down", offline: "Not reachable",
};

/** What `/v1/models` told, as far as the server has it. */
export const facts = { limits: {}, languages: [], outputs: null };

const keyWaiters = [];

/** Resolves once the user has given a key that the server takes. */
export function waitForKey() {
  askForKey(hasKey() ? "The key was not accepted" : "This server wants a key");
  return new Promise((resolve) => keyWaiters.push(resolve));
}

export function watchServer(onFacts) {
  const look = async () => {
    const state = await lookOnce();
    setTimeout(look, document.hidden ? UNSEEN_MS : state === "ready" ? CALM_MS : WATCHFUL_MS);
  };
  look();
  document.addEventListener("visibilitychange", () => document.hidden || lookOnce());
  loadFacts(onFacts);
  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = byId("key").value.trim();
    if (!given) return;
    useKey(given);
    if (await loadFacts(onFacts)) {
      byId("key").value = "";
      if (byId("key-form").contains(document.activeElement)) byId("choose").focus();
      show(byId("key-form"), false);
      keyWaiters.splice(0).forEach((go) => go());
    } else {
      byId("key").select();
    }
  });
}

/** False when the key is wanted or wrong. */
async function loadFacts(onFacts) {
  try {
    const models = await askJson("v1/models");
    const model = models.data?.[0] ?? models.models?.[0] ?? {};
    facts.limits = models.limits ?? model.limits ?? {};
    facts.languages = model.languages ?? models.languages ?? [];
    facts.outputs = models.outputs ?? model.outputs ?? null;
    onFacts(facts);
  } catch (error) {
    if (error instanceof Problem && error.status === 401) {
      askForKey(hasKey() ? "The key was not accepted" : "This server wants a key");
      return false;
    }
    // Without these facts the page works; the server refuses what does not.
  }
  return true;
}

function askForKey(title) {
  const form = byId("key-form");
  const had = !form.hidden;
  say(byId("key-title"), title);
  form.dataset.wrong = hasKey();
  byId("key").setAttribute("aria-invalid", String(hasKey()));
  show(form, true);
  if (had || document.activeElement === document.body) byId("key").focus();
}

async function lookOnce() {
  try {
    const health = await askJson("health");
    const state = stateOf(health);
    const start = state === "loading" ? await startDocument() : null;
    display(state, health, start);
    return state;
  } catch (error) {
    if (!(error instanceof Unreachable) && !(error instanceof Problem)) throw error;
    display("offline", null, null);
    return "offline";
  }
}

/** `/startupz` answers 503 while the start goes on; its body is what is wanted. */
async function startDocument() {
  try {
    return await (await fetch("startupz", { cache: "no-store" })).json();
  } catch {
    return null;
  }
}

function stateOf(health) {
  if (health.reason === "draining") return "draining";
  if (health.status === "loading" || health.status === "failed") return health.status;
  return health.ready ? "ready" : "degraded";
}

function display(state, health, start) {
  const server = byId("server");
  server.dataset.state = state;
  const model = health?.model;
  say(byId("server-words"), model ? `${model} · ${WORDS[state]}` : WORDS[state]);
  if (health) say(byId("version"), `ocr-inference ${health.version}`);
  const [title, text] = noticeOf(state, health, start);
  const notice = byId("server-notice");
  notice.dataset.state = state;
  show(notice, title !== null);
  if (title !== null) {
    say(byId("server-title"), title);
    say(byId("server-text"), text);
  }
  displayPhases(state === "loading" ? (start?.phases ?? []) : []);
}

function noticeOf(state, health, start) {
  switch (state) {
    case "loading":
      return ["The model is loading",
        "You can choose documents already; they are sent once it is ready."
        + (start?.attempts > 1 ? ` This is attempt ${start.attempts}.` : "")];
    case "failed":
      return ["The model could not be loaded",
        `${health.error ?? "The server's log says why."} It is tried again by itself; whoever runs `
        + "this server finds more in its log."];
    case "draining":
      return ["This server is shutting down",
        "What it has begun is finished. New documents are sent again by themselves; another server "
        + "may take them."];
    case "degraded":
      return health.reason === "no keys"
        ? ["This server has no keys yet", "It refuses every document until whoever runs it adds one."]
        : ["The model is being replaced", "Documents wait for it; there is nothing to do."];
    case "offline":
      return ["The server cannot be reached",
        "Look at your connection. The page tries again by itself; what you have read stays here."];
    default:
      return [null, null];
  }
}

function displayPhases(phases) {
  const progress = byId("server-progress");
  const list = byId("server-phases");
  show(progress, phases.length > 0);
  show(list, phases.length > 0);
  if (!phases.length) return;
  const done = phases.filter((phase) => phase.state === "done").length;
  progress.max = phases.length;
  progress.value = done + (phases.some((phase) => phase.state === "running") ? 0.5 : 0);
  list.replaceChildren(...phases.map((phase) => el("li", { "data-state": phase.state },
    `${phase.name.replaceAll("_", " ")}: ${
      phase.state === "pending" ? "to come" : `${phase.seconds.toFixed(1)} s`
    }${phase.state === "running" ? " so far" : ""}`)));
}
