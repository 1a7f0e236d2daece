// The start of the page: words, theme, what the service offers, and the keys.

import { get } from "./api.js";
import { byId, drawIcons, icon, make } from "./dom.js";
import { allow } from "./feedback.js";
import { chooseLanguage, fillWords, languageNow, made, say, sayAs } from "./language.js";
import { recall, remember } from "./memory.js";
import { hideProblem, showProblem } from "./problem.js";
import { loadModels } from "./settings_view.js";
import { format } from "./source_view.js";
import { stop, summarise } from "./summaries.js";

const THEMES = ["auto", "light", "dark"];
const THEME = "llm-summ.theme";
const onMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

// ---------------------------------------------------------------- theme and language

function showTheme() {
  const theme = recall(THEME) ?? "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  button.replaceChildren(icon(theme));
  sayAs(button, "aria-label", `theme ${theme}`);
  sayAs(button, "title", `theme ${theme}`);
}

byId("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(recall(THEME) ?? "auto") + 1) % THEMES.length];
  remember(THEME, next === "auto" ? null : next);
  showTheme();
});

function showLanguage() {
  byId("language").lang = languageNow() === "ko" ? "en" : "ko";
}

byId("language").addEventListener("click", () => {
  chooseLanguage(languageNow() === "ko" ? "en" : "ko");
  showLanguage();
});

// ---------------------------------------------------------------- keys

addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    summarise();
  }
});
byId("summarise").addEventListener("click", summarise);
byId("stop").addEventListener("click", stop);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});

// ---------------------------------------------------------------- what the service offers

async function load() {
  try {
    const settings = await get("v1/settings");
    allow(Boolean(settings.feedback));
    byId("version").textContent = settings.version ?? "";
    format.replaceChildren(
      made("option", { value: "" }, "format auto"),
      ...(settings.formats ?? []).map((name) => make("option", { value: name }, name)),
    );
    await loadModels();
  } catch (error) {
    if (error.status === undefined) throw error;
    const box = make("div", { className: "problem", role: "alert" });
    byId("problems").replaceChildren(box);
    showProblem(box, error, () => {
      hideProblem(box);
      load();
    });
  }
}

drawIcons();
fillWords();
say(byId("language"), "other language");
showLanguage();
showTheme();
byId("keys").textContent = onMac ? "⌘ ⏎" : "Ctrl ⏎";
await load();
