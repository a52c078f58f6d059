// Runs vitest and counts.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Calls `run` with the flags that vitest needs to leave its result, and returns `{ passed, failed, skipped }`. */
export async function countTests(run) {
  const dir = mkdtempSync(join(tmpdir(), "tenure-tests-"));
  try {
    const file = join(dir, "result.json");
    const code = await run(["--reporter=default", "--reporter=json", `--outputFile.json=${file}`]);
    return count(code, file);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function count(code, file) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  try {
    const result = JSON.parse(readFileSync(file, "utf8"));
    passed = result.numPassedTests;
    failed = result.numFailedTests;
    skipped = result.numPendingTests + result.numTodoTests;
  } catch {
    // no result: vitest did not come so far, and its exit code says so
  }
  // A file that does not load or an error between tests fails the run, not one of its tests.
  if (code !== 0 && failed === 0) failed = 1;
  return { passed, failed, skipped };
}
