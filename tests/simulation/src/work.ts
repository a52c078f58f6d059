import { type Election, type Leader, put, type Term, TenureError } from "tenure";
import { registerKey } from "./history.ts";
import type { Process, Work } from "./process.ts";

/** Thrown by `lead` on purpose. */
class WorkFailed extends Error {}

/** A long-lived node: `run`, with a `lead` that writes, proclaims, returns, throws, or is slow to stop. */
export const runNode: Work = async (process, name) => {
  const election = open(process, name);
  const { checker } = process.world;
  let turn = 0;
  checker.stands(process.host, name, true);
  while (!process.stopping.aborted) {
    try {
      await election.run(
        {
          value: `${process.name}#${turn++}`,
          lead: (term) => lead(process, election, term),
          follow: (_leader, signal) => follow(process, signal),
        },
        { signal: process.stopping },
      );
    } catch (error) {
      if (!(error instanceof WorkFailed)) process.checkThrown("run", error);
    }
    await process.sleep(process.chance.between(0, 500));
  }
  checker.stands(process.host, name, false);
};

/** Uses the primitives: campaigns that are aborted at random moments, and terms that are held, resigned or stopped. */
export const campaign: Work = async (process, name) => {
  const { chance, world } = process;
  const { checker } = world;
  const election = open(process, name);
  let turn = 0;
  while (!process.stopping.aborted) {
    const giveUp = new AbortController();
    // Often while the campaign's transaction is under way.
    const patienceMs = chance.between(0, chance.pick([20, 4000]));
    const cancelTimer = chance.happens(0.5)
      ? process.host.after(patienceMs, () => giveUp.abort())
      : (): void => undefined;
    const signal = AbortSignal.any([giveUp.signal, process.stopping]);
    checker.stands(process.host, name, true);
    try {
      const term = await election.campaign(`${process.name}#${turn++}`, { signal });
      await holdTerm(process, election, term);
    } catch (error) {
      process.checkThrown("campaign", error);
      const aborted = error instanceof TenureError && error.code === "aborted";
      if (!aborted) checker.fail(`${process.name}: campaign ended with ${String(error)}`);
    } finally {
      cancelTimer();
      checker.stands(process.host, name, false);
    }
    await process.sleep(chance.between(0, chance.pick([2000, 20_000])));
  }
};

/** Only looks, at its own pace; sometimes reads, too. */
export const observe: Work = async (process, name) => {
  const { chance, host, world } = process;
  const { checker, history, trace } = world;
  const election = open(process, name);
  let last: Leader | null | undefined;
  const stopAsking = world.observers.add(() => checker.observedLast(host, name, last));
  let before = 0n;
  for await (const change of election.changes({ signal: process.stopping })) {
    trace.add(process.name, () => `sees ${change.leader?.value ?? "nobody"} lead ${name} at ${change.revision}`);
    checker.observed(host, name, before, change);
    before = change.revision;
    last = change.leader;
    if (!world.healed && chance.happens(0.3)) await process.sleep(chance.between(0, process.plan.slownessMs));
    if (chance.happens(0.05)) await requestTransfer(process, election);
    if (chance.happens(0.1)) {
      const askedAt = history.revision;
      try {
        const { candidates, revision } = await election.state({ timeoutMs: 1500, signal: process.stopping });
        checker.read(host, name, askedAt, candidates[0], revision);
      } catch (error) {
        process.checkThrown("a read", error);
      }
    }
  }
  stopAsking();
};

function open(process: Process, name: string): Election {
  return process.client.election(name, { ttlMs: process.plan.ttlMs });
}

async function lead(process: Process, election: Election, term: Term): Promise<void> {
  const { chance, host, world } = process;
  const { name } = election;
  const { checker } = world;
  begin(process, name, term);
  checker.leadBegins(host, name, term);
  try {
    await workUntil(process, name, term, chance.between(0, 15_000));
    if (chance.happens(0.1)) throw new WorkFailed("lead gives up");
    // Not awaited: the transfer waits for us.
    if (chance.happens(0.15)) void transfer(process, election, term);
    // Slow to stop.
    if (term.signal.aborted && chance.happens(0.3)) await sleepAnyway(process, chance.between(0, 2000));
  } finally {
    checker.leadSettles(host, name);
    world.trace.add(process.name, () => `settles lead of ${name}, token ${term.token}`);
  }
}

