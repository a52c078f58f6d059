import { systemClock } from "@tenure/etcd/runtime";
import type { Leader } from "tenure";
import { leaderJson } from "../output.ts";
import type { ServiceGuard } from "./guard-link.ts";
import type { Notes } from "./log.ts";
import { ProcessTree, settledWithin } from "./process-tree.ts";

/** When a hook runs. */
export type HookName = (typeof HOOK_NAMES)[number];
const HOOK_NAMES = ["pre-promote", "on-promote", "on-demote", "on-leader-change"] as const;

/** What a run of a hook came to: it was killed when it took too long, or when what it told of was over. */
export type HookResult = "ok" | "failed" | "timeout" | "cancelled";

/** What all hooks are run with. */
export interface HookOptions {
  /** Shell commands; a hook without one does nothing. */
  readonly commands: Readonly<Partial<Record<HookName, string>>>;
  readonly election: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds a hook may take before it is killed. */
  readonly timeoutMs: number;
  readonly log: Notes;
  readonly guard: ServiceGuard | undefined;
  /** Told what each run came to, and how many milliseconds it took. */
  readonly onRun?: ((name: HookName, result: HookResult, durationMs: number) => void) | undefined;
}

/** What one run of a hook is told. */
export interface HookCall {
  readonly role: "leader" | "standby";
  /** The term's variables, added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly leader: Leader | null;
  /** Why the term ended, for `on-demote`. */
  readonly reason?: string | undefined;
  /** Kills the hook. */
  readonly signal?: AbortSignal;
}

/**
 * The user's hooks: one at a time, in the order of what they tell of, each bounded. Of several leader changes that wait
 * for their turn only the newest is told.
 */
export class Hooks {
  readonly #options: HookOptions;
  #last: Promise<unknown> = Promise.resolve();
  #newestChange: HookCall | undefined;

  constructor(options: HookOptions) {
    this.#options = options;
  }

  /** Those that there are. */
  get names(): readonly HookName[] {
    return HOOK_NAMES.filter((name) => this.has(name));
  }

  has(name: HookName): boolean {
    return this.#options.commands[name] !== undefined;
  }

  /** Runs a hook when those before it have ended. Resolves with whether it succeeded, true if there is none. */
  run(name: HookName, call: HookCall): Promise<boolean> {
    const command = this.#options.commands[name];
    if (command === undefined) return Promise.resolve(true);
    return this.#inTurn(() => this.#run(name, command, call));
  }

  leaderChanged(call: HookCall): void {
    const waiting = this.#newestChange !== undefined;
    this.#newestChange = call;
    const command = this.#options.commands["on-leader-change"];
    if (waiting || command === undefined) return;
    void this.#inTurn(async () => {
      const newest = this.#newestChange ?? call;
      this.#newestChange = undefined;
      return this.#run("on-leader-change", command, newest);
    });
  }

  /** Resolves when no hook runs or waits. */
  async idle(): Promise<void> {
    await this.#last;
  }

  #inTurn(hook: () => Promise<boolean>): Promise<boolean> {
    const turn = this.#last.then(hook);
    this.#last = turn;
    return turn;
  }

  async #run(name: HookName, command: string, call: HookCall): Promise<boolean> {
    const startedAt = systemClock.now();
    const ran = (result: HookResult): boolean => {
      this.#options.onRun?.(name, result, systemClock.now() - startedAt);
      return result === "ok";
    };
    try {
      return ran(await this.#spawn(name, command, call));
    } catch (error) {
      this.#options.log.note(
        `the hook ${name} cannot be run: ${error instanceof Error ? error.message : String(error)}`,
      );
      return ran("failed");
    }
  }

  async #spawn(name: HookName, command: string, { role, env, leader, reason, signal }: HookCall): Promise<HookResult> {
    const { election, timeoutMs, log, guard } = this.#options;
    if (signal?.aborted === true) return "cancelled";
    const token = env?.["TENURE_TOKEN"] ?? null;
    const facts = { hook: name, election, role, token, leader: leader && leaderJson(leader), reason: reason ?? null };
    const hook = new ProcessTree({
      what: `the hook ${name}`,
      file: "/bin/sh",
      args: ["-c", command],
      env: { ...this.#options.env, TENURE_ELECTION: election, ...env, TENURE_HOOK: name },
      input: `${JSON.stringify(facts)}\n`,
      log,
      guard,
    });
    let cancelled = false;
    const kill = (): void => {
      cancelled = true;
      void hook.kill();
    };
    signal?.addEventListener("abort", kill, { once: true });
    await settledWithin(hook.exited, timeoutMs);
    const late = hook.running && !cancelled;
    await hook.kill();
    signal?.removeEventListener("abort", kill);
    const exit = await hook.exited;
    if (late) log.note(`the hook ${name} took longer than ${timeoutMs / 1000} s and was killed`);
    else if (exit.code !== 0 && !cancelled) log.note(`the hook ${name} ${exit.text}`);
    if (exit.code === 0) return "ok";
    return late ? "timeout" : cancelled ? "cancelled" : "failed";
  }
}
