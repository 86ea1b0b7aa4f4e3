// One page: its picture with the lines drawn over it, and its text beside it. A line and its box
// are shown together, wherever the pointer or the focus is.

import { Unreachable } from "./client.js";
import { byId, el, roving, say, show, svg } from "./dom.js";

const LEVELS = [
  { name: "sure", from: 0.9, words: "sure: 90 % and more" },
  { name: "fair", from: 0.7, words: "less sure: 70 to 90 %" },
  { name: "poor", from: 0, words: "unsure: below 70 %" },
];

const ZOOMS = [1, 1.5, 2, 3];

let lines = [];
let shown = null;
let zoomed = 0;

export function preparePage() {
  const stage = byId("stage");
  const pane = byId("pane");
  for (const area of [stage, pane]) {
    area.addEventListener("pointerover", (event) => light(lineOf(event.target)));
    area.addEventListener("pointerleave", () => light(null));
  }
  stage.addEventListener("click", (event) => {
    const line = lineOf(event.target);
    if (line && getSelection().isCollapsed) reveal(pane, line.words);
  });
  pane.addEventListener("focusin", (event) => {
    const line = lineOf(event.target);
    light(line);
    if (line) reveal(stage, line.box);
  });
  pane.addEventListener("focusout", () => light(null));
  roving(pane, ".line");
  byId("show-boxes").addEventListener("change", (event) => {
    stage.classList.toggle("bare", !event.target.checked);
  });
}

/** Show page `number`, read or not yet. */
export function showPage(reading, number, tab, markdown) {
  const page = reading.pages.get(number);
  showPicture(reading, number, page);
  lines = page ? linesOf(page) : [];
  drawBoxes(page);
  showLegend(page);
  showPane(reading, page, tab, markdown);
}

