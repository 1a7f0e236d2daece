// The words of the page in two languages. What `say` writes changes with the language.

import { make } from "./dom.js";
import { recall, remember } from "./memory.js";
import { ENGLISH } from "./words_en.js";
import { KOREAN } from "./words_ko.js";

export const TABLES = { en: ENGLISH, ko: KOREAN };
const KEPT = "llm-summ.language";

const chosen = recall(KEPT);
let language = chosen in TABLES ? chosen : navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";

const written = new WeakMap(); // what `say` wrote: by element, a map from where it is to [key, values]

export const languageNow = () => language;

/** Return words of the language in use; entries that depend on values are functions. */
export function words(key, ...values) {
  const entry = TABLES[language][key];
  if (entry === undefined) throw new Error(`no words for ${key}`);
  return typeof entry === "function" ? entry(...values) : entry;
}

/** Write words into an element, now and whenever the language changes. */
export function say(element, key, ...values) {
  return sayAs(element, "text", key, ...values);
}

/** Write words into an attribute of an element (`title`, `aria-label`, `placeholder`), or as its text. */
export function sayAs(element, where, key, ...values) {
  if (!written.has(element)) written.set(element, new Map());
  written.get(element).set(where, [key, values]);
  element.dataset.said = "";
  put(element, where, key, values);
  return element;
}

/** Return an element with words as its text. */
export function made(tag, properties, key, ...values) {
  return say(make(tag, properties), key, ...values);
}

function put(element, where, key, values) {
  const text = words(key, ...values);
  if (where === "text") element.textContent = text;
  else element.setAttribute(where, text);
}

/** Return a number as it is written in the language in use. */
export function figure(number, digits = 0) {
  return number.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Use a language from now on. */
export function speak(other) {
  language = other;
  document.documentElement.lang = language;
  document.title = words("title");
  for (const element of document.querySelectorAll("[data-said]")) {
    for (const [where, [key, values]] of written.get(element) ?? []) put(element, where, key, values);
  }
}

/** Use a language from now on, and keep the choice. */
export function chooseLanguage(other) {
  remember(KEPT, other);
  speak(other);
}

/** Fill in the words that the page's HTML names: `data-words`, and `data-words-title` and its like. */
export function fillWords() {
  for (const element of document.querySelectorAll("[data-words]")) say(element, element.dataset.words);
  for (const where of ["title", "aria-label", "placeholder"]) {
    for (const element of document.querySelectorAll(`[data-words-${where}]`)) {
      sayAs(element, where, element.getAttribute(`data-words-${where}`));
    }
  }
  speak(language);
}
