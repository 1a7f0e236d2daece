// The rows of the page: filtered, sorted, and rendered when they are opened. The user's choices are in the address
// after "#", so that it can be saved and shared. Texts reach the page as text nodes only, never as HTML.
"use strict";

const { rows, flags: LABELS } = JSON.parse(document.getElementById("data").textContent);
const FIGURES = ["rouge1", "rouge2", "rougeL", "final"];
const METRICS = ["R-1", "R-2", "R-L"];
const AT_ONCE = 200; // rows in the list, until more are requested

const controls = document.getElementById("controls");
const list = document.getElementById("rows");
const more = document.getElementById("more");
const count = document.getElementById("count");

const opened = new Set(); // ids of the rows that are open
const chosen = new Map(); // by id, which reference the summary's marks are of, if not the one that fits best
let shown = []; // the rows that pass the filter, sorted
let limit = AT_ONCE;

// ---------------------------------------------------------------- small helpers

/** An element with properties and children; a child that is a string becomes a text node. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Return letters as they are compared: Hangul composed, in lower case. */
function plain(text) {
  return text.normalize("NFC").toLowerCase();
}

/** Return the searchable text of a row; made once, when it is needed. */
function haystack(row) {
  row.haystack ??= plain([row.id, dialogueOf(row), row.summary.text].join("\n"));
  return row.haystack;
}

/** Return the text of a dialogue, as it is in the file. */
function dialogueOf(row) {
  return row.turns.map((turn) => turn.join("")).join("\n");
}

/** Return the number of characters, as Python counts them. */
function characters(text) {
  return `${[...text].length.toLocaleString("ko")}자`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// ---------------------------------------------------------------- filter and sort

/** Return the values of the form; fields at their default are left out. */
function choices() {
  return new Map([...new FormData(controls)].filter(([, value]) => value !== ""));
}

function passes(row, wanted) {
  const final = row.scores[3];
  return (
    (!wanted.has("filter") || haystack(row).includes(plain(wanted.get("filter")))) &&
    (!wanted.has("min") || final >= Number(wanted.get("min"))) &&
    (!wanted.has("max") || final <= Number(wanted.get("max"))) &&
    (!wanted.has("topic") || row.topic === wanted.get("topic")) &&
    (!wanted.has("speakers") || String(row.speakers) === wanted.get("speakers")) &&
    (!wanted.has("flag") || Object.hasOwn(row.flags, wanted.get("flag")))
  );
}

/** Return the rows to show, in order; rows with equal values stay in the order of the file. */
function select(wanted) {
  const found = rows.filter((row) => passes(row, wanted));
  const down = wanted.get("order") === "down";
  if (!wanted.has("sort")) return down ? found.reverse() : found;
  const place = FIGURES.indexOf(wanted.get("sort"));
  const value = place < 0 ? (row) => row.ratio : (row) => row.scores[place];
  return found.sort((one, other) => (down ? value(other) - value(one) : value(one) - value(other)));
}

// ---------------------------------------------------------------- marks

/** Return where the words of a text begin and end. */
function spans(text) {
  const found = [];
  let at = 0;
  for (let word = 0; word < text.words.length; word += 2) {
    at += text.words[word];
    found.push([at, at + text.words[word + 1]]);
    at += text.words[word + 1];
  }
  return found;
}

/**
 * Return the stretches of a text to be marked: [start, end, whether the score counts it].
 *
 * A base-27 digit for each word has the states of the three metrics. For bigrams it is the state of the word's pair
 * with the next word: pairs that share a word are one stretch.
 */
function stretches(text, digits, show) {
  const power = { "": 1, 2: 3, L: 9 }[show];
  if (power === undefined) return [];
  const states = [...digits].map((digit) => Math.floor(parseInt(digit, 27) / power) % 3);
  const words = spans(text);
  const found = [];
  // Words that were counted before are painted first, and covered by words that count.
  for (const state of [2, 1]) {
    for (let first = 0; first < words.length; first++) {
      if (states[first] !== state) continue;
      let last = first;
      if (show === "2") {
        while (states[last] === state) last++;
      }
      found.push([words[first][0], words[last][1], state === 1]);
      first = Math.max(first, last - 1);
    }
  }
  return found;
}

/** Render a text with its marks and with its wrong tags. */
function marked(text, digits, show, tags) {
  const none = {};
  const kinds = new Array(text.text.length).fill(none);
  for (const [start, end, counts] of stretches(text, digits, show)) {
    kinds.fill({ mark: counts ? "counted" : "again" }, start, end);
  }
  const odd = new Array(text.text.length).fill(false);
  for (const tag of tags) {
    for (let at = text.text.indexOf(tag); at >= 0; at = text.text.indexOf(tag, at + tag.length)) {
      odd.fill(true, at, at + tag.length);
    }
  }
  const written = make("p", { className: "text" });
  let start = 0;
  for (let end = 1; end <= text.text.length; end++) {
    if (end < text.text.length && kinds[end] === kinds[start] && odd[end] === odd[start]) continue;
    const part = text.text.slice(start, end);
    const classes = [kinds[start].mark, odd[start] && "odd"].filter(Boolean).join(" ");
    written.append(classes ? make(kinds[start].mark ? "mark" : "span", { className: classes }, part) : part);
    start = end;
  }
  if (!text.text.trim()) written.append(make("span", { className: "empty" }, "(빈 요약)"));
  return written;
}

// ---------------------------------------------------------------- rows

function chips(row) {
  return Object.entries(row.flags).map(([flag, tags]) =>
    make("span", { className: "chip" }, [LABELS[flag], ...tags].join(" ")),
  );
}

function finalOf(reference) {
  return mean(reference.scores.map((figures) => figures[2]));
}

/** Return the reference that the summary fits best. */
function bestOf(row) {
  const finals = row.references.map(finalOf);
  return finals.indexOf(Math.max(...finals));
}

function chosenOf(row) {
  return chosen.get(row.id) ?? bestOf(row);
}

/** Choose one of a row's references; an index that it does not have does not change the choice. */
function choose(row, place) {
  if (place === bestOf(row)) chosen.delete(row.id);
  else if (place in row.references) chosen.set(row.id, place);
}

/** Return the turns of a dialogue, with the labels of their speakers. */
function turns(row) {
  const items = row.turns.map(([label, text]) => make("li", {}, make("b", {}, label), text));
  return make("ol", { className: "turns" }, ...items);
}

function pairTable(reference) {
  const head = make("tr", {}, make("th", { scope: "col" }), ...METRICS.map((name) => make("th", { scope: "col" }, name)));
  const lines = ["정밀도", "재현율", "F1"].map((name, at) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      ...reference.scores.map((figures) => make("td", {}, figures[at].toFixed(2))),
    ),
  );
  return make("table", { className: "pair" }, make("thead", {}, head), make("tbody", {}, ...lines));
}

