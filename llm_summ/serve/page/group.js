// The summaries of one dialogue: one, or two side by side.

import { icon, make } from "./dom.js";
import * as feedback from "./feedback.js";
import { made } from "./language.js";
import { showProblem } from "./problem.js";

export class Group {
  /** `several`: whether there are other dialogues, so that this one's id is shown; `select` shows the dialogue. */
  constructor({ item, cards, several, select }) {
    Object.assign(this, { item, cards });
    const title = make("button", { type: "button", className: "quiet id" }, item.id);
    title.addEventListener("click", select);
    this.stale = made("p", { className: "stale", hidden: true }, "stale");
    this.pair = make("div", { className: cards.length > 1 ? "cards two" : "cards" }, ...cards.map((card) => card.element));
    this.question = make("div", { className: "question", hidden: true });
    this.element = make(
      "section",
      { className: "group" },
      several && make("h3", {}, title),
      this.stale,
      this.pair,
      this.question,
    );
  }

  get isEmpty() {
    return this.cards.every((card) => !card.isDone && !card.raw.size);
  }

  /** Ask which of two is better, once both are finished and differ. */
  askWhich() {
    const [one, other] = this.cards;
    if (!other || !feedback.wanted() || !this.cards.every((card) => card.isDone)) return;
    if (one.text === other.text || !this.question.hidden) return;
    if (!this.cards.every((card) => feedback.isOfOnePrompt(card.summary))) return;
    this.question.replaceChildren(made("p", { className: "hint" }, "better about"));
    this.question.hidden = false;
    for (const [card, rival] of [this.cards, [other, one]]) {
      const button = make("button", { type: "button", className: "better" }, icon("better"), made("span", {}, "better"));
      button.addEventListener("click", () => this.prefer(card, rival));
      card.buttons.append(button);
    }
  }

  async prefer(card, rival) {
    const buttons = [...this.pair.querySelectorAll(".better")];
    for (const button of buttons) button.disabled = true;
    try {
      await card.keep("better", card.summary.summary, rival.summary.summary);
    } catch (error) {
      for (const button of buttons) button.disabled = false;
      if (error.status === undefined) throw error;
      const problem = make("div", { className: "problem", role: "alert" });
      showProblem(problem, error, () => this.prefer(card, rival));
      this.question.replaceChildren(problem);
      return;
    }
    for (const button of buttons) button.remove();
    card.element.classList.add("chosen");
    card.element.querySelector("header").append(icon("check"));
    this.question.replaceChildren(made("p", { className: "hint", role: "status" }, "kept"));
  }
}
