/** A word that is further away was hardly meant. */
const MAX_DISTANCE = 3;

/** The word that was meant perhaps: the one with the fewest letters to change; undefined when none is near. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const limit = Math.min(MAX_DISTANCE, Math.ceil(word.length / 2));
  const ranked = words.map((each) => ({ each, far: distance(word.toLowerCase(), each) }));
  const [best] = ranked.filter(({ far }) => far <= limit).toSorted((a, b) => a.far - b.far);
  return best?.each;
}

/** How many letters have to be put in, taken out or changed (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [i, letter] of Array.from(one).entries()) {
    const next = [i + 1];
    for (const [j, there] of Array.from(other).entries()) {
      const changed = (row[j] ?? 0) + (letter === there ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
