// Runs the product in simulated worlds full of faults:
// `npm run simulate -- [--seeds N] [--seed S] [--minutes M] [--json] [--bug NAME] [--list-bugs] [--trace]`.
// Progress goes to stderr. Exit code 1 when something was that must never be.
import { parseArgs } from "node:util";
import { bin, main, note, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";
import { Simulation, simulationDist } from "./lib/simulation.mjs";

const defaultSeeds = 200;
const traceLines = 80;

await main(async () => {
  const options = await readOptions();
  if (options.list) return listBugs(options.bugs);
  const simulation = new Simulation(options);
  const failure = await simulation.run();
  if (failure !== undefined) {
    report(failure, options);
    process.exitCode = 1;
  } else if (options.bug !== undefined) {
    note(`the planted bug ${options.bug.name} was not found in ${simulation.counts.seeds} seeds`);
  }
  if (options.json) console.log(JSON.stringify(simulation.counts));
  else console.log(summary(simulation.counts));
});

async function readOptions() {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      seed: { type: "string", default: "1" },
      minutes: { type: "string" },
      json: { type: "boolean", default: false },
      trace: { type: "boolean", default: false },
      bug: { type: "string" },
      "list-bugs": { type: "boolean", default: false },
    },
  });
  const first = numberOf("seed", values.seed);
  const seeds = values.seeds === undefined ? undefined : numberOf("seeds", values.seeds);
  const minutes = values.minutes === undefined ? undefined : numberOf("minutes", values.minutes);
  await setup();
  if ((await run(bin("tsc"), ["-b", "tests/simulation"])) !== 0) throw new Error("the build failed, see above");
  const { plantedBugs } = await import(`${simulationDist}planted-bugs.js`);
  const bug = plantedBugs.find(({ name }) => name === values.bug);
  if (values.bug !== undefined && bug === undefined) throw new Error(`--bug ${values.bug}: see --list-bugs`);
  const usual = minutes === undefined ? (bug?.within ?? defaultSeeds) : Infinity;
  return {
    first,
    seeds: seeds ?? usual,
    minutes: minutes ?? Infinity,
    json: values.json,
    trace: values.trace,
    bug,
    bugs: plantedBugs,
    list: values["list-bugs"],
  };
}

function numberOf(name, text) {
  const number = Number(text);
  if (!(number > 0) || (name !== "minutes" && !Number.isInteger(number))) {
    throw new Error(`--${name} ${text}: must be a ${name === "minutes" ? "" : "whole "}number above 0`);
  }
  return number;
}

function listBugs(bugs) {
  for (const { name, within, says } of bugs) console.log(`${name.padEnd(26)} ${String(within).padStart(5)}  ${says}`);
}

function report({ seed, violation, lines, repeats }, { bug }) {
  const flags = `--seed ${seed} --seeds 1${bug === undefined ? "" : ` --bug ${bug.name}`}`;
  note(lines.slice(-traceLines).join("\n"));
  note(`\nseed ${seed}: ${violation}`);
  if (!repeats) note("it did not happen again when the seed was repeated: hidden chance");
  note(`the whole trace: npm run simulate -- ${flags} --trace`);
  note(`replay: npm run simulate -- ${flags}`);
}

function summary({ seeds, faults, terms, violations }) {
  const kinds = Object.entries(faults).map(([kind, n]) => `${kind.padEnd(22)} ${n}`);
  return [...kinds, `${seeds} seeds, ${terms} terms, ${violations} violations`].join("\n");
}
