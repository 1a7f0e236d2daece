// Runs before the page is painted, so that a chosen theme does not flash. The page's other scripts are modules.
"use strict";
{
  let theme = null;
  try {
    theme = localStorage.getItem("llm-summ.theme");
  } catch {
    // The browser keeps nothing for this page: the system's theme is used.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
