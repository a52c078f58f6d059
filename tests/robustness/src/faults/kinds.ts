import type { FaultKind } from "../scene.ts";
import { linkFaults } from "./links.ts";
import { memberFaults } from "./members.ts";
import { nodeFaults } from "./nodes.ts";
import { scenarios } from "./scenarios.ts";
import { secureFaults } from "./secure.ts";
import { storeFaults } from "./store.ts";

/** Every kind of fault. */
export const faultKinds: readonly FaultKind[] = [
  ...memberFaults,
  ...linkFaults,
  ...nodeFaults,
  ...storeFaults,
  ...secureFaults,
  ...scenarios,
];
