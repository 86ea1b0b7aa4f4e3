// Sentences and numbers as people read them.

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB"];
  let [value, at] = [count / 1024, 0];
  while (value >= 1023.5 && at < units.length - 1) [value, at] = [value / 1024, at + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function counted(count, one) {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

const secondsUntil = (at) => Math.max(1, Math.ceil((at - performance.now()) / 1000));

/** What goes on with a document: one line, whole. */
export function statusOf(reading, title) {
  const { phase, pages, total } = reading;
  const failed = reading.failedPages.length;
  switch (phase) {
    case "turn": return "Waits for the document before it";
    case "uploading":
      return reading.sent < 1 ? `Sending: ${Math.floor(reading.sent * 100)} %` : "Sent; being looked at";
    case "retry":
      return reading.retryAt ? `${title}. Sent again in ${secondsUntil(reading.retryAt)} s` : title;
    case "offline":
      return "The server cannot be reached. "
        + (reading.retryAt ? `Next attempt in ${secondsUntil(reading.retryAt)} s` : "Trying again…");
    case "key": return "Waits for a key";
    case "queued":
      return reading.job?.queue_position
        ? `In the queue: ${counted(reading.job.queue_position, "document")} before it`
        : "Next in the queue";
    case "reading":
      return total ? `Reading: ${pages.size} of ${counted(total, "page")}` : "Reading";
    case "done": return `Read: ${counted(pages.size, "page")} in ${duration(reading.seconds)}`;
    case "partial":
      return `Read: ${pages.size - failed} of ${counted(total ?? pages.size, "page")}; ${failed} failed`;
    case "cancelled":
      return pages.size ? `Cancelled after ${counted(pages.size, "page")}` : "Cancelled";
    default: return "Not read";
  }
}

/** The same in a word or two, for the list. */
export function briefOf(reading) {
  const { phase, pages, total } = reading;
  switch (phase) {
    case "turn": return "waits";
    case "uploading": return `sending ${Math.floor(reading.sent * 100)} %`;
    case "retry": case "offline": return "tried again soon";
    case "key": return "wants a key";
    case "queued": return "in the queue";
    case "reading": return total ? `${pages.size} of ${counted(total, "page")}` : "reading";
    case "done": return counted(pages.size, "page");
    case "partial": return `${reading.failedPages.length} of ${counted(total ?? pages.size, "page")} failed`;
    case "cancelled": return "cancelled";
    default: return "not read";
  }
}

/** 0..1, or null while nothing can be told. */
export function progressOf(reading) {
  switch (reading.phase) {
    case "uploading": return reading.sent;
    case "reading": return reading.total ? reading.pages.size / reading.total : null;
    default: return null;
  }
}
