// An error in words: what happened, what to do, and a button to try again.

import { icon, make } from "./dom.js";
import { made, say } from "./language.js";

const KNOWN = new Set([0, 400, 401, 403, 404, 413, 429, 503, 504]);
const HOPELESS = new Set([400, 403, 413]); // the same request fails again

/**
 * Fill an element with an error.
 *
 * The service's own line is in English and has the details. With `retry`, there is a button; if the service says how
 * long to wait, the button counts down to then.
 */
export function showProblem(element, error, retry = null) {
  const key = error.key ?? `problem ${KNOWN.has(error.status) ? error.status : error.status === 422 ? 400 : "other"}`;
  const texts = make("div", { className: "texts" }, made("p", {}, key));
  if (error.message) texts.append(make("p", { className: "detail", lang: "en" }, error.message));
  element.replaceChildren(icon("warning"), texts);
  element.hidden = false;
  if (!retry || HOPELESS.has(error.status)) return;
  const text = made("span", {}, "retry");
  const button = make("button", { type: "button", className: "retry" }, icon("retry"), text);
  button.addEventListener("click", retry);
  texts.append(button);
  if (error.retryAfter) countDown(button, text, error.retryAfter);
}

function countDown(button, text, seconds) {
  button.disabled = seconds > 0;
  if (seconds > 0) say(text, "retry in", seconds);
  else say(text, "retry");
  if (seconds > 0) {
    setTimeout(() => {
      if (button.isConnected) countDown(button, text, seconds - 1);
    }, 1000);
  }
}

export function hideProblem(element) {
  element.hidden = true;
  element.replaceChildren();
}
