// Removes all that a build made: `npm run clean`.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./lib/process.mjs";
import { stamps } from "./lib/setup.mjs";

const packages = readdirSync(join(root, "packages")).map((name) => join("packages", name));
for (const dir of [".", ...packages, "examples", "tests"].map((name) => join(root, name))) {
  if (!existsSync(dir)) continue;
  rmSync(join(dir, "dist"), { recursive: true, force: true });
  for (const name of readdirSync(dir)) if (name.endsWith(".tsbuildinfo")) rmSync(join(dir, name));
}
rmSync(join(stamps, "build"), { force: true });