/** One step larger or smaller; what is in the middle stays there. */
export function zoom(by) {
  zoomed = Math.max(0, Math.min(ZOOMS.length - 1, zoomed + by));
  const stage = byId("stage");
  const [x, y] = [(stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth,
    (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight];
  applyZoom();
  stage.scrollLeft = x * stage.scrollWidth - stage.clientWidth / 2;
  stage.scrollTop = y * stage.scrollHeight - stage.clientHeight / 2;
}

function applyZoom() {
  if (byId("stage").firstChild) byId("stage").firstChild.style.width = `${ZOOMS[zoomed] * 100}%`;
  byId("smaller").disabled = zoomed === 0;
  byId("larger").disabled = zoomed === ZOOMS.length - 1;
}

export function forgetPage() {
  shown = null;
  lines = [];
}

/** The page's text as it is copied. */
export function textOf(page) {
  return (page?.blocks ?? []).map((block) => block.text.trim()).filter(Boolean).join("\n\n");
}

export function levelOf(confidence) {
  return LEVELS.find((level) => confidence >= level.from) ?? LEVELS.at(-1);
}

function linesOf(page) {
  const blocks = page.blocks ?? [];
  const found = page.lines ?? [];
  const known = page.confidence_source !== "none";
  return blocks.flatMap((block) => {
    const own = found.filter((line) => line.block === block.id);
    return (own.length ? own : [block]).map((part) => ({
      part, block, level: known ? levelOf(part.confidence).name : "unknown",
    }));
  }).filter(({ part }) => part.text.trim());
}

function showPicture(reading, number, page) {
  const stage = byId("stage");
  const token = `${number}`;
  if (shown?.reading !== reading || shown.token !== token || !stage.firstChild) {
    shown = { reading, token };
    const image = el("img", { alt: `Page ${number} of ${reading.name}` });
    const holder = el("div", { class: "page" }, image);
    stage.replaceChildren(holder);
    stage.scrollTop = 0;
    applyZoom();
    loadPicture(reading, number, image, holder);
  }
  const holder = stage.firstChild;
  holder.classList.toggle("expected", !page && !reading.ended);
  if (page?.width) holder.style.aspectRatio = `${page.width} / ${page.height}`;
}

async function loadPicture(reading, number, image, holder) {
  try {
    image.src = await reading.image(number);
    await image.decode();
    holder.classList.add("loaded");
  } catch (error) {
    if (!image.isConnected) return;
    image.remove();
    holder.classList.add("loaded");
    const why = error instanceof Unreachable ? "The server cannot be reached." : error.message;
    holder.append(el("p", { class: "no-picture" }, `There is no picture of this page. ${why}`));
  }
}

function drawBoxes(page) {
  const holder = byId("stage").firstChild;
  holder.querySelector("svg")?.remove();
  if (!page?.width || !lines.length) return;
  const drawing = svg("svg", {
    class: "boxes", viewBox: `0 0 ${page.width} ${page.height}`, "aria-hidden": "true",
    preserveAspectRatio: "none",
  }, hatch(page));
  for (const line of lines) drawing.append((line.box = box(line)));
  lines.forEach((line, index) => line.box.setAttribute("data-line", index));
  holder.append(drawing);
}

/** For unsure lines: a pattern that is seen without colours too. */
function hatch(page) {
  const step = Math.max(page.width, page.height) / 160;
  return svg("defs", {}, svg("pattern", {
    id: "hatch", width: step, height: step, patternUnits: "userSpaceOnUse",
    patternTransform: "rotate(45)",
  }, svg("rect", { class: "hatch", width: step / 4, height: step })));
}

function box({ part, level }) {
  const [left, top, right, bottom] = part.bbox;
  const corners = part.polygon ?? [[left, top], [right, top], [right, bottom], [left, bottom]];
  return svg("g", { class: `box ${level}` },
    svg("polygon", { points: corners.map((corner) => corner.join(",")).join(" ") }),
    ...letters(part.text, left, top, right - left, bottom - top));
}

/** Invisible text where the printed one stands, to be selected and copied from the picture. */
function letters(text, left, top, width, height) {
  const rows = text.split("\n").filter((row) => row.trim());
  if (!(width > 0 && height > 0)) return [];
  const upright = rows.length === 1 && rows[0].length > 2 && height > 2 * width;
  const [along, across] = upright ? [height, width] : [width, height / rows.length];
  return rows.map((row, index) => svg("text", {
    x: left,
    y: upright ? top : top + across * (index + 0.8),
    "font-size": across * 0.8,
    textLength: along,
    lengthAdjust: "spacingAndGlyphs",
    transform: upright ? `rotate(90 ${left} ${top}) translate(0 ${-across * 0.2})` : null,
  }, row));
}

function showLegend(page) {
  const legend = byId("legend");
  show(legend, lines.length > 0);
  if (!lines.length) return;
  if (page.confidence_source === "none") {
    legend.replaceChildren(el("p", {}, "This model does not say how sure it is of a line."));
    return;
  }
  legend.replaceChildren(el("ul", {}, ...LEVELS.map(({ name, words }) => {
    const count = lines.filter((line) => line.level === name).length;
    return el("li", {}, sample(name), `${words} (${count})`);
  })));
}

function sample(level) {
  return svg("svg", { class: `sample box ${level}`, viewBox: "0 0 26 14", "aria-hidden": "true" },
    svg("polygon", { points: "1,1 25,1 25,13 1,13" }));
}

function showPane(reading, page, tab, markdown) {
  const pane = byId("pane");
  pane.setAttribute("aria-labelledby", `tab-${tab}`);
  pane.scrollTop = 0;
  if (tab === "markdown") {
    pane.replaceChildren(el("pre", { class: "plain" }, markdown ?? (reading.ended
      ? "There is no Markdown of this document."
      : "The Markdown of the whole document is here once its last page has been read.")));
  } else if (!page) {
    pane.replaceChildren(reading.ended
      ? el("p", { class: "quiet" }, "This page was not read.")
      : waiting());
  } else if (tab === "json") {
    pane.replaceChildren(el("pre", { class: "plain" }, JSON.stringify(page, null, 2)));
  } else if (page.status === "failed") {
    pane.replaceChildren(el("div", { class: "card bad" },
      el("h4", {}, "This page could not be read"), el("p", {}, page.error ?? ""),
      el("p", {}, "The other pages are not touched by that. Read the document again to try it once more.")));
  } else if (!lines.length) {
    pane.replaceChildren(el("p", { class: "quiet" }, "No text was found on this page."));
  } else {
    pane.replaceChildren(...blocksOfText());
  }
}

function waiting() {
  return el("div", { class: "skeleton" }, el("p", { class: "unseen" }, "This page has not been read yet."),
    ...Array.from({ length: 7 }, () => el("span", {})));
}

function blocksOfText() {
  const blocks = Map.groupBy ? Map.groupBy(lines, (line) => line.block) : grouped();
  return [...blocks].map(([block, own]) => el("div", {
    class: `block ${["title", "doc_title", "paragraph_title"].includes(block.type) ? "title" : ""}`,
    role: "list", "aria-label": block.type,
  },
  ["text", "title"].includes(block.type) ? null
    : el("span", { class: "kind", "aria-hidden": "true" }, block.type.replaceAll("_", " ")),
  ...own.map((line) => (line.words = words(line)))));
}

function grouped() {
  const blocks = new Map();
  for (const line of lines) blocks.set(line.block, [...(blocks.get(line.block) ?? []), line]);
  return blocks;
}

function words(line) {
  const index = lines.indexOf(line);
  const sure = `${Math.floor(line.part.confidence * 100)} %`;
  const made = el("div", {
    class: `line ${line.level}`, role: "listitem", tabindex: index === 0 ? 0 : -1,
    "data-line": index,
  }, el("span", { class: "said" }, line.part.text));
  if (line.level !== "unknown") {
    made.append(el("span", { class: "sure-by", "aria-label": `confidence ${sure}`, role: "img",
      "data-sure": sure }));
  }
  return made;
}

function lineOf(target) {
  const index = target.closest?.("[data-line]")?.getAttribute("data-line");
  return index == null ? null : lines[index] ?? null;
}

function light(line) {
  for (const other of lines) {
    other.box?.classList.toggle("lit", other === line);
    other.words?.classList.toggle("lit", other === line);
  }
}

/** Scroll within its area only, never the whole page under the pointer. */
function reveal(area, part) {
  if (!part || area.scrollHeight <= area.clientHeight) return;
  const outer = area.getBoundingClientRect();
  const inner = part.getBoundingClientRect();
  if (inner.top >= outer.top && inner.bottom <= outer.bottom) return;
  area.scrollTop += inner.top - outer.top - outer.height / 3;
}
