import type { PlantedBug } from "../../simulation/src/planted-bugs.ts";

const core = (name: string): string => `embed/dist/core/${name}.js`;

/** Mistakes in the embedded server that the comparison must find: changes of one compiled module, from seed 1 on. */
export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "count-with-limit",
    says: "counts only what the limit leaves over",
    file: core("range"),
    search: "count: BigInt(count),",
    replace: "count: BigInt(limit > 0 ? Math.min(limit, count) : count),",
    within: 2000,
  },
  {
    name: "version-after-delete",
    says: "goes on with the version of a key that was deleted",
    file: core("kvstore"),
    search: "version: (previous?.version ?? 0) + 1,",
    replace: "version: (previous?.version ?? history.wasThere ?? 0) + (history.wasThere = 1),",
    within: 2000,
  },
  {
    name: "no-prev-kv",
    says: "leaves out what was before a deletion in the events of watches that ask for it",
    file: core("watchable-store"),
    search: "const previous = spec.prevKv && !isCreation",
    replace: "const previous = spec.prevKv && !isCreation && version.version !== 0",
    within: 2000,
  },
  {
    name: "filter-inverted",
    says: "filters puts where deletions are not wanted, and the reverse",
    file: core("watchable-store"),
    search: "version.version === 0 ? noDelete : noPut",
    replace: "version.version === 0 ? noPut : noDelete",
    within: 2000,
  },
  {
    name: "lease-not-detached",
    says: "leaves a key on its lease when it is overwritten without one",
    file: core("kvstore"),
    search: "if (from !== NO_LEASE)",
    replace: "if (from !== NO_LEASE && to !== NO_LEASE)",
    within: 2000,
  },
  {
    name: "compare-before-txn",
    says: "takes a compare of a range as true when it is true for one of the keys",
    file: core("txn"),
    search: "items.every(",
    replace: "items.some(",
    within: 4000,
  },
  {
    name: "compacted-too-late",
    says: "still reads at the revision before the compacted one",
    file: core("kvstore"),
    search: "if (at < this.#compactRevision)",
    replace: "if (at < this.#compactRevision - 1)",
    within: 4000,
  },
  {
    name: "progress-of-the-future",
    says: "tells the progress of watches that start in the future",
    file: core("watch-stream"),
    search: " && watcher.spec.startRevision <= revision",
    replace: "",
    within: 12_000,
  },
];
