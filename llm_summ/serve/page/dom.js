// Elements and icons. Texts become text nodes only, never HTML.

export const byId = (id) => document.getElementById(id);

/** Return an element with properties and children; a child that is a string becomes a text node. */
export function make(tag, properties = {}, ...children) {
  const { data = {}, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SHAPES = {
  open: "M12 16V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v5h16v-5",
  save: "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M4 20h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  edit: "M4 20h4L19 9l-4-4L4 16zM12.5 7.5l4 4",
  check: "M5 13l4.5 4.5L19 7",
  stop: "M8 8h8v8H8z",
  lines: "M5 7h14M5 12h14M5 17h8",
  light: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2.5v2M12 19.5v2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M2.5 12h2M19.5 12h2M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  dark: "M20 14.5A8.5 8.5 0 019.5 4 8.5 8.5 0 1020 14.5z",
  auto: "M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17zM12 3.5v17M12 8h4.5M12 12h8.5M12 16h4.5",
  retry: "M19.5 12a7.5 7.5 0 11-2.2-5.3L20 9.5M20 4v5.5h-5.5",
  better: "M7 11v9H4v-9zM7 11l4-7c1.5 0 2.5 1 2.5 2.5L13 10h5.5a1.5 1.5 0 011.5 1.8l-1.2 6.5A2 2 0 0116.8 20H7",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  previous: "M14.5 6l-6 6 6 6",
  next: "M9.5 6l6 6-6 6",
  up: "M12 20V5m0 0l-6 6m6-6l6 6",
  warning: "M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.3",
};

/** Return an icon; it has no name of its own, since it always comes with words or in a labelled button. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** Put the icons into the elements of the page that name one. */
export function drawIcons() {
  for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}
