// A summary that the user corrects, and keeps for training.

import { icon, make } from "./dom.js";
import { made, sayAs } from "./language.js";
import { showProblem } from "./problem.js";

/**
 * Return a button that turns a text into a field.
 *
 * `text` is the element with the text, `read` returns the text, `keep(new, old)` stores it, and `write` shows it.
 */
export function editButton({ text, read, keep, write }) {
  const button = make("button", { type: "button", className: "quiet edit" }, icon("edit"), made("span", {}, "edit"));
  button.addEventListener("click", () => {
    button.hidden = true;
    open({ text, read, keep, write, button });
  });
  return button;
}

function open({ text, read, keep, write, button }) {
  const field = sayAs(make("textarea", { className: "edited", value: read(), rows: 4 }), "aria-label", "edit field");
  const done = make("button", { type: "button" }, made("span", {}, "edit keep"));
  const cancel = make("button", { type: "button", className: "quiet" }, made("span", {}, "cancel"));
  const problem = make("div", { className: "problem", hidden: true, role: "alert" });
  const form = make(
    "div",
    { className: "editing" },
    field,
    made("p", { className: "hint" }, "edit about"),
    problem,
    make("div", { className: "actions" }, done, cancel),
  );
  const close = () => {
    form.remove();
    text.hidden = false;
    button.hidden = false;
    button.focus();
  };
  const changed = () => field.value.trim() && field.value.trim() !== read().trim();
  done.disabled = true;
  field.addEventListener("input", () => (done.disabled = !changed()));
  cancel.addEventListener("click", close);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) close();
  });
  const store = async () => {
    done.disabled = true;
    try {
      await keep(field.value.trim(), read());
    } catch (error) {
      done.disabled = false;
      if (error.status === undefined) throw error;
      showProblem(problem, error, store);
      return;
    }
    write(field.value.trim());
    close();
  };
  done.addEventListener("click", store);
  text.hidden = true;
  text.after(form);
  field.focus();
}
