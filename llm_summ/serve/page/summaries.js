// Asks for summaries and shows them as they come: one stream for each side.

import { ApiError, events } from "./api.js";
import { Card } from "./card.js";
import * as store from "./dialogues.js";
import { byId, make } from "./dom.js";
import { Group } from "./group.js";
import { figure, say } from "./language.js";
import { hideProblem, showProblem } from "./problem.js";
import { asCsv, saveText } from "./save.js";
import * as settings from "./settings_view.js";
import { readAll, showTurnsOf } from "./source_view.js";
import { mark } from "./turns_view.js";

const AT_ONCE = 20; // empty cards that are shown before anything has come

const groups = new Map(); // by dialogue, its summaries
const place = byId("groups");
const problems = byId("problems");
const running = new Map(); // the AbortControllers of the streams, with their dialogues
let run = { total: 0, done: 0, started: 0 }; // what was asked for last

/** Summarise the dialogue that is shown, or all of them. */
export async function summarise() {
  if (running.size) return;
  const items = await readAll();
  if (items === null) return;
  if (!items.length) {
    showProblem(byId("read-problem"), { key: "nothing to do" });
    byId("text").focus();
    return;
  }
  const wanted = byId("all").checked && items.length > 1 ? [...items] : [store.shown()];
  const requests = settings.sides().map((side) => [side, settings.choices(side)]);
  problems.replaceChildren();
  forgetRemarks();
  for (const item of wanted) drop(item);
  run = { total: wanted.length * requests.length, done: 0, started: performance.now() };
  const jobs = wanted.map((item) => ({ item, requests, key: keyOf(item) }));
  for (const job of jobs.slice(0, AT_ONCE)) groupOf(job);
  byId("empty").hidden = true;
  revealResults();
  await Promise.all(requests.map(([side]) => runSide(side, jobs)));
}

export function stop() {
  for (const controller of running.keys()) controller.abort();
}

/** Return what a summary depends on and the user may change without seeing that it does. */
function keyOf(item) {
  return JSON.stringify([item.names, settings.handling()]);
}

function drop(item) {
  groups.get(item)?.element.remove();
  groups.delete(item);
}

/** Return the group of a dialogue, which is made when it is needed; groups are in the order of the dialogues. */
function groupOf({ item, requests, key }) {
  if (groups.has(item)) return groups.get(item);
  const cards = requests.map(
    ([side, request]) =>
      new Card({
        item,
        side,
        request,
        names: { ...item.names },
        several: requests.length > 1,
        showPart: (part, from, focus) => {
          showTurnsOf(item);
          mark(part, from, focus);
        },
      }),
  );
  const several = store.dialogues().length > 1;
  const group = new Group({ item, cards, several, select: () => showTurnsOf(item) });
  group.key = key;
  groups.set(item, group);
  const order = store.dialogues();
  const later = [...place.children].find((element) => order.indexOf(element.item) > order.indexOf(item));
  group.element.item = item;
  place.insertBefore(group.element, later ?? null);
  return group;
}

const cardOf = (side, job) => groupOf(job).cards.find((card) => card.side === side);

/** Return the dialogues of a request each: names belong to a request, and dialogues may have different ones. */
function byNames(jobs) {
  const found = new Map();
  for (const job of jobs) {
    const names = JSON.stringify(job.item.names);
    found.set(names, [...(found.get(names) ?? []), job]);
  }
  return [...found.values()];
}

async function runSide(side, jobs) {
  const controller = new AbortController();
  running.set(
    controller,
    jobs.map((job) => job.item),
  );
  showRunning();
  const box = make("div", { className: "problem", role: "alert", hidden: true, data: { side } });
  problems.append(box);
  try {
    for (const same of byNames(jobs)) await stream(side, same, controller.signal);
  } catch (error) {
    const stopped = error.name === "AbortError";
    if (!stopped && error.status === undefined) throw error;
    const left = jobs.filter(({ item }) => store.dialogues().includes(item) && !isAnswered(side, item));
    for (const job of left) if (groups.has(job.item)) cardOf(side, job).end(stopped ? "stopped" : "failed");
    if (stopped) {
      for (const { item } of jobs.length > 1 ? left : []) if (groups.get(item)?.isEmpty) drop(item);
      return;
    }
    if (error.status === 503) settings.loadModels().catch(() => {}); // which shows that it starts, and when it is ready
    showProblem(box, error, () => {
      box.remove();
      run.started = performance.now();
      for (const job of left) if (groups.has(job.item)) cardOf(side, job).begin();
      runSide(side, left);
    });
  } finally {
    running.delete(controller);
    if (box.hidden) box.remove();
    showRunning(controller.signal.aborted);
  }
}

function isAnswered(side, item) {
  const card = groups.get(item)?.cards.find((one) => one.side === side);
  return Boolean(card) && (card.isDone || card.failed);
}

