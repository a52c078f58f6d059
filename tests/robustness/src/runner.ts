import type { Candidate } from "./candidate.ts";
import { type Bounds, boundsOf } from "./bounds.ts";
import { Chance } from "./chance.ts";
import { growth, overlaps, staleRevocations, violationsOf } from "./checker.ts";
import { now } from "./clock.ts";
import { type Life, lifeOf, unflat } from "./flatness.ts";
import type { Violation } from "./history.ts";
import { type Expectation, type FaultKind, Scene } from "./scene.ts";
import type { World } from "./world.ts";

/** One fault, and what came of it. */
export interface Outcome {
  readonly kind: string;
  readonly expected: Expectation;
  readonly kept: boolean;
  readonly failoverMs: number | undefined;
  readonly violations: readonly Violation[];
}

/** What a runner needs besides its world. */
export interface RunnerSettings {
  readonly world: World;
  /** For the lines of progress. */
  readonly name: string;
  readonly seed: number;
  readonly kinds: readonly FaultKind[];
  /** How likely a fault is joined by another one. */
  readonly overlap: number;
  /** Another client than ours: only what it does wrong counts, and it does not find back by itself. */
  readonly peer: boolean;
  readonly tell: (line: string) => void;
}

type Peace = Awaited<ReturnType<World["steady"]>>;

const startMs = 30_000;
const noteSilenceMs = 1_000;
/** How long before a fault what the leader's client said of itself may matter. */
const evidenceMs = 6_000;

/** Does harm to one world, a fault after the other, and checks after each that all promises held. */
export class Runner {
  readonly outcomes: Outcome[] = [];
  readonly world: World;
  readonly #settings: RunnerSettings;
  readonly #chance: Chance;
  readonly #bounds: Bounds;
  readonly #known = new Set<string>();
  readonly #broken: Violation[] = [];
  #deck: FaultKind[] = [];

  constructor(settings: RunnerSettings) {
    this.#settings = settings;
    this.world = settings.world;
    this.#chance = new Chance(settings.seed);
    this.#bounds = boundsOf(this.world.ttlMs);
  }

  /** Goes on until the instant is over, or for so many rounds, or until nothing brings peace back. */
  async run({ until, rounds = Infinity }: { readonly until: number; readonly rounds?: number }): Promise<void> {
    let peace = await this.world.steady(startMs);
    for (let round = 1; round <= rounds && now() < until; round++) {
      try {
        peace = await this.#round(round, peace);
      } catch (error) {
        const text = `round ${round} was the last: ${error instanceof Error ? error.message : String(error)}`;
        this.#settings.tell(`${this.#settings.name} ${text}`);
        this.#broken.push({ rule: "recovery", text });
        return;
      }
    }
  }

  /** What the processes that lived long enough had in use. */
  lives(): Life[] {
    const rests = this.world.candidates.flatMap((candidate) => [...candidate.rests]);
    return rests.flatMap(([process, samples]) => lifeOf(`${this.#settings.name} ${process}`, samples) ?? []);
  }

