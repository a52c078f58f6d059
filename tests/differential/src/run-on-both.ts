import { differences, type Difference } from "./compare.ts";
import type { EmptyPair } from "./empty-pair.ts";
import { explanationOf } from "./known-differences.ts";
import type { Json, Operation } from "./operation.ts";

/** A step that the two servers answered differently, and how. */
export interface Mismatch {
  readonly index: number;
  readonly operation: Operation;
  readonly differences: readonly Difference[];
}

/** Where steps come from; undefined ends them. */
export interface Source {
  next(): Operation | undefined;
  learn?(operation: Operation, answer: Json): void;
}

/** What a run of steps came to. */
export interface RunResult {
  /** The steps that were taken. */
  readonly operations: readonly Operation[];
  /** The first difference that nothing explains. */
  readonly mismatch?: Mismatch;
  /** How often each known difference was seen. */
  readonly known: ReadonlyMap<string, number>;
}

/** Takes the same steps on an embedded server and on etcd, both empty at first, until their answers differ. */
export async function runOnBoth(start: () => Promise<EmptyPair>, source: Source): Promise<RunResult> {
  const operations: Operation[] = [];
  const known = new Map<string, number>();
  await using pair = await start();
  for (;;) {
    const taken = source.next();
    const operation: Operation = taken ?? { settle: true };
    const index = operations.length;
    if (taken !== undefined) operations.push(taken);
    const [ours, theirs] = await Promise.all([pair.embed.perform(operation), pair.etcd.perform(operation)]);
    const unexplained = differences(operation, ours, theirs).filter((difference) => {
      const name = explanationOf(operation, difference);
      if (name !== undefined) known.set(name, (known.get(name) ?? 0) + 1);
      return name === undefined;
    });
    if (unexplained.length > 0) {
      return { operations, known, mismatch: { index, operation, differences: unexplained } };
    }
    if (taken === undefined) return { operations, known };
    source.learn?.(operation, theirs);
  }
}

/** Takes the steps of a script. */
export function sourceOf(operations: readonly Operation[]): Source {
  const left = operations.values();
  return { next: () => left.next().value };
}
