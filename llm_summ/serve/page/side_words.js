// The settings of one side in words, in the language of a table.

export function sideWords(table, { model, prompt, length, best_of: best }) {
  const size = typeof length === "number" ? table["length number"](length) : length && table[`length ${length}`];
  return [model, prompt, size, best && table["candidates best"](best)].filter(Boolean).join(" · ");
}
