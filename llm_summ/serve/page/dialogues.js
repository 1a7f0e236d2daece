// The dialogues that were read: typed, pasted or from files. The service reads them; the page only shows them.
//
// A dialogue is {id, turns, speakers, names}: `names` has the names that the user gave to speakers.

import { post } from "./api.js";

/** Tells when the dialogues, the one that is shown, or names changed. */
export const changes = new EventTarget();

const items = [];
let index = 0;

export const dialogues = () => items;
export const shownIndex = () => index;
export const shown = () => items[index] ?? null;

function changed(what) {
  changes.dispatchEvent(new CustomEvent("change", { detail: what }));
}

/** Return what was read as dialogues, and what could not be read as lines. */
function taken(read) {
  const lines = read.dialogues.filter((one) => one.error).map((one) => one.error.message);
  const found = read.dialogues.filter((one) => !one.error).map((one) => ({ ...one, names: {} }));
  return { found, lines: [...lines, ...(read.notices ?? [])] };
}

/** Give dialogues different ids, as a request needs them. */
function separate() {
  const used = new Set();
  for (const item of items) {
    const id = item.id;
    for (let number = 2; used.has(item.id); number++) item.id = `${id}-${number}`;
    used.add(item.id);
  }
}

/** Return a dialogue as text, a turn on each line. */
export function textOf(item) {
  return item.turns.map((turn) => (turn.speaker ? `${turn.speaker}: ${turn.text}` : turn.text)).join("\n");
}

/** Read files, which replace everything. Returns the service's notices. */
export async function readFiles(files, format, signal) {
  const form = new FormData();
  if (format) form.append("format", format);
  for (const file of files) form.append("file", file, file.name);
  const { found, lines } = taken(await post("v1/dialogues", form, signal));
  if (found.length) {
    items.splice(0, items.length, ...found);
    index = 0;
    separate();
    changed("dialogues");
  }
  return lines;
}

/** Read a text, which replaces the dialogue that is shown; its names stay where the speakers stay. */
export async function readText(text, format, signal) {
  const old = shown();
  const { found, lines } = taken(await post("v1/dialogues", { text, ...(format && { format }) }, signal));
  for (const item of found) {
    for (const speaker of item.speakers) {
      if (old?.names[speaker]) item.names[speaker] = old.names[speaker];
    }
  }
  if (old && found.length === 1) found[0].id = old.id;
  items.splice(index, 1, ...found);
  separate();
  changed("dialogues");
  return lines;
}

/** Show another dialogue. */
export function show(number) {
  if (number < 0 || number >= items.length || number === index) return;
  index = number;
  changed("shown");
}

/** Give a speaker of the dialogue that is shown another name; an empty one, or the old one, removes it. */
export function rename(speaker, name) {
  const { names } = shown();
  if (name && name !== speaker) names[speaker] = name;
  else delete names[speaker];
  changed("names");
}

export function clear() {
  items.length = 0;
  index = 0;
  changed("dialogues");
}

/** Return a dialogue as the service wants it. */
export function asRequest(item) {
  return { id: item.id, turns: item.turns };
}

/**
 * Return the names of tags that the model writes, for a text that is still being written: the service puts the names
 * in when a text is finished. Where a dialogue has tags itself, only those that the user named are known.
 */
export function tagNames(item, names) {
  const isTag = (text) => /#Person\d+#/.test(text);
  if (item.speakers.some(isTag) || item.turns.some((turn) => isTag(turn.text))) {
    return new Map(Object.entries(names).filter(([speaker]) => isTag(speaker)));
  }
  const different = [...new Set(item.speakers.map((speaker) => names[speaker] ?? speaker))];
  return new Map(different.map((name, at) => [`#Person${at + 1}#`, name]));
}
