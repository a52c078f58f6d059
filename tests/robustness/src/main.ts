import { Chance } from "./chance.ts";
import { now } from "./clock.ts";
import { contestant, type ContestantName, peerFaults, type Programs } from "./contestants.ts";
import { faultKinds } from "./faults/kinds.ts";
import { type Report, reportOf } from "./report.ts";
import { Runner } from "./runner.ts";
import type { FaultKind } from "./scene.ts";
import { hasOpenssl } from "./security.ts";
import { World } from "./world.ts";

export { contestantNames } from "./contestants.ts";
export { faultKinds } from "./faults/kinds.ts";
export { tableOf } from "./report.ts";

/** What to run. */
export interface RunSettings extends Programs {
  readonly etcd: string;
  /** etcd's version, for the report. */
  readonly version: string;
  readonly minutes: number;
  readonly seed: number;
  /** Only these kinds of faults; all that need not be named by default. */
  readonly only?: readonly string[];
  /** Clusters at the same time, 3 by default: two plain ones, and every third with TLS and users. */
  readonly worlds?: number;
  readonly ttlMs?: number;
  readonly peer?: ContestantName;
  /** Ends the run after so many rounds of each world. */
  readonly rounds?: number;
  readonly tell: (line: string) => void;
  /** Tells every term and every change of a key, too. */
  readonly trace?: boolean;
}

const defaultTtlMs = 5_000;
const overlap = 0.2;
const secureShare = 3;
/** A run of this length shows whether the processes that live through it use more and more. */
const sparingMinutes = 5;

/** Runs faults in several worlds at once until the time is over. */
export async function runRobustness(settings: RunSettings): Promise<Report> {
  const { minutes, seed, version, peer = "tenure", tell } = settings;
  const startedAt = now();
  const worlds: World[] = [];
  try {
    const runners = await startRunners(settings, worlds);
    const until = now() + minutes * 60_000;
    const rounds = settings.rounds ?? (onlyScenarios(settings) ? settings.only?.length : undefined);
    await Promise.all(runners.map((runner) => runner.run({ until, ...(rounds !== undefined && { rounds }) })));
    const report = reportOf(runners, { seed, minutes, contestant: peer, etcd: version });
    tell(`${((now() - startedAt) / 1000).toFixed(0)} s: ${report.faults} faults, ${report.violations} violations`);
    return report;
  } finally {
    await Promise.all(worlds.map((world) => world.stop()));
  }
}

async function startRunners(settings: RunSettings, worlds: World[]): Promise<Runner[]> {
  const { etcd, seed, ttlMs = defaultTtlMs, peer = "tenure", tell } = settings;
  const startedAt = now();
  const chance = new Chance(seed);
  const kinds = chosenKinds(settings);
  const openssl = await hasOpenssl();
  if (!openssl) tell("there is no openssl: the faults of tokens, roles and certificates are LEFT OUT");
  const plain = kinds.filter(({ secureOnly }) => secureOnly !== true);
  const count = settings.worlds ?? (peer === "tenure" && !onlyScenarios(settings) ? secureShare : 1);
  const started: Runner[] = [];
  for (let index = 0; index < count; index++) {
    // Kinds that were named must be possible, however few clusters there are.
    const secureAt = settings.only === undefined ? secureShare - 1 : Math.min(secureShare, count) - 1;
    const onlySecure = plain.length === 0;
    const mayBeSecure = openssl && peer === "tenure" && kinds.length > plain.length;
    const secure = mayBeSecure && (onlySecure || index % secureShare === secureAt);
    const name = `${secure ? "secure" : "plain"} ${index}`;
    const trace = (at: number, what: string): void => {
      if (settings.trace === true) tell(`${((at - startedAt) / 1000).toFixed(3)} ${name}: ${what}`);
    };
    const sparesFirst = peer === "tenure" && settings.only === undefined && settings.minutes >= sparingMinutes;
    const world = await World.start({
      etcd,
      ttlMs,
      secure,
      contestant: contestant(peer, settings),
      trace,
      sparesFirst,
    });
    worlds.push(world);
    const deck = secure ? secureDeck(kinds, chance) : plain;
    if (deck.length === 0) continue;
    const joined = settings.only === undefined && peer === "tenure" ? overlap : 0;
    const tellTime = (line: string): void => tell(`${((now() - startedAt) / 1000).toFixed(3)} ${line}`);
    started.push(
      new Runner({
        world,
        name,
        seed: seed * 1_000 + index,
        kinds: deck,
        overlap: joined,
        peer: peer !== "tenure",
        tell: tellTime,
      }),
    );
  }
  return started;
}

function chosenKinds({ only, peer = "tenure" }: RunSettings): readonly FaultKind[] {
  const unknown = only?.find((name) => faultKinds.every((kind) => kind.name !== name));
  if (unknown !== undefined) throw new Error(`there is no kind of fault ${unknown}`);
  if (only !== undefined) return faultKinds.filter(({ name }) => only.includes(name));
  if (peer !== "tenure") return faultKinds.filter(({ name }) => peerFaults.includes(name));
  return faultKinds.filter(({ onlyByName }) => onlyByName !== true);
}

/** What exists only here comes twice as often, and the rest half as often. */
function secureDeck(kinds: readonly FaultKind[], chance: Chance): readonly FaultKind[] {
  const special = kinds.filter(({ secureOnly }) => secureOnly === true);
  const rest = chance.shuffled(kinds.filter(({ secureOnly }) => secureOnly !== true));
  return [...special, ...special, ...rest.slice(0, Math.ceil(rest.length / 2))];
}

function onlyScenarios({ only }: RunSettings): boolean {
  return only !== undefined && faultKinds.every(({ name, onlyByName }) => !only.includes(name) || onlyByName === true);
}
