// Copying and downloading. Nothing leaves the browser.

import { make } from "./dom.js";

/** Copy a text; return whether that worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

/** Copy where the clipboard is closed: pages that came over plain HTTP from another machine. */
function copyByCommand(text) {
  const field = make("textarea", { value: text, className: "hidden" });
  const before = document.activeElement;
  document.body.append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  before?.focus({ preventScroll: true });
  return worked;
}

/** Let the browser save a text as a file. */
export function saveText(name, text, type = "text/plain") {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = make("a", { href: address, download: name.replace(/[\\/:*?"<>|\u0000-\u001f]+/g, "_") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Return a table as CSV; Excel takes it as UTF-8 by its first character. */
export function asCsv(rows) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}
