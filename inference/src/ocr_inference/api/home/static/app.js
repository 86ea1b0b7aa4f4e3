// The page: files come in, are read one after another, and the chosen one is shown.

import { byId, el, say, show } from "./dom.js";
import { copying, pageArrived, prepareDocument, refresh, showDocument, shownReading }
  from "./document-view.js";
import { advise } from "./problems.js";
import { Reading } from "./reading.js";
import { facts, waitForKey, watchServer } from "./server-status.js";
import { briefOf, bytes, progressOf, statusOf } from "./words.js";

const readings = [];
const waiting = [];
let busy = false;

function add(files) {
  const fresh = [...files].map((file) => new Reading(file, { limits: () => facts.limits, waitForKey }));
  if (!fresh.length) return;
  for (const reading of fresh) {
    readings.unshift(reading);
    listEntry(reading);
    reading.addEventListener("change", () => changed(reading));
    reading.addEventListener("page", (event) => {
      if (reading === shownReading()) pageArrived(event.detail);
    });
    enqueue(reading);
  }
  document.body.dataset.view = "work";
  show(byId("visit"), true);
  look(fresh[0]);
}

function enqueue(reading) {
  waiting.push([reading, options()]);
  work();
}

/** One at a time: a server shares its pages out between clients, not between one's documents. */
async function work() {
  if (busy) return;
  busy = true;
  for (let next; (next = waiting.shift()); ) {
    const [reading, fields] = next;
    if (!reading.ended) await reading.run(fields);
  }
  busy = false;
}

function again(reading) {
  reading.reset();
  reading.idempotencyKey = undefined;
  showDocument(reading);
  byId("document-name").focus();
  enqueue(reading);
}

function options() {
  const fields = { language: byId("language").value, pages: byId("pages").value.trim(),
    dpi: byId("dpi").value };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
}

let drawing = 0;

/** Many pages may come between two frames; they are shown at once. */
function changed(reading) {
  reading.changed = true;
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    for (const one of readings.filter((other) => other.changed)) {
      one.changed = false;
      updateEntry(one);
      if (one === shownReading()) refresh();
      announce(one);
    }
  });
}

/** Said aloud when it begins, waits or ends; not for every page. */
function announce(reading) {
  if (reading.announced === reading.phase) return;
  reading.announced = reading.phase;
  const title = reading.problem && advise(reading.problem).title;
  say(byId("announce"), `${reading.name}: ${statusOf(reading, title)}`);
}

function listEntry(reading) {
  const item = el("button", { type: "button", class: "entry" },
    el("span", { class: "entry-name" }, reading.name), el("span", { class: "entry-state" }));
  item.addEventListener("click", () => look(reading));
  reading.entry = item;
  byId("documents").prepend(el("li", {}, item));
  updateEntry(reading);
}

function updateEntry(reading) {
  say(reading.entry.lastChild, briefOf(reading));
  reading.entry.dataset.phase = reading.phase;
  const share = progressOf(reading);
  reading.entry.style.setProperty("--share", share ?? 0);
}

function look(reading) {
  for (const other of readings) other.entry.removeAttribute("aria-current");
  reading.entry.setAttribute("aria-current", "true");
  showDocument(reading);
  // On a phone the document is below what was touched.
  if (byId("document").getBoundingClientRect().top > innerHeight / 2) {
    byId("document").scrollIntoView({ block: "start" });
  }
}

function prepareIntake() {
  const chooser = byId("files");
  byId("choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    add(chooser.files);
    chooser.value = ""; // the same file may be chosen again
  });
  addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    add(event.clipboardData.files);
  });
  let depth = 0;
  const over = (by) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = Math.max(0, depth + by);
    byId("veil").classList.toggle("shown", depth > 0);
  };
  addEventListener("dragenter", over(1));
  addEventListener("dragleave", over(-1));
  addEventListener("dragover", over(0));
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = 0;
    byId("veil").classList.remove("shown");
    add(event.dataTransfer.files);
  });
}

function showFacts({ limits, languages }) {
  const parts = ["PDF, PNG, JPEG, TIFF, WEBP or BMP"];
  if (limits.upload_bytes) parts.push(`up to ${bytes(limits.upload_bytes)}`);
  if (limits.pages_async) parts.push(`${limits.pages_async.toLocaleString("en")} pages`);
  say(byId("limits"), parts.join(" · "));
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
  const known = languages.filter((code) => /^[a-z]{2}$/.test(code))
    .map((code) => [names.of(code), code]).sort(([one], [other]) => one.localeCompare(other));
  const select = byId("language");
  select.replaceChildren(select.firstElementChild,
    ...known.map(([name, code]) => el("option", { value: code }, name)));
  show(byId("language-field"), known.length > 1);
}

function prepareCommand() {
  const base = new URL(".", location.href).href;
  byId("command").textContent = `curl -F file=@document.pdf ${base}ocr`;
  copying(byId("copy-command"), () => byId("command").textContent);
}

prepareIntake();
prepareCommand();
prepareDocument({ again, chooseOther: () => byId("files").click() });
watchServer(showFacts);
