// Which of two summaries is better, and corrected summaries: kept by the service, if it was started to do so.

import { post } from "./api.js";
import { asRequest } from "./dialogues.js";

let on = false;

export const wanted = () => on;

/** Say whether the service keeps feedback. */
export function allow(kept) {
  on = kept;
}

/**
 * Store that one text is better than another, as summaries of a dialogue or of a part of it.
 *
 * `request` is what the summary was asked for with; `names` are those of the dialogue.
 */
export function keep({ kind, request, names, item, part = null, chosen, rejected }) {
  const { model, prompt, length, speakers, mask } = request;
  const { turns } = part ? asRequest(item, part.first, part.last) : asRequest(item);
  const options = { model, prompt, length, speakers, mask, ...(Object.keys(names).length && { names }) };
  return post("v1/feedback", { ...options, dialogue: { turns }, chosen, rejected, kind });
}