function referenceBlock(row, place, show, body) {
  const reference = row.references[place];
  const label = make("label", {});
  const several = row.references.length > 1;
  if (several) {
    const radio = make("input", { type: "radio", name: `reference of ${row.id}`, checked: place === chosenOf(row) });
    radio.addEventListener("change", () => {
      choose(row, place);
      fill(row, body);
      body.querySelectorAll("input")[place].focus();
      remember();
    });
    label.append(radio);
  }
  label.append(make("strong", {}, several ? `정답 ${place + 1}` : "정답"), `최종 ${finalOf(reference).toFixed(2)} · ${characters(reference.text)}`);
  const lost = ["lost speakers", "lost masks"].flatMap((flag) => row.flags[flag] ?? []);
  return make(
    "div",
    { className: several && place === chosenOf(row) ? "reference chosen" : "reference" },
    label,
    marked(reference, reference.marks, show, lost),
    pairTable(reference),
  );
}

/** Render a row, or render it again. */
function fill(row, body) {
  const show = choices().get("show") ?? "";
  const place = chosenOf(row);
  const amiss = ["invented speakers", "invented masks", "broken tags"].flatMap((flag) => row.flags[flag] ?? []);
  const which = show === "none" || row.references.length === 1 ? "" : ` (정답 ${place + 1} 기준으로 표시)`;
  const left = make("section", {}, make("h3", {}, `대화 · ${characters(dialogueOf(row))}`));
  if (row.topic) left.append(make("p", { className: "topic" }, `주제: ${row.topic}`));
  left.append(turns(row));
  const right = make(
    "section",
    {},
    make("h3", {}, `요약 · ${characters(row.summary.text)}${which}`),
    ...chips(row),
    marked(row.summary, row.references[place].own, show, amiss),
    ...row.references.map((_, at) => referenceBlock(row, at, show, body)),
  );
  body.replaceChildren(left, right);
}

