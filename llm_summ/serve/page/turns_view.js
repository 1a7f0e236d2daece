// The turns of the dialogue that is shown, its speakers, and the turns of a part of the summary.

import * as store from "./dialogues.js";
import { byId, icon, make } from "./dom.js";
import { made, say, sayAs } from "./language.js";
import { clock, rangeOf } from "./times.js";

const HUES = 6;
const list = byId("turns");
const scroll = byId("turns-scroll");
const speakers = byId("speakers");
const strip = byId("shown-part");
let back = null; // the element to which "back to the summary" returns

/** Return the name of a speaker as the user wants it. */
export function nameOf(item, speaker) {
  return item.names[speaker] || speaker;
}

const hue = (item, speaker) => `hue${item.speakers.indexOf(speaker) % HUES}`;

function turnRow(item, turn, number) {
  const same = number > 1 && item.turns[number - 2].speaker === turn.speaker;
  const row = make("li", { className: same ? "same" : "", value: number, data: { number } });
  const timed = typeof turn.start === "number";
  row.append(make("span", { className: "number", ariaHidden: "true" }, timed ? clock(turn.start) : `${number}`));
  if (turn.speaker) {
    const name = make("b", { className: hue(item, turn.speaker), data: { speaker: turn.speaker } });
    row.append(name, " ");
  }
  row.append(make("span", { className: "words" }, turn.text));
  return row;
}

function speakerField(item, speaker) {
  const field = make("input", {
    type: "text",
    value: nameOf(item, speaker),
    placeholder: speaker,
    maxLength: 60,
    autocomplete: "off",
    spellcheck: false,
    data: { speaker },
  });
  sayAs(field, "aria-label", "speaker name", speaker);
  sayAs(field, "title", "original name", speaker);
  const fit = () => (field.size = Math.min(20, Math.max(3, 1 + [...field.value].reduce((sum, letter) => sum + (letter > "\u1100" ? 2 : 1), 0))));
  fit();
  field.addEventListener("input", () => {
    fit();
    store.rename(speaker, field.value.trim());
  });
  field.addEventListener("blur", () => {
    field.value = nameOf(item, speaker);
    fit();
  });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // this Enter or Escape belongs to the input of Hangul
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) field.blur();
    if (event.key === "Escape") {
      store.rename(speaker, "");
      field.value = speaker;
      fit();
    }
  });
  return make("label", { className: `speaker ${hue(item, speaker)}` }, make("span", { className: "dot" }), field, icon("edit"));
}

/** Show the turns and speakers of the dialogue. */
export function showTurns() {
  const item = store.shown();
  unmark();
  if (!item) {
    list.replaceChildren();
    speakers.replaceChildren();
    return;
  }
  list.replaceChildren(...item.turns.map((turn, at) => turnRow(item, turn, at + 1)));
  list.classList.toggle("timed", item.turns.some((turn) => typeof turn.start === "number"));
  scroll.scrollTop = 0;
  if (item.speakers.length) {
    speakers.replaceChildren(...item.speakers.map((speaker) => speakerField(item, speaker)));
  } else {
    speakers.replaceChildren(
      make("p", { className: "hint" }, made("span", {}, "no speakers"), " ", made("span", {}, "not split")),
    );
  }
  showNames();
}

/** Show the names of the speakers in the turns. */
export function showNames() {
  const item = store.shown();
  if (!item) return;
  for (const name of list.querySelectorAll("[data-speaker]")) name.textContent = nameOf(item, name.dataset.speaker);
}

/** Mark the turns of a part, and scroll to them; `from` is where "back to the summary" leads. */
export function mark(part, from, focus) {
  unmark();
  back = from;
  const rows = [...list.children].slice(part.first - 1, part.last);
  if (!rows.length) return;
  for (const row of rows) row.classList.add("marked");
  rows[0].classList.add("first");
  rows.at(-1).classList.add("last");
  say(byId("shown-which"), "shown part", rangeOf(part));
  strip.hidden = false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const behavior = calm ? "auto" : "smooth";
  // Not scrollIntoView of the row: it would also move the page where both are visible.
  const inside = rows[0].getBoundingClientRect().top - scroll.getBoundingClientRect().top + scroll.scrollTop;
  scroll.scrollTo({ top: Math.max(0, inside - 12), behavior });
  byId("source").scrollIntoView({ block: "nearest", behavior });
  if (focus) scroll.focus({ preventScroll: true });
}

export function unmark() {
  for (const row of list.querySelectorAll(".marked")) row.classList.remove("marked", "first", "last");
  strip.hidden = true;
  back = null;
}

byId("unmark").addEventListener("click", () => {
  const from = back;
  unmark();
  if (from?.isConnected) from.focus({ preventScroll: true });
});
byId("to-summary").addEventListener("click", () => {
  if (!back?.isConnected) return;
  back.scrollIntoView({ block: "center" });
  back.focus({ preventScroll: true });
});
