import type { Operation } from "./operation.ts";

/** Whether a script still shows what is looked for. */
export type Shows = (operations: readonly Operation[]) => Promise<boolean>;

/**
 * Makes a script shorter while it shows the same: takes away operations, whole kinds and large pieces first, and then
 * fields of those that are left. At most `attempts` scripts are tried, and for not much longer than `limitMs`.
 */
export async function shrink(
  operations: readonly Operation[],
  shows: Shows,
  { attempts, limitMs }: { readonly attempts: number; readonly limitMs: number },
): Promise<readonly Operation[]> {
  let left = attempts;
  const deadline = performance.now() + limitMs;
  const tries: Shows = async (candidate) => left-- > 0 && performance.now() < deadline && shows(candidate);
  const few = await withFewerKinds(await lastOnes(operations, tries), tries);
  return withFewerFields(await withFewerOperations(few, tries), tries);
}

/** Most often the last few operations suffice. */
async function lastOnes(operations: readonly Operation[], shows: Shows): Promise<readonly Operation[]> {
  for (let count = 2; count < operations.length; count *= 3) {
    if (await shows(operations.slice(-count))) return operations.slice(-count);
  }
  return operations;
}

/** Whole kinds of operations often have no part in it. */
async function withFewerKinds(operations: readonly Operation[], shows: Shows): Promise<readonly Operation[]> {
  let current = operations;
  for (const kindOf of [callOf, callerOf, requestOf]) {
    for (const kind of new Set(current.map(kindOf))) {
      // The last one is what has two answers.
      const without = current.filter((each, index) => kindOf(each) !== kind || index === current.length - 1);
      if (without.length < current.length && (await shows(without))) current = without;
    }
  }
  return current;
}

function callOf(operation: Operation): string {
  return "call" in operation ? operation.call : (Object.keys(operation)[0] ?? "");
}

function callerOf(operation: Operation): string {
  return `${callOf(operation)} ${"on" in operation ? operation.by : ""}`;
}

function requestOf(operation: Operation): string {
  return "call" in operation ? `${operation.call} ${Object.keys(operation.request).join()}` : callOf(operation);
}

async function withFewerOperations(operations: readonly Operation[], shows: Shows): Promise<readonly Operation[]> {
  let current = operations;
  for (let size = Math.ceil(current.length / 2); size >= 1; size = Math.floor(size / 2)) {
    // From the end: what came late hangs on what came early.
    for (let start = current.length - size; start > -size; start -= size) {
      const without = [...current.slice(0, Math.max(0, start)), ...current.slice(start + size)];
      if (without.length < current.length && (await shows(without))) current = without;
    }
  }
  return current;
}

async function withFewerFields(operations: readonly Operation[], shows: Shows): Promise<readonly Operation[]> {
  const current = [...operations];
  for (const index of current.keys()) {
    for (let simpler = true; simpler;) {
      simpler = false;
      for (const candidate of simplerOnes(current[index])) {
        const changed = current.with(index, candidate as Operation);
        if (!(await shows(changed))) continue;
        current[index] = candidate as Operation;
        simpler = true;
        break;
      }
    }
  }
  return current;
}

/** The same without one of its fields or elements, at any depth; what an operation is stays. */
function* simplerOnes(json: unknown, depth = 0): Generator<unknown> {
  if (Array.isArray(json)) {
    for (const index of json.keys()) yield json.toSpliced(index, 1);
    for (const [index, each] of json.entries()) {
      for (const simpler of simplerOnes(each, depth + 1)) yield json.with(index, simpler);
    }
  } else if (typeof json === "object" && json !== null) {
    const fields = Object.entries(json);
    for (const [index, [name, value]] of fields.entries()) {
      if (depth > 0) yield Object.fromEntries(fields.toSpliced(index, 1));
      for (const simpler of simplerOnes(value, depth + 1))
        yield Object.fromEntries(fields.with(index, [name, simpler]));
    }
  }
}
