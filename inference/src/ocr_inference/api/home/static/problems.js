// What to do about each refusal, by its code: a title and a sentence.

const KINDS = "PDF, PNG, JPEG, TIFF, WEBP or BMP";

const ADVICE = {
  unsupported_media_type: ["This kind of file cannot be read",
    `Send a ${KINDS}. The name does not matter, the content does: open the file in its program and save it as PDF.`],
  file_too_large: ["The file is too large",
    "Send it in parts, or save it with a smaller resolution."],
  empty_file: ["The file is empty", "Look at the original: it may not have been saved to the end."],
  decode_failed: ["The file is damaged",
    "Open it in a viewer. If it shows there, save it anew and send the new file."],
  encrypted_pdf: ["The PDF is locked with a password",
    "Open it with its password, save it without one, and send that file."],
  too_many_pages: ["The document has too many pages",
    "Choose some of them under Options, for example 1-100, or split the document."],
  too_many_pixels: ["A page has too many pixels",
    "Save the picture smaller, or choose a lower resolution under Options."],
  invalid_pages: ["These pages cannot be chosen",
    "Look at Pages under Options: it wants numbers and ranges such as 1-3,7."],
  unsupported_option: ["The model here cannot do that",
    "Choose another language under Options, or none."],
  unsupported_language: ["The model here does not read this language",
    "Choose another language under Options, or none."],
  invalid_field: ["An option was not understood", "Correct it under Options and read again."],
  unauthorized: ["The key was not accepted", "Enter a valid key above."],
  rate_limited: ["Too many pages in a short time", "It goes on by itself when the time is over."],
  queue_full: ["The server is busy", "It is sent again by itself as soon as there is room."],
  storage_full: ["The server has no room now", "It is sent again by itself in a moment."],
  not_ready: ["The model is still loading", "The document is sent by itself once it is ready."],
  draining: ["This server is shutting down",
    "The document is sent again by itself; another server may take it."],
  engine_unavailable: ["The model does not answer now", "It is tried again by itself."],
  upload_timeout: ["The upload took too long", "Try again on a faster connection, or send fewer pages."],
  deadline_exceeded: ["There was not enough time",
    "Try again later, or read fewer pages at a time (Options)."],
  engine_error: ["The model failed on this document", "Try again; if it fails again, the server's log has more."],
  job_not_found: ["The server no longer knows this document",
    "It was restarted, or the result has expired. Read the document again."],
  job_expired: ["The result has expired", "Read the document again."],
  job_cancelled: ["The document was cancelled", "Read it again if you want it after all."],
  file_unreadable: ["The file cannot be opened",
    "It was moved or changed after you chose it, or it is a folder. Choose the file again."],
  internal_error: ["The server failed", "Try again; if it fails again, the server's log has more."],
};

const BY_STATUS = {
  401: ADVICE.unauthorized,
  404: ADVICE.job_not_found,
  410: ADVICE.job_expired,
  413: ADVICE.file_too_large,
  415: ADVICE.unsupported_media_type,
  429: ADVICE.rate_limited,
  503: ADVICE.queue_full,
  504: ADVICE.deadline_exceeded,
};

const FALLBACK = ["This did not work", "Try again; if it fails again, the server's log has more."];

/** `{title, advice}` for a `Problem`. */
export function advise(problem) {
  const [title, advice] = ADVICE[problem.code] ?? BY_STATUS[problem.status] ?? FALLBACK;
  return { title, advice };
}

const BY_OPTIONS = new Set(["too_many_pages", "too_many_pixels", "invalid_pages", "invalid_field",
  "unsupported_option", "unsupported_language"]);
const BY_ANOTHER_FILE = new Set(["unsupported_media_type", "file_too_large", "empty_file",
  "decode_failed", "encrypted_pdf", "file_unreadable"]);

/** What to offer, the best first: `options`, `again`, `other`. */
export function remedies(problem) {
  if (BY_OPTIONS.has(problem.code)) return ["options", "other"];
  if (BY_ANOTHER_FILE.has(problem.code)) return ["other"];
  return ["again", "other"];
}

/** Whether waiting helps, so that it is tried again without being asked. */
export const passes = (problem) => problem.status === 429 || problem.status === 503;
