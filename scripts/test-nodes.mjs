// Runs the tests on the newer lines of Node too: `npm run test:nodes [-- 22 24]`. A line for each on stdout.
import { main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";
import { countTests } from "./lib/vitest.mjs";

await main(async () => {
  await setup({ tests: true });
  const lines = process.argv.slice(2);
  for (const line of lines.length > 0 ? lines : ["22", "24"]) {
    note(`Node ${line}: running the tests`);
    const { passed, failed } = await countTests((flags) => vitest(line, flags));
    console.log(`Node ${line}: ${passed} passed, ${failed} failed`);
    if (failed > 0) process.exitCode = 1;
  }
});

function vitest(line, flags) {
  const args = ["--yes", "-p", `node@${line}`, "--", "node", "node_modules/vitest/vitest.mjs", "run", ...flags];
  return run("npx", args, { cwd: root });
}
