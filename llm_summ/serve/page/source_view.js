// The panel of the dialogue: text or turns, files, and which of several dialogues is shown.

import * as store from "./dialogues.js";
import { byId, make } from "./dom.js";
import { made, say } from "./language.js";
import { hideProblem, showProblem } from "./problem.js";
import { SAMPLE } from "./sample_dialogue.js";
import { characters } from "./times.js";
import { showNames, showTurns } from "./turns_view.js";

const text = byId("text");
const panel = byId("source");
const problem = byId("read-problem");
const notices = byId("notices");
const which = byId("which");
let typed = false; // whether the text was changed since it was read
let reading = null; // the AbortController of the request that reads

export const format = byId("format");

/** Show text or turns. */
function view(turns) {
  byId("text-view").hidden = turns;
  byId("turns-view").hidden = !turns;
  byId("show-text").setAttribute("aria-pressed", String(!turns));
  byId("show-turns").setAttribute("aria-pressed", String(turns));
}

/** Return the dialogues, after reading the text if it was changed; null if they cannot be read. */
export async function readAll() {
  if (!typed) return store.dialogues();
  if (!text.value.trim()) return [];
  return (await read((signal) => store.readText(text.value, format.value, signal))) ? store.dialogues() : null;
}

/** Show the turns of a dialogue, in which a part can be marked. */
export function showTurnsOf(item) {
  store.show(store.dialogues().indexOf(item));
  view(true);
}

async function read(request) {
  reading?.abort();
  const own = (reading = new AbortController());
  hideProblem(problem);
  panel.setAttribute("aria-busy", "true");
  say(byId("size"), "reading");
  try {
    const lines = await request(own.signal);
    typed = false;
    notices.replaceChildren(...lines.map((line) => make("li", {}, line)));
    notices.hidden = !lines.length;
    view(Boolean(store.shown()));
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (error.status === undefined) throw error;
    if (error.status === 400) error.key = "problem reading";
    showProblem(problem, error, () => read(request));
    return false;
  } finally {
    if (reading === own) {
      panel.removeAttribute("aria-busy");
      showSize();
    }
  }
}

function readFiles(files) {
  if (files.length) read((signal) => store.readFiles([...files], format.value, signal));
}

function readTyped() {
  if (typed && text.value.trim()) return read((signal) => store.readText(text.value, format.value, signal));
  if (store.shown()) view(true);
  return null;
}

function showSize() {
  const item = store.shown();
  if (item && !typed) {
    const letters = item.turns.reduce((sum, turn) => sum + characters(turn.text), 0);
    say(byId("size"), "size", item.turns.length, letters);
  } else {
    byId("size").textContent = "";
    delete byId("size").dataset.said;
  }
}

function showTools() {
  const something = Boolean(text.value) || store.dialogues().length > 0;
  byId("tabs").hidden = !something;
  byId("clear").hidden = !something;
  byId("sample").hidden = something;
}

/** Show which dialogue it is of several. */
function showChooser() {
  const items = store.dialogues();
  byId("chooser").hidden = items.length < 2;
  which.replaceChildren(
    ...items.map((item, at) =>
      made("option", { value: at, selected: at === store.shownIndex() }, "dialogue option", at + 1, items.length, item.id, item.turns.length),
    ),
  );
  showEnds();
}

function showEnds() {
  which.value = String(store.shownIndex());
  byId("previous").disabled = store.shownIndex() === 0;
  byId("next").disabled = store.shownIndex() === store.dialogues().length - 1;
}

store.changes.addEventListener("change", ({ detail }) => {
  if (detail === "names") {
    showNames();
    return;
  }
  if (detail === "dialogues") showChooser();
  else showEnds();
  const item = store.shown();
  text.value = item ? store.textOf(item) : "";
  typed = false;
  showTurns();
  showSize();
  showTools();
});

text.addEventListener("input", () => {
  typed = true;
  showSize();
  showTools();
});
// A pasted dialogue is read at once, so that its turns are seen. What is pasted into a text is a change like others.
text.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) {
    event.preventDefault();
    readFiles(event.clipboardData.files);
  } else if (!text.value.trim() && event.clipboardData.getData("text/plain").includes("\n")) {
    setTimeout(readTyped);
  }
});

byId("show-text").addEventListener("click", () => {
  view(false);
  text.focus();
});
byId("show-turns").addEventListener("click", readTyped);
byId("clear").addEventListener("click", () => {
  reading?.abort();
  text.value = "";
  store.clear();
  hideProblem(problem);
  notices.hidden = true;
  view(false);
  text.focus();
});
byId("open").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({ target }) => {
  readFiles([...target.files]);
  target.value = ""; // so that the same file can be opened again
});
byId("sample").addEventListener("click", () => {
  text.value = SAMPLE;
  typed = true;
  showTools();
  readTyped();
});
which.addEventListener("change", () => store.show(Number(which.value)));
byId("previous").addEventListener("click", () => store.show(store.shownIndex() - 1));
byId("next").addEventListener("click", () => store.show(store.shownIndex() + 1));

// ---------------------------------------------------------------- files that are dropped anywhere on the page

let within = 0; // elements that are being dragged over
const withFiles = (event) => event.dataTransfer?.types.includes("Files");

addEventListener("dragenter", (event) => {
  if (!withFiles(event)) return;
  event.preventDefault();
  within++;
  byId("drop").hidden = false;
});
addEventListener("dragover", (event) => {
  if (withFiles(event)) event.preventDefault();
});
addEventListener("dragleave", (event) => {
  if (withFiles(event) && --within <= 0) byId("drop").hidden = true;
});
addEventListener("drop", (event) => {
  if (!withFiles(event)) return;
  event.preventDefault();
  within = 0;
  byId("drop").hidden = true;
  readFiles(event.dataTransfer.files);
});
