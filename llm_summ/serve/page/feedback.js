// Which of two summaries is better, and corrected summaries: kept by the service, if it was started to do so.

import { post } from "./api.js";
import { asRequest } from "./dialogues.js";

// What the service needs to make the prompt of a summary again.
const FIELDS = ["model", "prompt", "length", "long", "speakers", "mask"];

let on = false;

export const wanted = () => on;

/** Say whether the service keeps feedback. */
export function allow(kept) {
  on = kept;
}

/** Return whether one prompt led to the text of a summary: that of parts was listed or merged. */
export const isOfOnePrompt = (summary) => (summary.parts ?? []).length < 2;

/**
 * Store that one text is better than another, as summaries of a dialogue or of a part of it.
 *
 * `request` is what the summary was asked for with; `names` are those of the dialogue; `part` is the number of a part.
 */
export function keep({ kind, request, names, item, part = null, chosen, rejected }) {
  const options = Object.fromEntries(FIELDS.filter((field) => field in request).map((field) => [field, request[field]]));
  const others = { ...(part !== null && { part }), ...(Object.keys(names).length && { names }) };
  return post("v1/feedback", { ...options, ...others, dialogue: asRequest(item), chosen, rejected, kind });
}
