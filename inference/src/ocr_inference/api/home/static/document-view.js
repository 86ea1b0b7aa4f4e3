// The document that is looked at: how far it is, what went wrong, its pages, its downloads.

import { Problem, Unreachable } from "./client.js";
import { button, byId, copyText, el, roving, say, show } from "./dom.js";
import { forgetPage, preparePage, showPage, textOf, zoom } from "./page-view.js";
import { advise, remedies } from "./problems.js";
import { facts } from "./server-status.js";
import { bytes, counted, progressOf, statusOf } from "./words.js";

const FORMATS = [
  ["json", "JSON", ".json"], ["text", "Text", ".txt"], ["markdown", "Markdown", ".md"],
  ["hocr", "hOCR", ".hocr"], ["alto", "ALTO", ".alto.xml"], ["pdf", "Searchable PDF", ".ocr.pdf"],
];

const REMEDIES = { options: "Options", again: "Try again", other: "Another file" };

const ACTIVE = new Set(["turn", "uploading", "retry", "key", "offline", "queued", "reading"]);

let reading = null;
let number = null;
let tab = "text";
let markdown = null;
let ended = false;

export const shownReading = () => reading;

export function prepareDocument({ again, chooseOther }) {
  preparePage();
  byId("cancel").addEventListener("click", () => {
    reading.cancel();
    byId("document-name").focus();
  });
  byId("again").addEventListener("click", () => again(reading));
  byId("smaller").addEventListener("click", () => zoom(-1));
  byId("larger").addEventListener("click", () => zoom(1));
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  roving(byId("strip"), "button", (item) => select(Number(item.dataset.page)));
  roving(byId("tabs"), "[role=tab]", (item) => choose(item.id.replace("tab-", "")));
  for (const item of byId("tabs").children) {
    item.addEventListener("click", () => choose(item.id.replace("tab-", "")));
  }
  copying(byId("copy"), copied);
  byId("document").addEventListener("click", (event) => {
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (what === "again") again(reading);
    if (what === "other") chooseOther();
    if (what === "now") reading.skipWait();
    if (what === "options") {
      byId("options").open = true;
      byId("pages").focus();
    }
  });
  setInterval(() => reading?.retryAt && showStatus(), 500);
}

function copied() {
  const page = reading.pages.get(number);
  return { text: textOf(page), markdown, json: page && JSON.stringify(page, null, 2) }[tab] ?? "";
}

/** A button that copies what `text` gives and says so. */
export function copying(item, text) {
  item.addEventListener("click", async () => {
    const done = await copyText(text());
    say(item, done ? "Copied" : "Not copied");
    say(byId("announce"), done ? "Copied" : "The browser did not let it be copied");
    setTimeout(() => say(item, "Copy"), 1500);
  });
}

export function showDocument(other) {
  reading = other;
  number = null;
  markdown = null;
  forgetPage();
  byId("stage").replaceChildren();
  byId("strip").replaceChildren();
  byId("notices").replaceChildren();
  say(byId("document-name"), reading.name);
  show(byId("document"), true);
  refresh();
}

/** Something about the document has changed. */
export function refresh() {
  showStatus();
  showNotices();
  showDownloads();
  showStrip();
  const first = firstNumber();
  const nothing = reading.ended && reading.pages.size === reading.failedPages.length;
  const viewable = reading.job !== null && first !== null && !nothing;
  show(byId("viewer"), viewable);
  if (viewable && (number === null || ended !== reading.ended)) select(number ?? first);
  ended = reading.ended;
  if (reading.ended && viewable && markdown === null && tab === "markdown") loadMarkdown();
}

export function pageArrived(arrived) {
  if (number === null) refresh();
  else if (arrived === number) select(number);
}

function numbers() {
  const read = [...reading.pages.keys()].sort((one, other) => one - other);
  if (reading.fields?.pages || !reading.total) return read;
  return Array.from({ length: reading.total }, (_, index) => index + 1);
}

const firstNumber = () => numbers()[0] ?? null;

