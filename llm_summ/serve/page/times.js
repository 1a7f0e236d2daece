// How turns and times are written.

/** Return seconds as minutes and seconds, with hours if there are any: 5:10, 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** Return the turns of a part as they are written: 12–34, or 12–34, 5:10–9:30 with times. */
export function rangeOf(part) {
  const turns = part.first === part.last ? `${part.first}` : `${part.first}–${part.last}`;
  const known = [part.start, part.end].filter((time) => typeof time === "number");
  if (!known.length) return turns;
  return `${turns}, ${known.map(clock).join("–")}`;
}

/** Return the number of characters, as Python counts them. */
export function characters(text) {
  return [...text].length;
}