async function holdTerm(process: Process, election: Election, term: Term): Promise<void> {
  const { chance } = process;
  const { name } = election;
  begin(process, name, term);
  await workUntil(process, name, term, chance.between(0, 10_000));
  const ending = chance.fraction();
  if (ending < 0.2) await transfer(process, election, term);
  else if (ending < 0.4) {
    term.stop();
    await process.sleep(chance.between(0, 500));
  }
  try {
    await term.resign({ timeoutMs: chance.between(100, 5000) });
  } catch (error) {
    process.checkThrown("resign", error);
  }
  process.world.trace.add(process.name, () => `has resigned ${name}, token ${term.token}`);
}

function begin(process: Process, name: string, term: Term): void {
  const { host, world } = process;
  world.trace.add(process.name, () => `is elected in ${name}, token ${term.token}`);
  world.checker.elected(host, name, term);
  term.signal.addEventListener("abort", () => {
    world.trace.add(process.name, () => `${name}, token ${term.token} is over: ${String(term.signal.reason)}`);
  });
}

/** Writes and proclaims until the term is over, the time is, or the process is to stop; sometimes it only waits. */
async function workUntil(process: Process, name: string, term: Term, durationMs: number): Promise<void> {
  const { chance, host } = process;
  const idle = chance.happens(0.2);
  const until = host.now() + durationMs * (idle ? 2 : 1);
  while (!term.signal.aborted && !process.stopping.aborted && host.now() < until) {
    if (!idle && chance.happens(0.6)) await write(process, name, term);
    else if (!idle && chance.happens(0.5)) await proclaim(process, term);
    await process.sleep(chance.between(10, 800));
  }
}

async function write(process: Process, name: string, term: Term): Promise<void> {
  try {
    await process.client
      .txn()
      .if(...term.guard())
      .success(put(registerKey(name), String(term.token)))
      .commit({ timeoutMs: process.chance.between(200, 6000) });
  } catch (error) {
    process.checkTxnThrown(error);
  }
}

async function proclaim(process: Process, term: Term): Promise<void> {
  try {
    await term.proclaim(`${process.name}#p${process.chance.whole(0, 999)}`, { timeoutMs: 3000 });
  } catch (error) {
    process.checkThrown("proclaim", error);
  }
}

/** Hands the term to some other candidate, as far as that is possible. */
async function transfer(process: Process, election: Election, term: Term): Promise<void> {
  const { chance } = process;
  try {
    const others = (await election.candidates({ timeoutMs: 2000 })).filter(({ self }) => !self);
    if (others.length === 0) return;
    const { key, value } = chance.pick(others);
    process.world.trace.add(process.name, () => `transfers ${election.name} to ${value}`);
    await term.transfer(key, { drainMs: chance.between(100, 3000) });
  } catch (error) {
    process.checkThrown("transfer", error);
  }
}

/** Asks whoever leads to hand over to some candidate. */
async function requestTransfer(process: Process, election: Election): Promise<void> {
  const signal = process.stopping;
  try {
    const candidates = await election.candidates({ timeoutMs: 2000, signal });
    if (candidates.length === 0) return;
    const { key, value } = process.chance.pick(candidates);
    process.world.trace.add(process.name, () => `asks for a transfer of ${election.name} to ${value}`);
    await election.requestTransfer(key, { timeoutMs: 3000, signal });
  } catch (error) {
    process.checkThrown("a request for a transfer", error);
  }
}

/** A `follow` that is sometimes busy for a while. */
async function follow(process: Process, signal: AbortSignal): Promise<void> {
  if (process.chance.happens(0.7) || signal.aborted) return;
  await process.sleep(process.chance.between(0, 1000));
}

/** Lets time pass even when the process is to stop. */
function sleepAnyway(process: Process, delayMs: number): Promise<void> {
  return new Promise((resolve) => void process.host.after(delayMs, resolve));
}
