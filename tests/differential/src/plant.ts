// Loaded before everything else in a process that is to run with a planted bug.
import { register } from "node:module";
import { plantedBugs } from "./planted-bugs.ts";

const bug = plantedBugs.find(({ name }) => name === process.env["PLANTED_BUG"]);
if (bug === undefined) throw new Error(`no such planted bug: ${process.env["PLANTED_BUG"]}`);
register("../../simulation/src/plant-loader.js", import.meta.url, { data: bug });
