// Runs the shared cases on every store: `npm run conformance [-- --json] [--store embed|etcd-3.4|etcd-3.5]`. Progress
// goes to stderr. Fails when a case does, or when the stores did not run the same cases.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main, note, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const files = { embed: "embed.test.ts", "etcd-3.4": "etcd-34.test.ts", "etcd-3.5": "etcd-35.test.ts" };

await main(async () => {
  const { json, store: stores } = options();
  await setup({ tests: stores.some((store) => store !== "embed") });
  const report = summary(await results(stores));
  if (json) console.log(JSON.stringify(report));
  else printTable(report);
  const failed = Object.values(report.stores).some((counts) => counts.failed > 0);
  if (!report.same) note("error: the stores did not run the same cases");
  if (failed || !report.same) process.exitCode = 1;
});

function options() {
  const { values } = parseArgs({
    options: { json: { type: "boolean", default: false }, store: { type: "string", multiple: true } },
  });
  const store = values.store ?? Object.keys(files);
  const unknown = store.find((name) => !Object.hasOwn(files, name));
  if (unknown !== undefined) throw new Error(`--store ${unknown}: there are ${Object.keys(files).join(", ")}`);
  return { json: values.json, store: [...new Set(store)] };
}

// `{ store, code, cases: [{ name, status, reason }] }` for each store.
async function results(stores) {
  const dir = mkdtempSync(join(tmpdir(), "tenure-conformance-"));
  try {
    const output = join(dir, "result.json");
    const paths = stores.map((store) => `tests/conformance/${files[store]}`);
    const flags = ["--project", "conformance", "--reporter=default", "--reporter=json", `--outputFile.json=${output}`];
    const code = await run(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...flags, ...paths]);
    const { testResults } = JSON.parse(readFileSync(output, "utf8"));
    return stores.map((store) => {
      const result = testResults.find(({ name }) => name.endsWith(`/${files[store]}`));
      const cases = (result?.assertionResults ?? []).map(({ ancestorTitles, title, status, meta }) => ({
        name: [...ancestorTitles, title].filter((part) => part !== "").join(" > "),
        status,
        reason: meta?.skipReason,
      }));
      return { store, code, cases };
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function summary(all) {
  const names = all.map(({ cases }) => cases.map(({ name }) => name).toSorted());
  const skips = all.flatMap(({ store, cases }) =>
    cases.filter(({ reason }) => reason !== undefined).map(({ name, reason }) => ({ store, case: name, reason })),
  );
  const stores = Object.fromEntries(all.map(({ store, cases }) => [store, countsOf(cases)]));
  // An error outside the cases fails the run, not one of them.
  const ended = all.every(({ code }) => code === 0) || Object.values(stores).some(({ failed }) => failed > 0);
  if (!ended) for (const counts of Object.values(stores)) counts.failed = 1;
  return {
    cases: new Set(names.flat()).size,
    stores,
    skips,
    same: names.every((each) => each.join("\n") === names[0].join("\n")),
  };
}

function countsOf(cases) {
  const count = (wanted) => cases.filter(({ status }) => wanted.includes(status)).length;
  const [passed, skipped] = [count(["passed"]), count(["skipped", "pending", "todo"])];
  // A store without a result failed as a whole.
  return { passed, failed: cases.length === 0 ? 1 : cases.length - passed - skipped, skipped };
}

function printTable({ cases, stores, skips }) {
  console.log(`${"store".padEnd(10)}  passed  failed  skipped`);
  for (const [store, { passed, failed, skipped }] of Object.entries(stores)) {
    const columns = [passed, failed, skipped].map((number, index) => String(number).padStart([6, 6, 7][index]));
    console.log(`${store.padEnd(10)}  ${columns.join("  ")}`);
  }
  console.log(`${cases} cases`);
  for (const skip of skips) console.log(`skipped on ${skip.store}: ${skip.case}\n  ${skip.reason}`);
}
