import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type RunnerTask } from "vitest";
import { authCases } from "./auth.case.ts";
import { cliCases } from "./cli.case.ts";
import { electionCases } from "./election.case.ts";
import { etcdElectionCases } from "./etcd-election.case.ts";
import { fencingCases } from "./fencing.case.ts";
import { type Harness, startHarness, type Store } from "./harness.ts";
import { kvCases } from "./kv.case.ts";
import { kvRangeCases } from "./kv-range.case.ts";
import { leaseCases } from "./lease.case.ts";
import { lossCases } from "./loss.case.ts";
import { maintenanceCases } from "./maintenance.case.ts";
import { permissionCases } from "./permissions.case.ts";
import { runCases } from "./run.case.ts";
import { servicesCases } from "./services.case.ts";
import { sessionCases } from "./session.case.ts";
import { skips, storeNames, type Skip, type StoreName } from "./skips.ts";
import { transferCases } from "./transfer.case.ts";
import { transferRequestCases } from "./transfer-request.case.ts";
import { txnCases } from "./txn.case.ts";
import { txnCompareCases } from "./txn-compare.case.ts";
import { watchCases } from "./watch.case.ts";
import { watchStreamCases } from "./watch-stream.case.ts";

declare module "vitest" {
  interface TaskMeta {
    /** For `npm run conformance`. */
    skipReason?: string;
  }
}

/** Every shared case, in the order in which it runs. */
const groups: readonly ((h: Harness) => void)[] = [
  kvCases,
  kvRangeCases,
  txnCases,
  txnCompareCases,
  leaseCases,
  watchCases,
  watchStreamCases,
  sessionCases,
  electionCases,
  etcdElectionCases,
  lossCases,
  fencingCases,
  runCases,
  transferCases,
  transferRequestCases,
  cliCases,
  servicesCases,
  maintenanceCases,
  authCases,
  permissionCases,
];

/** A store to run the suite on. */
export interface StoreUnderTest {
  readonly name: StoreName;
  readonly start: () => Promise<Store>;
}

/** Runs every shared case on one store, which all of them share: a case uses names and keys of its own. */
export function runAll({ name, start }: StoreUnderTest): void {
  const { harness, stop, closeClients } = startHarness();
  const own = skips.filter(({ store }) => store === name);

  beforeAll(async () => harness.use(await start()));
  beforeEach(({ task, skip: leaveOut }) => {
    const skip = own.find((each) => matches(each, fullName(task)));
    if (skip === undefined) return;
    task.meta.skipReason = skip.reason;
    leaveOut(skip.reason);
  });
  afterEach(closeClients);
  afterAll(stop);

  for (const define of groups) define(harness);

  describe("the suite", () => {
    it("has no two cases of one name", ({ task }) => {
      const cases = namesIn(task.file.tasks);
      expect(cases.filter((each, index) => cases.indexOf(each) !== index)).toEqual([]);
    });

    it("skips only cases that there are, on stores that there are", ({ task }) => {
      const cases = namesIn(task.file.tasks);
      expect(skips.filter(({ store }) => !storeNames.includes(store))).toEqual([]);
      expect(own.filter((skip) => !cases.some((each) => matches(skip, each)))).toEqual([]);
    });
  });
}

function matches({ case: wanted }: Skip, name: string): boolean {
  return typeof wanted === "string" ? wanted === name : wanted.test(name);
}

function fullName({ suite, name }: RunnerTask): string {
  return suite === undefined ? name : `${fullName(suite)} > ${name}`;
}

function namesIn(tasks: readonly RunnerTask[]): string[] {
  return tasks.flatMap((task) => (task.type === "suite" ? namesIn(task.tasks) : [fullName(task)]));
}
