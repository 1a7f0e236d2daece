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

function asItem(read) {
  return { ...read, names: {} };
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
  const read = await post("v1/dialogues", form, signal);
  items.splice(0, items.length, ...read.dialogues.map(asItem));
  index = 0;
  changed("dialogues");
  return read.notices ?? [];
}

/** Read a text, which replaces the dialogue that is shown; its names stay where the speakers stay. */
export async function readText(text, format, signal) {
  const read = await post("v1/dialogues", { text, ...(format && { format }) }, signal);
  const old = shown();
  const found = read.dialogues.map(asItem);
  for (const item of found) {
    for (const speaker of item.speakers) {
      if (old?.names[speaker]) item.names[speaker] = old.names[speaker];
    }
  }
  if (old && found.length === 1) found[0].id = old.id;
  items.splice(index, 1, ...found);
  changed("dialogues");
  return read.notices ?? [];
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
export function asRequest(item, first = 1, last = item.turns.length) {
  return { id: item.id, turns: item.turns.slice(first - 1, last) };
}
