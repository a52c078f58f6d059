// All that must hold before a change goes in: `npm run check`, and the same in CI. Goes on after a failure; the last
// line is `N passed, N failed`: one for each test and one for each other step.
import { main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";
import { countTests } from "./lib/vitest.mjs";

const steps = [
  { name: "format", check: () => succeeds("npm", ["run", "--silent", "format:check"]) },
  { name: "lint", check: () => succeeds("npm", ["run", "--silent", "lint"]) },
  { name: "build", check: () => succeeds("npm", ["run", "--silent", "build"]) },
  { name: "generated files", check: () => succeeds("node", ["scripts/generate.mjs", "--check"]) },
  { name: "documents", check: () => succeeds("node", ["scripts/docs.mjs", "--check"]) },
  { name: "tests", check: () => countTests((flags) => command("npm", ["test", "--silent", "--", ...flags])) },
  { name: "packages", check: () => succeeds("node", ["scripts/check-packages.mjs"]) },
];

const results = [];
await main(async () => {
  try {
    await setup();
  } catch (error) {
    note(`error: ${error.message}`);
    results.push({ name: "set-up", passed: 0, failed: 1 });
  }
  for (const { name, check } of steps) {
    console.log(`\n== ${name}`);
    const started = performance.now();
    results.push({ name, ...(await check()), seconds: (performance.now() - started) / 1000 });
  }
});

console.log("\n== summary");
for (const { name, passed, failed, skipped = 0, seconds = 0 } of results) {
  const counts = name === "tests" ? `  ${passed} passed, ${failed} failed, ${skipped} skipped` : "";
  console.log(`${failed === 0 ? "ok  " : "FAIL"}  ${name}  ${seconds.toFixed(1)} s${counts}`);
}
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
if (sum("failed") > 0) process.exitCode = 1;

async function succeeds(program, args) {
  const ok = (await command(program, args)) === 0;
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1 };
}

function command(program, args) {
  return run(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}
