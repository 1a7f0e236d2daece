// What the browser keeps: language and theme, and the key for as long as the tab is open. No dialogue, no summary.

/** Keep a value; a browser that keeps nothing is no error. */
export function remember(name, value, store = "localStorage") {
  try {
    if (value === null) window[store].removeItem(name);
    else window[store].setItem(name, value);
  } catch {
    // Private windows and strict settings.
  }
}

/** Return a value that was kept, or null. */
export function recall(name, store = "localStorage") {
  try {
    return window[store].getItem(name);
  } catch {
    return null;
  }
}
