import { describe } from "vitest";
import { electionCases } from "./election.case.ts";
import { fencingCases } from "./fencing.case.ts";
import { lossCases } from "./loss.case.ts";
import { runCases } from "./run.case.ts";
import { STORES } from "./store.ts";

describe.each(STORES)("$name", ({ start }) => {
  electionCases(start);
  lossCases(start);
  fencingCases(start);
  runCases(start);
});
