// One summary: it grows while the model writes, and gets its final text, notes and buttons at the end.

import { tagNames } from "./dialogues.js";
import { icon, make } from "./dom.js";
import { editButton } from "./editing.js";
import * as feedback from "./feedback.js";
import { made, say, sayAs } from "./language.js";
import { showProblem } from "./problem.js";
import { copyText, saveText } from "./save.js";
import { characters, rangeOf } from "./times.js";

/** Return a text as nodes, with tags of speakers that the dialogue does not have marked. */
function withMarks(text, tags) {
  if (!tags?.length) return [text];
  const pieces = [];
  let rest = text;
  for (;;) {
    const found = tags.map((tag) => [rest.indexOf(tag), tag]).filter(([at]) => at >= 0);
    if (!found.length) return [...pieces, rest];
    const [at, tag] = found.reduce((one, other) => (other[0] < one[0] ? other : one));
    pieces.push(rest.slice(0, at), make("span", { className: "odd" }, tag));
    rest = rest.slice(at + tag.length);
  }
}

/**
 * A summary of a dialogue with the settings of one side.
 *
 * `showPart(part, from, focus)` shows the turns of a part.
 */
export class Card {
  constructor({ item, side, request, names, several, showPart }) {
    Object.assign(this, { item, side, request, names, showPart, several });
    this.tags = tagNames(item, names);
    this.summary = null; // as the service sends it at the end; the user's corrections are written into it
    this.raw = new Map(); // by part, the text that has come so far
    this.blocks = new Map(); // by part, its element
    this.status = make("span", { className: "status", role: "status" });
    this.body = make("div", { className: "body" });
    this.body.setAttribute("aria-live", "polite");
    this.notes = make("ul", { className: "notes" });
    this.buttons = make("div", { className: "tools" });
    const letter = several && make("span", { className: "letter" }, side);
    const name = say(make("span", { className: "name" }), "side settings", request);
    this.element = make(
      "article",
      { className: "card", data: { side } },
      make("header", {}, letter, name, this.status),
      this.body,
      this.notes,
      make("footer", {}, this.buttons),
    );
    this.begin();
  }

  /** Begin again, with nothing. */
  begin() {
    this.summary = null;
    this.failed = false; // this dialogue alone has an error: the request continues
    this.raw.clear();
    this.blocks.clear();
    this.body.replaceChildren();
    this.notes.replaceChildren();
    this.buttons.replaceChildren();
    this.setState("waiting");
    const best = this.request.best_of;
    if (best) say(this.status, "card choosing", best);
  }

  setState(state) {
    this.element.dataset.state = state;
    if (state === "writing" || state === "waiting") this.body.setAttribute("aria-busy", "true");
    else this.body.removeAttribute("aria-busy");
    if (state !== "done") say(this.status, `card ${state}`);
  }

  get isDone() {
    return this.summary !== null;
  }

  /** Return the block of a part, which is made when it is needed; the blocks are in the order of the parts. */
  block(part) {
    if (!this.blocks.has(part)) {
      const element = make("div", { className: "block" }, make("p", { className: "text" }));
      const later = [...this.blocks].filter(([other]) => other > part).sort(([one], [other]) => one - other)[0];
      if (later) later[1].before(element);
      else this.body.append(element);
      this.blocks.set(part, element);
    }
    return this.blocks.get(part);
  }

  /** Add a piece of text as it comes; pieces without a part belong to the merged summary. */
  add(part, piece) {
    if (this.element.dataset.state !== "writing") this.setState("writing");
    const key = part ?? Infinity;
    if (key === Infinity) say(this.status, "card merging");
    this.raw.set(key, (this.raw.get(key) ?? "") + piece);
    this.block(key).querySelector(".text").textContent = this.readable(this.raw.get(key).trimStart());
  }

