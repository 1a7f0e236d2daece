// The key of the service: asked for when a request is refused, kept until the tab is closed.

import { byId } from "./dom.js";
import { say } from "./language.js";
import { recall, remember } from "./memory.js";

const KEPT = "llm-summ.key";
const dialog = byId("key");
const field = byId("key-field");
let asking = null; // requests that are refused at the same time share a question

export const keptKey = () => recall(KEPT, "sessionStorage") ?? "";

/** Ask for the key, and return whether there is one to try. */
export function askKey(wrong) {
  asking ??= new Promise((resolve) => {
    say(byId("key-why"), wrong ? "key wrong" : "key why");
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        const key = field.value.trim();
        field.value = "";
        const given = dialog.returnValue === "use" && key !== "";
        if (given) remember(KEPT, key, "sessionStorage");
        resolve(given);
      },
      { once: true },
    );
    dialog.showModal();
    field.focus();
  });
  return asking;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  // Other signs cannot be in a header, so no key has them.
  if (/^[\x21-\x7e]+$/.test(field.value.trim())) dialog.close("use");
  else say(byId("key-why"), "key wrong");
});
byId("key-cancel").addEventListener("click", () => dialog.close());