  /** What was found after the last round, and over all of them. */
  atTheEnd(): Violation[] {
    if (this.#settings.peer) return this.#news();
    return [...this.#broken, ...this.#news(), ...growth(this.world.candidates), ...this.lives().flatMap(unflat)];
  }

  #news(): Violation[] {
    const { history, witness } = this.world;
    const all = this.#settings.peer ? overlaps(history, witness) : violationsOf(history, witness);
    return all.filter(({ text }) => !this.#known.has(text));
  }

  async #round(round: number, peace: Peace): Promise<Peace> {
    const startedAt = now();
    const { candidate, term } = peace;
    const kinds = this.#draw(candidate);
    this.world.trace(startedAt, `round ${round}: ${kinds.map(({ name }) => name).join(" + ")} begins`);
    const overlapped = kinds.length > 1;
    const lingerMs = this.#settings.peer ? this.world.ttlMs : 0;
    const scenes = kinds.map(
      () => new Scene(this.world, this.#chance.fork(), candidate, term.token, overlapped, lingerMs),
    );
    const expected = await Promise.all(kinds.map((kind, index) => attempt(kind, scenes[index])));
    const [first] = scenes;
    const healed = now();
    const next = await this.#peace(first);
    const kept = next.term.token === term.token;
    // What happened up to a TTL before may cost a lease only now.
    const since = startedAt - this.world.ttlMs;
    const silentMs = this.world.pulse.longestSilenceMs(since);
    const stoodMs = this.world.history.longestStandStillMs(term.process, since);
    // Whoever leads cannot keep what etcd does not let him renew, nor what he has no time to renew.
    if (expected[0] === "kept" && silentMs + stoodMs > this.#bounds.silenceMs) expected[0] = "either";
    if (!this.#settings.peer && !overlapped && expected[0] !== "either" && kept !== (expected[0] === "kept")) {
      const { history, witness } = this.world;
      const before = history.terms.findLast(({ token }) => token === term.token);
      const silence = `etcd was silent for ${silentMs.toFixed(0)} ms`;
      const why = `${before?.why ?? "unknown"}; ${silence}, the leader stood still for ${stoodMs.toFixed(0)} ms`;
      const text = `the leadership was ${kept ? "kept" : "lost"}, not ${expected[0]}: ${why}`;
      if (before !== undefined && staleRevocations(history, witness).includes(before))
        first?.note(`etcd's doing: ${text}`);
      else {
        first?.violation("outcome", text);
        const evidence = history.eventsOf(term.process, startedAt - evidenceMs);
        for (const event of evidence) first?.note(event);
      }
    }
    this.#check(first);
    for (const [index, { name }] of kinds.entries()) {
      const scene = scenes[index];
      if (scene === undefined) continue;
      const expectation = overlapped ? "either" : (expected[index] ?? "either");
      const { failoverMs, violations } = scene;
      this.outcomes.push({ kind: name, expected: expectation, kept, failoverMs, violations });
    }
    this.#tell(round, kinds, scenes, { kept, silentMs, lastedMs: healed - startedAt, settledMs: now() - healed });
    return next;
  }

  /** Waits until all is well again. Whoever cannot find back by itself is a violation, and is started anew. */
  async #peace(scene: Scene | undefined): Promise<Peace> {
    const { world } = this;
    if (this.#settings.peer) {
      await scene?.leader.kill();
      return world.steady(startMs);
    }
    try {
      const { recoveryMs, peaceMs } = this.#bounds;
      await leads(world, recoveryMs);
      return await world.steady(peaceMs);
    } catch (error) {
      scene?.violation("recovery", error instanceof Error ? error.message : String(error));
      world.network.heal();
      await Promise.all(world.candidates.map((candidate) => candidate.kill()));
      return world.steady(startMs);
    }
  }

  #check(scene: Scene | undefined): void {
    for (const violation of this.#news()) {
      this.#known.add(violation.text);
      scene?.violations.push(violation);
    }
  }

  #draw(leader: Candidate): FaultKind[] {
    const { overlap } = this.#settings;
    const kinds = this.#settings.kinds.filter((kind) => kind.endsLeader !== true || leader !== this.world.spared);
    const kind = this.#next(kinds);
    const others = kinds.filter(({ alone, onlyByName, target }) => !alone && !onlyByName && target !== kind.target);
    const joined = this.#chance.happens(overlap);
    if (!joined || kind.alone === true || kind.onlyByName === true || others.length === 0) return [kind];
    return [kind, this.#chance.pick(others)];
  }

  // Every kind once before any comes twice. What is not possible now waits for its turn.
  #next(possible: readonly FaultKind[]): FaultKind {
    const first = () => this.#deck.findIndex((kind) => possible.includes(kind));
    if (first() < 0) this.#deck.push(...this.#chance.shuffled(this.#settings.kinds));
    const [kind] = this.#deck.splice(first(), 1);
    if (kind === undefined) throw new Error("there is no kind of fault to choose from");
    return kind;
  }

  #tell(round: number, kinds: readonly FaultKind[], scenes: readonly Scene[], times: Times): void {
    const { tell, name } = this.#settings;
    const failover = scenes.find(({ failoverMs }) => failoverMs !== undefined)?.failoverMs;
    const took = `${(times.lastedMs / 1000).toFixed(1)} s + ${(times.settledMs / 1000).toFixed(1)} s`;
    const after = failover === undefined ? "" : `, next leader after ${failover.toFixed(0)} ms`;
    const what = kinds.map((kind) => kind.name).join(" + ");
    const silent = times.silentMs > noteSilenceMs ? `, etcd silent for ${times.silentMs.toFixed(0)} ms` : "";
    tell(`${name} ${round}: ${what}: ${times.kept ? "kept" : "lost"}${after}${silent} (${took})`);
    for (const scene of scenes) {
      for (const note of scene.notes) tell(`${name} ${round}:   ${note}`);
      for (const { rule, text } of scene.violations) tell(`${name} ${round}: VIOLATION ${rule}: ${text}`);
    }
  }
}

interface Times {
  readonly kept: boolean;
  readonly silentMs: number;
  readonly lastedMs: number;
  readonly settledMs: number;
}

async function attempt(kind: FaultKind, scene: Scene | undefined): Promise<Expectation> {
  if (scene === undefined) return "either";
  try {
    return await kind.run(scene);
  } catch (error) {
    scene.violation("harness", `${kind.name}: ${error instanceof Error ? error.message : String(error)}`);
    return "either";
  }
}

async function leads(world: World, timeoutMs: number): Promise<void> {
  const leading = () => {
    for (const candidate of world.candidates) if (!candidate.running) candidate.start();
    return world.leading();
  };
  await world.pulse.awaited(leading, { what: "leader after the faults were healed", timeoutMs });
}
