// Makes a clone ready to run: `npm run setup`; with `--tests` also what the tests need. All output goes to stderr.
import { main } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

await main(() => setup({ tests: process.argv.includes("--tests") }));
