// Models, prompts and lengths, for one side or for two.

import { get } from "./api.js";
import { byId, make } from "./dom.js";
import { made, say, sayAs } from "./language.js";

/** Tells when a setting changed. */
export const changes = new EventTarget();

const CANDIDATES = [1, 4, 8, 16];
const FOR_CHAT = ["chat", "meeting", "call"]; // prompts that the page can describe
const WORDS = ["short", "medium", "long"]; // of a length
const AGAIN = 2000; // milliseconds until models that are starting are asked for again

const columns = { A: byId("column-a"), B: byId("column-b") };
const fields = { A: {}, B: {} };
const compare = byId("compare");
const tags = byId("tags");
const candidates = byId("candidates");
let models = [];
let tagsChosen = false; // whether the user touched the switch

for (const side of ["A", "B"]) {
  for (const name of ["model", "prompt", "length"]) {
    const select = make("select", { data: { name, side } });
    const caption = make("span");
    say(caption, name);
    columns[side].append(make("label", { className: `field ${name}` }, caption, select));
    fields[side][name] = select;
    select.addEventListener("change", () => {
      if (name === "model") fill(side);
      allowLength(side);
      showTags();
      changed();
    });
  }
}
candidates.append(
  ...CANDIDATES.map((number) =>
    number === 1
      ? made("option", { value: "1" }, "candidates one")
      : made("option", { value: number }, "candidates best", number),
  ),
);

const modelOf = (side) => models.find((model) => model.id === fields[side].model.value);

/** Return the sides in use: A, or A and B. */
export const sides = () => (compare.checked ? ["A", "B"] : ["A"]);

/** Return what a request of one side asks for. */
export function choices(side) {
  const { model, prompt, length } = fields[side];
  const size = length.value;
  return {
    model: model.value,
    ...(prompt.value && { prompt: prompt.value }),
    ...(size && { length: WORDS.includes(size) ? size : Number(size) }),
    ...(candidates.value !== "1" && { best_of: Number(candidates.value) }),
    long: byId("long").value,
    ...handling(),
  };
}

/** Return how speakers and personal data are handled, which is the same for both sides. */
export function handling() {
  return {
    ...(tagsChosen && { speakers: tags.checked ? "tags" : "keep" }),
    ...(byId("mask").checked && { mask: true, unmask: byId("unmask").checked }),
  };
}

/** Fill a list, and keep what was chosen if it is still there. */
function options(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries);
  select.value = before;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function promptOption(name) {
  const option = make("option", { value: name }, name);
  return FOR_CHAT.includes(name) ? say(option, "prompt option", name, `prompt ${name}`) : option;
}

/** Fill in what the chosen model offers. */
function fill(side) {
  const model = modelOf(side);
  const { prompt, length } = fields[side];
  options(prompt, [
    made("option", { value: "" }, "prompt default", model?.default_prompt ?? ""),
    ...(model?.prompts ?? []).filter((name) => name !== model.default_prompt).map(promptOption),
  ]);
  const lengths = model?.lengths ?? [];
  options(length, [
    made("option", { value: "" }, "length default"),
    ...(lengths.length ? WORDS : []).map((word) => made("option", { value: word }, `length ${word}`)),
    ...lengths.map((number) => made("option", { value: number }, "length number", number)),
  ]);
  allowLength(side);
  showTags();
}

/** Show what the service does about speakers, as long as the user does not choose. */
function showTags() {
  if (!tagsChosen) tags.checked = modelOf("A")?.speakers === "tags" && fields.A.prompt.value === "";
}

/** Only a model's own prompt asks for a length, if it was trained with one. */
function allowLength(side) {
  const { prompt, length } = fields[side];
  length.disabled = length.options.length < 2 || prompt.value !== "";
  if (length.disabled) length.value = "";
  sayAs(length, "title", length.disabled ? "length none" : "length");
}

/** Let the second side begin with something else than the first: another model, prompt or length. */
function suggestOther() {
  const [a, b] = [fields.A, fields.B];
  const other = models.find((model) => model.id !== a.model.value && (model.state ?? "ready") === "ready");
  b.model.value = other ? other.id : a.model.value;
  fill("B");
  if (other) return;
  for (const name of ["prompt", "length"]) {
    const value = [...b[name].options].map((option) => option.value).find((one) => one !== a[name].value);
    b[name].value = value ?? a[name].value;
    allowLength("B");
    if (value !== undefined) return;
  }
}

function showColumns() {
  columns.B.hidden = !compare.checked;
  byId("columns").classList.toggle("two", compare.checked);
  for (const column of Object.values(columns)) column.firstElementChild.hidden = !compare.checked;
}

function showState() {
  const line = byId("state");
  const used = sides().map(modelOf).filter(Boolean);
  const starting = used.find((model) => model.state && model.state !== "ready");
  const isSame = compare.checked && JSON.stringify(choices("A")) === JSON.stringify(choices("B"));
  line.hidden = !starting && !isSame;
  if (isSame) say(line, "same sides");
  if (starting) say(line, `state ${starting.state === "down" ? "down" : "starting"}`, starting.id);
}

function changed() {
  showState();
  changes.dispatchEvent(new Event("change"));
}

/** Ask for the models, and again while one of them is not ready. */
export async function loadModels() {
  models = (await get("v1/models")).data;
  for (const side of ["A", "B"]) {
    options(fields[side].model, models.map((model) => make("option", { value: model.id }, model.id)));
    fill(side);
  }
  changed();
  if (models.some((model) => model.state && model.state !== "ready")) setTimeout(refresh, AGAIN);
}

async function refresh() {
  try {
    if (document.visibilityState === "visible") await loadModels();
    else setTimeout(refresh, AGAIN);
  } catch {
    setTimeout(refresh, AGAIN);
  }
}

compare.addEventListener("change", () => {
  if (compare.checked) suggestOther();
  showColumns();
  changed();
});
tags.addEventListener("change", () => {
  tagsChosen = true;
  changed();
});
byId("mask").addEventListener("change", () => {
  byId("unmask-label").hidden = !byId("mask").checked;
  changed();
});
for (const name of ["unmask", "long", "candidates"]) byId(name).addEventListener("change", changed);
