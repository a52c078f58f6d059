import { constants } from "node:os";

/** What asks a supervisor to end. */
const STOPS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;
/** What is for the program alone. */
const PASSED_ON = ["SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT"] as const;
const SIGNAL_EXIT_BASE = 128;

/** What tells a supervisor to end, and its program of other things. */
export interface Orders {
  /** Aborts at the first order to stop. */
  readonly stop: AbortSignal;
  /** Aborts at the second one: whoever gives it will not wait. */
  readonly hurry: AbortSignal;
  /** The signal that was the first order. */
  readonly name: NodeJS.Signals | undefined;
  /** Why it has to stop, once it has. */
  readonly why: string;
  /** The exit code of who was stopped before there was a program. */
  readonly exitCode: number;
  /** What is done with a signal that is for the program. */
  passOn: (name: NodeJS.Signals) => void;
}

/** The signals a supervisor gets, from its very start on. */
export class Signals implements Orders, Disposable {
  readonly #first = new AbortController();
  readonly #second = new AbortController();
  readonly #onStop = (name: NodeJS.Signals): void => this.#stopped(name);
  readonly #onPassedOn = (name: NodeJS.Signals): void => this.passOn(name);
  #name: NodeJS.Signals | undefined;

  passOn: (name: NodeJS.Signals) => void = () => undefined;

  constructor() {
    for (const name of STOPS) process.on(name, this.#onStop);
    for (const name of PASSED_ON) process.on(name, this.#onPassedOn);
  }

  get stop(): AbortSignal {
    return this.#first.signal;
  }

  get hurry(): AbortSignal {
    return this.#second.signal;
  }

  get name(): NodeJS.Signals | undefined {
    return this.#name;
  }

  get why(): string {
    return `${this.#name} was received`;
  }

  /** What a shell would say of a process that this signal ended. */
  get exitCode(): number {
    return this.#name === undefined ? 0 : SIGNAL_EXIT_BASE + constants.signals[this.#name];
  }

  [Symbol.dispose](): void {
    for (const name of STOPS) process.off(name, this.#onStop);
    for (const name of PASSED_ON) process.off(name, this.#onPassedOn);
  }

  #stopped(name: NodeJS.Signals): void {
    if (this.#name !== undefined) return this.#second.abort();
    this.#name = name;
    this.#first.abort();
  }
}
