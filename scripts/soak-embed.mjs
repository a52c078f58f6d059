// Kills `tenure dev --data-dir` under load: `npm run soak:embed -- [--kills 200] [--seed 1] [--json]`. Exit code 1 when
// something acknowledged was lost, a revision went back, or a start failed.
import { parseArgs } from "node:util";
import { killSoak } from "./lib/kill-soak.mjs";
import { bin, main, note, run } from "./lib/process.mjs";

await main(async () => {
  const { values } = parseArgs({
    options: {
      kills: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  const [kills, seed] = [wholeOf("kills", values.kills), wholeOf("seed", values.seed)];
  if ((await run(bin("tsc"), ["-b", "packages/cli"])) !== 0) throw new Error("the build failed, see above");
  const report = await killSoak({ kills, seed, note });
  const { acknowledged, compared, problems, startMs } = report;
  for (const problem of problems) note(problem);
  const times = `started in ${startMs.median.toFixed(0)} ms (median; ${startMs.max.toFixed(0)} ms at most)`;
  const verdict = problems.length === 0 ? "nothing lost" : `${problems.length} problems`;
  console.log(
    values.json
      ? JSON.stringify(report)
      : `${kills} kills, ${acknowledged} acknowledged, ${compared} compared, ${verdict}; ${times}`,
  );
  if (problems.length > 0) process.exitCode = 1;
});

function wholeOf(name, text) {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} ${text}: a whole number from 1 on`);
  return value;
}