function select(wanted) {
  number = wanted;
  const all = numbers();
  const at = all.indexOf(number);
  say(byId("picture-title"), `Page ${number}`);
  byId("previous").disabled = at <= 0;
  byId("next").disabled = at >= all.length - 1;
  for (const item of byId("strip").children) {
    const current = Number(item.dataset.page) === number;
    if (current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
    item.tabIndex = current ? 0 : -1;
  }
  byId("copy").disabled = !copied();
  showPage(reading, number, tab, markdown);
}

function turn(by) {
  const all = numbers();
  const to = all[all.indexOf(number) + by];
  if (to !== undefined) select(to);
  // A button that has just been disabled would drop the focus.
  if (byId("next").disabled) byId("previous").focus();
  else if (byId("previous").disabled) byId("next").focus();
}

function choose(name) {
  tab = name;
  for (const item of byId("tabs").children) {
    const chosen = item.id === `tab-${tab}`;
    item.setAttribute("aria-selected", String(chosen));
    item.tabIndex = chosen ? 0 : -1;
  }
  if (tab === "markdown" && markdown === null && reading.ended) loadMarkdown();
  select(number);
}

async function loadMarkdown() {
  const of = reading;
  markdown = "…";
  const text = await of.result("markdown").then((blob) => blob.text(), () => undefined);
  if (of !== reading) return;
  markdown = text;
  if (tab === "markdown") select(number);
}

function showStatus() {
  const active = ACTIVE.has(reading.phase);
  const title = reading.problem && advise(reading.problem).title;
  byId("document").dataset.phase = reading.phase;
  say(byId("status"), `${statusOf(reading, title)} · ${bytes(reading.file.size)}`);
  show(byId("cancel"), active);
  show(byId("again"), !active);
  const progress = byId("progress");
  const share = progressOf(reading);
  show(progress, active);
  if (share === null) progress.removeAttribute("value");
  else progress.value = share;
}

function showNotices() {
  const parts = [];
  if (reading.phase === "failed") parts.push(failure(reading.problem));
  if (reading.phase === "retry") parts.push(waitingCard());
  if (reading.phase === "offline") parts.push(offlineCard());
  // Where no page was read, the reason stands above already.
  if (reading.failedPages.length && reading.phase !== "failed") parts.push(failedPagesCard());
  if (reading.warnings.length) parts.push(warningsCard());
  const notices = byId("notices");
  // Only when they differ: whoever reads one must not lose the place.
  const same = parts.length === notices.children.length
    && parts.every((part, index) => part.isEqualNode(notices.children[index]));
  if (!same) notices.replaceChildren(...parts);
}

function failure(problem) {
  const { title, advice } = advise(problem);
  const limit = problem.details?.limit ?? (problem.code === "file_too_large"
    ? facts.limits.upload_bytes : null);
  const inner = [
    el("h3", {}, title),
    problem.message ? el("p", {}, problem.message) : null,
    limit ? el("p", {}, `This one has ${bytes(reading.file.size)}; at most ${bytes(limit)} are allowed.`)
      : null,
    el("p", {}, advice),
    el("div", { class: "actions" }, ...remedies(problem).map((name, index) =>
      el("button", { type: "button", class: index ? "button" : "button strong", "data-do": name },
        REMEDIES[name]))),
  ];
  const marks = [problem.code, problem.status || null,
    problem.requestId ? `request ${problem.requestId}` : null].filter(Boolean).join(" · ");
  return el("div", { class: "card bad", role: "alert" }, ...inner, el("p", { class: "fine" }, marks));
}

function waitingCard() {
  const { title, advice } = advise(reading.problem);
  return el("div", { class: "card wait" }, el("h3", {}, title),
    reading.problem.message && reading.problem.message !== `${title}.`
      ? el("p", {}, reading.problem.message) : null,
    el("p", {}, advice),
    el("div", { class: "actions" }, el("button",
      { type: "button", class: "button", "data-do": "now" }, "Try now")));
}

function offlineCard() {
  return el("div", { class: "card wait" }, el("h3", {}, "The server cannot be reached"),
    el("p", {}, reading.job
      ? "Nothing is lost: the page asks again by itself and shows what has been read by then."
      : "Look at your connection. The document is sent again by itself."),
    el("div", { class: "actions" }, el("button",
      { type: "button", class: "button", "data-do": "now" }, "Try now")));
}

function failedPagesCard() {
  const failed = reading.failedPages;
  const items = failed.slice(0, 20).map((page) => el("li", {},
    el("strong", {}, `Page ${page.page}: `), page.error ?? "no reason was given"));
  if (failed.length > 20) items.push(el("li", {}, `and ${failed.length - 20} more`));
  return el("div", { class: "card bad" },
    el("h3", {}, `${counted(failed.length, "page")} could not be read`), el("ul", {}, ...items),
    el("p", {}, "The other pages are complete. Read again to try these once more."));
}

function warningsCard() {
  return el("div", { class: "card wait" }, el("h3", {}, "To know about this result"),
    el("ul", {}, ...reading.warnings.slice(0, 20).map((warning) => el("li", {},
      warning.page ? el("strong", {}, `Page ${warning.page}: `) : null,
      warning.message ?? warning.code))));
}

function showDownloads() {
  const ready = reading.phase === "done" || reading.phase === "partial";
  const downloads = byId("downloads");
  if (ready && downloads.hidden) {
    const offered = FORMATS.filter(([name]) => !facts.outputs || facts.outputs.includes(name));
    byId("formats").replaceChildren(...offered.map(([name, words, suffix]) =>
      button(words, () => download(name, words, suffix), { "data-format": name })));
    show(byId("download-problem"), false);
  }
  show(downloads, ready);
}

async function download(name, words, suffix) {
  const problem = byId("download-problem");
  show(problem, false);
  try {
    const blob = await reading.result(name);
    const url = URL.createObjectURL(blob);
    const stem = reading.name.replace(/\.[^.]*$/, "") || "document";
    const link = el("a", { href: url, download: stem + suffix });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    const why = error instanceof Unreachable ? "The server cannot be reached; try again."
      : error instanceof Problem ? `${advise(error).title}. ${error.message}` : String(error);
    say(problem, `${words}: ${why}`);
    show(problem, true);
  }
}

function showStrip() {
  const strip = byId("strip");
  const all = numbers();
  show(strip, all.length > 1 && !(reading.ended && reading.pages.size === 0));
  if (strip.children.length !== all.length
    || all.some((page, index) => Number(strip.children[index].dataset.page) !== page)) {
    const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.page : null;
    strip.replaceChildren(...all.map(tile));
    strip.querySelector(`[data-page="${focused}"]`)?.focus();
  }
  for (const item of strip.children) {
    const page = reading.pages.get(Number(item.dataset.page));
    const state = !page ? (reading.ended ? "missing" : "expected") : page.status;
    if (item.dataset.state === state) continue;
    item.dataset.state = state;
    const words = { ok: "read", failed: "failed", expected: "not read yet", missing: "not read" };
    item.setAttribute("aria-label", `Page ${item.dataset.page}, ${words[state]}`);
  }
}

function tile(page) {
  const current = page === number;
  return button(String(page), () => select(page), {
    class: "tile", "data-page": page, tabindex: current || (number === null && page === firstNumber())
      ? 0 : -1, "aria-current": current ? "page" : null,
  });
}
