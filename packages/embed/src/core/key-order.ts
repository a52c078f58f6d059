/** What has a key to be ordered by. */
export interface Keyed {
  readonly key: string;
}

/** Above so many entries a block is cut in two: moving them costs less than looking for a place. */
const MAX_BLOCK = 512;

/**
 * Entries in the byte order of their keys, each key once. They are kept in blocks, so that one more costs about the
 * same however many there are.
 */
export class KeyOrder<T extends Keyed> {
  /** None is empty. */
  #blocks: T[][] = [];

  /** Adds an entry whose key is not there yet. */
  add(entry: T): void {
    const index = this.#blockOf(entry.key);
    const block = this.#blocks[index];
    if (block === undefined) {
      this.#blocks.push([entry]);
      return;
    }
    block.splice(lowerBound(block, entry.key), 0, entry);
    if (block.length > MAX_BLOCK) this.#blocks.splice(index + 1, 0, block.splice(block.length >>> 1));
  }

  /** The entries from one key up to but not including another; without an `end`, all from `start` on. */
  select(start: string, end: string | undefined): T[] {
    const selected: T[] = [];
    for (let index = this.#blockOf(start); index < this.#blocks.length; index++) {
      const block = this.#blocks[index] ?? [];
      const from = lowerBound(block, start);
      const to = end === undefined ? block.length : lowerBound(block, end);
      for (let at = from; at < to; at++) selected.push(block[at] as T);
      if (to < block.length) break;
    }
    return selected;
  }

  /** Keeps only some entries. */
  retain(isKept: (entry: T) => boolean): void {
    this.#blocks = this.#blocks.map((block) => block.filter(isKept)).filter((block) => block.length > 0);
  }

  /** The last block that begins at or before a key, or the first. */
  #blockOf(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = this.#blocks[middle]?.[0];
      if (first !== undefined && first.key <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** Position of the first entry that is not below `key`. */
function lowerBound(block: readonly Keyed[], key: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const candidate = block[middle];
    if (candidate !== undefined && candidate.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