function headline(row) {
  const [one, two, longest, final] = row.scores.map((score) => score.toFixed(2));
  return make(
    "summary",
    {},
    make("span", { className: "id" }, row.id),
    make(
      "span",
      { className: "final" },
      final,
      make("meter", { min: 0, max: 100, value: row.scores[3], ariaHidden: "true" }),
    ),
    make("span", { className: "parts", title: "ROUGE-1, ROUGE-2, ROUGE-L" }, `${one} · ${two} · ${longest}`),
    make("span", { className: "ratio", title: "요약 길이 ÷ 정답 길이" }, `${row.ratio.toFixed(2)}배`),
    make("span", { className: "start" }, ...chips(row), row.summary.text.slice(0, 200)),
  );
}

/** Return a row of the list; its content is rendered when it is opened, and removed when it is closed. */
function entry(row) {
  const head = headline(row);
  const body = make("div", { className: "body" });
  const details = make("details", { open: opened.has(row.id) }, head, body);
  details.dataset.id = row.id;
  details.refresh = () => (details.open ? fill(row, body) : body.replaceChildren());
  details.refresh();
  // Not "toggle", which comes later: by then the list may be another one. Keys make clicks, too.
  head.addEventListener("click", (event) => {
    event.preventDefault();
    details.open = !details.open;
    if (details.open) opened.add(row.id);
    else opened.delete(row.id);
    details.refresh();
    remember();
  });
  return details;
}

// ---------------------------------------------------------------- the page

/** Write the choices into the address. */
function remember() {
  const kept = new URLSearchParams([...choices(), ...[...opened].map((id) => ["open", id])]);
  // The number comes first, as the page shows it: everything after the first colon is the id, colons included.
  for (const [id, place] of chosen) kept.append("reference", `${place + 1}:${id}`);
  history.replaceState(null, "", `#${kept}`);
}

/** Restore the choices from the address; choices that it lacks get their defaults. */
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  controls.reset();
  for (const [name, value] of kept) {
    const field = controls.elements.namedItem(name);
    if (field && name !== "open") field.value = value;
  }
  // A value that is not an option leaves a list without a choice.
  for (const field of controls.querySelectorAll("select")) {
    if (field.selectedIndex < 0) field.selectedIndex = 0;
  }
  if (!controls.querySelector("[name=show]:checked")) controls.elements.namedItem("show").value = "";
  opened.clear();
  for (const id of kept.getAll("open")) opened.add(id);
  chosen.clear();
  for (const text of kept.getAll("reference")) {
    const [number] = text.split(":", 1);
    const row = rows.find((one) => one.id === text.slice(number.length + 1));
    if (row) choose(row, Number(number) - 1);
  }
  refilter();
}

function refilter() {
  limit = AT_ONCE;
  shown = select(choices());
  const all = `${rows.length.toLocaleString("ko")}개`;
  const average = shown.length ? `, 최종 점수 평균 ${mean(shown.map((row) => row.scores[3])).toFixed(2)}` : "";
  count.textContent = `${all} 중 ${shown.length.toLocaleString("ko")}개${average}`;
  list.replaceChildren();
  extend();
}

/** Add the rows up to the limit that are not in the list yet. */
function extend() {
  list.append(...shown.slice(list.childElementCount, limit).map(entry));
  const rest = shown.length - list.childElementCount;
  more.hidden = rest <= 0;
  more.textContent = `더 보기 (${rest.toLocaleString("ko")}개 남음)`;
}

controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", (event) => {
  if (event.target.name === "show") {
    for (const details of list.children) details.refresh();
  } else {
    refilter();
  }
  remember();
});
document.getElementById("default").addEventListener("click", () => {
  controls.reset();
  refilter();
  remember();
});
more.addEventListener("click", () => {
  const first = list.childElementCount;
  limit += AT_ONCE;
  extend();
  list.children[first].querySelector("summary").focus();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address has the choices
  list.focus();
});
addEventListener("hashchange", recall);
recall();