async function stream(side, jobs, signal) {
  const [{ item, requests }] = jobs;
  const [, request] = requests.find(([name]) => name === side);
  const body = {
    ...request,
    ...(Object.keys(item.names).length && { names: item.names }),
    dialogues: jobs.map((job) => store.asRequest(job.item)),
  };
  let finished = false;
  for await (const [name, data] of events("v1/summaries", body, signal)) {
    signal.throwIfAborted(); // some events may have come before
    if (name === "error" && data.dialogue === undefined) throw fromStream(data);
    if (name === "done") {
      finished = true;
      remark(data.notices ?? []);
    }
    if (!["delta", "part", "summary", "error"].includes(name)) continue;
    const job = jobs[data.dialogue];
    const card = cardOf(side, job);
    if (name === "delta") card.add(data.part, data.text);
    else if (name === "part") card.addPart(data);
    else if (name === "error") card.fail(fromStream(data));
    else {
      card.finish(data);
      groupOf(job).askWhich();
    }
    if (name === "summary" || name === "error") run.done++;
    showProgress();
  }
  if (!finished) throw Object.assign(new ApiError(0, ""), { key: "problem stream" });
}

function fromStream({ error, retry_after: retryAfter = null }) {
  const known = { engine_down: 503, engine_starting: 503, timeout: 504, invalid_input: 400 };
  return new ApiError(known[error.code] ?? 500, error.message, { code: error.code, retryAfter });
}

/** Show the service's remarks, such as that turns were left out. */
function remark(lines) {
  const list = byId("remarks");
  const before = [...list.children].map((line) => line.textContent);
  list.append(...lines.filter((line) => !before.includes(line)).map((line) => make("li", {}, line)));
  list.hidden = !list.children.length;
}

function forgetRemarks() {
  byId("remarks").replaceChildren();
  byId("remarks").hidden = true;
}

// ---------------------------------------------------------------- the state of it all

function showRunning(stopped = false) {
  const busy = running.size > 0;
  const [start, end] = [byId("summarise"), byId("stop")];
  const focused = document.activeElement;
  start.hidden = busy;
  end.hidden = !busy;
  if (busy && focused === start) end.focus();
  if (!busy && (focused === end || focused === start)) start.focus();
  byId("results").dataset.state = busy ? "running" : "still";
  if (!busy) say(byId("announce"), stopped ? "stopped" : problems.querySelector(".problem:not([hidden])") ? "card failed" : "finished");
  showProgress();
}

function showProgress() {
  const finished = [...groups.values()].filter((group) => group.cards.some((card) => card.isDone));
  const seconds = (performance.now() - run.started) / 1000;
  if (groups.size && run.total) say(byId("progress"), "progress", run.done, run.total, figure(seconds, 1));
  byId("batch").hidden = finished.length < 2;
}

/** On a small screen the summary may be below the fold. */
function revealResults() {
  const results = byId("results");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (results.getBoundingClientRect().top > innerHeight - 120) {
    results.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  }
}

store.changes.addEventListener("change", ({ detail }) => {
  const items = store.dialogues();
  if (detail === "dialogues") {
    for (const [controller, used] of running) if (used.some((item) => !items.includes(item))) controller.abort();
    for (const item of [...groups.keys()]) if (!items.includes(item)) drop(item);
    byId("empty").hidden = groups.size > 0;
    if (!groups.size) {
      forgetRemarks();
      problems.replaceChildren();
      byId("progress").textContent = "";
      delete byId("progress").dataset.said;
    }
    byId("all-label").hidden = items.length < 2;
    byId("all").checked &&= items.length > 1;
    say(byId("all-words"), "all", items.length);
    hideProblem(byId("read-problem"));
    showProgress();
  }
  showStale();
});
settings.changes.addEventListener("change", showStale);

function showStale() {
  for (const group of groups.values()) group.stale.hidden = group.key === keyOf(group.item);
}

// ---------------------------------------------------------------- all summaries in one file

function saveAll(kind) {
  const order = store.dialogues();
  const all = [...groups.values()].sort((one, other) => order.indexOf(one.item) - order.indexOf(other.item));
  const sides = [...new Set(all.flatMap((group) => group.cards.map((card) => card.side)))];
  if (kind === "csv") {
    const cell = (group, side) => {
      const card = group.cards.find((one) => one.side === side);
      return card?.isDone ? card.text : "";
    };
    const head = ["fname", ...(sides.length > 1 ? sides.map((side) => `summary_${side}`) : ["summary"])];
    const rows = all.map((group) => [group.item.id, ...sides.map((side) => cell(group, side))]);
    saveText("summaries.csv", asCsv([head, ...rows]), "text/csv");
  } else {
    const cards = all.flatMap((group) => group.cards).filter((card) => card.isDone);
    const rows = cards.map((card) => ({ ...card.summary, settings: card.request, names: card.names }));
    saveText("summaries.json", `${JSON.stringify(rows, null, 2)}\n`, "application/json");
  }
}

byId("save-csv").addEventListener("click", () => saveAll("csv"));
byId("save-json").addEventListener("click", () => saveAll("json"));