  /** Return a text that is not finished, with names in place of tags, and without a tag that has only begun. */
  readable(text) {
    const named = this.request.speakers === "keep" ? new Map() : this.tags;
    return text.replace(/#[A-Za-z]*\d*$/, "").replace(/#Person\d+#/g, (tag) => named.get(tag) ?? tag);
  }

  /** Show the finished text of a part. */
  addPart(part) {
    if (this.element.dataset.state !== "writing") this.setState("writing");
    this.block(part.part).replaceWith(this.blocks.set(part.part, this.partBlock(part)).get(part.part));
  }

  isWhole(part) {
    return part.first === 1 && part.last === this.item.turns.length;
  }

  /** Return a finished part, with a button that shows its turns. */
  partBlock(part, tags = []) {
    const text = make("p", { className: "text" }, ...withMarks(part.text, tags));
    if (!part.text.trim()) text.append(made("span", { className: "hint" }, "card empty"));
    if (this.isWhole(part)) return make("div", { className: "block" }, text);
    const range = rangeOf(part);
    const button = made("button", { type: "button", className: "range", data: { first: part.first } }, "part turns", range);
    sayAs(button, "aria-label", "part show", range);
    button.addEventListener("click", () => this.showPart(part, button, true));
    text.classList.add("leads");
    text.addEventListener("click", () => {
      if (getSelection().isCollapsed) this.showPart(part, button, false);
    });
    const head = make("div", { className: "part-head" }, button);
    if (part.finish_reason === "length") head.append(made("span", { className: "chip" }, "part cut off"));
    return make("div", { className: "block part" }, head, text);
  }

  /** Show the finished summary. */
  finish(summary) {
    this.summary = summary;
    const parts = summary.parts ?? [];
    const listed = summary.is_listed && parts.length > 1;
    if (listed) {
      this.body.replaceChildren(...parts.map((part, number) => this.editable(this.partBlock(part, summary.unsupported), number)));
    } else {
      const text = make("p", { className: "text" }, ...withMarks(summary.summary, summary.unsupported));
      if (!summary.summary.trim()) text.append(made("span", { className: "hint" }, "card empty"));
      this.body.replaceChildren(make("div", { className: "block" }, text));
      if (parts.length > 1) this.body.append(this.mergedParts(parts));
    }
    this.setState("done");
    say(this.status, "card done", characters(this.text), summary.tokens);
    this.addNotes(summary);
    this.addButtons(listed);
  }

  mergedParts(parts) {
    return make(
      "details",
      { className: "merged" },
      made("summary", {}, "parts of", parts.length),
      ...parts.map((part) => this.partBlock(part, this.summary.unsupported)),
    );
  }

  addNotes(summary) {
    const note = (key, ...values) => this.notes.append(made("li", {}, key, ...values));
    if (summary.finish_reason === "length" && !summary.is_listed) note("cut off");
    const divided = [...new Set((summary.parts ?? []).flatMap((part) => part.divided ?? []))];
    if (divided.length) note("divided", divided.join(", "));
    if (Object.keys(summary.masked ?? {}).length) note("masked counts", summary.masked);
    if (summary.unsupported?.length) note("unsupported", summary.unsupported.join(", "));
    if (summary.unresolved?.length) note("unresolved", summary.unresolved.join(", "));
  }

  /** The text of the whole summary, with the turns of its parts if it is a list. */
  get text() {
    const parts = this.summary.parts ?? [];
    if (!this.summary.is_listed || parts.length < 2) return this.summary.summary;
    return parts.map((part) => `[${rangeOf(part)}] ${part.text}`).join("\n");
  }

  addButtons(listed) {
    const copy = make("button", { type: "button", className: "quiet copy" }, icon("copy"), made("span", {}, "copy"));
    copy.addEventListener("click", async () => {
      const worked = await copyText(this.text);
      say(copy.lastElementChild, worked ? "copied" : "copy failed");
      setTimeout(() => say(copy.lastElementChild, "copy"), 2000);
    });
    const save = make("button", { type: "button", className: "quiet save" }, icon("save"), made("span", {}, "save"));
    save.addEventListener("click", () => {
      const letter = this.several ? `.${this.side}` : "";
      saveText(`${this.item.id}${letter}.summary.txt`, `${this.text}\n`);
    });
    this.buttons.replaceChildren(copy, save);
    if (!listed && feedback.isOfOnePrompt(this.summary)) this.editable(this.body.firstElementChild, null, this.buttons);
  }

  /** Let the user correct the part of a number, or the whole summary if it is null. */
  editable(block, number, buttons = block.querySelector(".part-head")) {
    if (!feedback.wanted()) return block;
    const part = number === null ? null : this.summary.parts[number];
    const text = block.querySelector(".text");
    const button = editButton({
      text,
      read: () => (part ? part.text : this.summary.summary),
      keep: (chosen, rejected) => this.keep("edited", chosen, rejected, number),
      write: (corrected) => {
        if (part) part.text = corrected;
        else this.summary.summary = corrected;
        text.replaceChildren(...withMarks(corrected, this.summary.unsupported));
        say(this.status, "kept");
      },
    });
    buttons.append(button);
    return block;
  }

  /** Store a preference for training. */
  keep(kind, chosen, rejected, part = null) {
    return feedback.keep({ kind, request: this.request, names: this.names, item: this.item, part, chosen, rejected });
  }

  /** Keep what has come, and say that the rest will not. */
  end(state) {
    if (!this.isDone) this.setState(state);
  }

  /** Show why this dialogue alone was not summarised. */
  fail(error) {
    this.failed = true;
    this.setState("failed");
    const box = make("div", { className: "problem", role: "alert" });
    showProblem(box, error);
    this.body.replaceChildren(box);
  }
}
