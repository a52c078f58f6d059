import type { RealEtcd } from "../../support/real-etcd.ts";

/** One candidacy, in whatever program it stands. */
export interface Candidate {
  readonly value: string;
  /** Resolves when its program says that it is elected. */
  readonly elected: Promise<void>;
  readonly isElected: boolean;
  /** Steps down, or leaves the queue when it still waits; resolves when its program says so. */
  readonly leave: () => Promise<void>;
  /** Kills its process: the key stays until the lease ends. Absent where the program is this process. */
  readonly kill?: () => Promise<void>;
}

/** One observer of an election, in whatever program it looks on. */
export interface Observer {
  /** The value of each leader it told of, in order. */
  readonly seen: readonly string[];
  /** The last value it told of. */
  readonly latest: string | undefined;
}

/** One kind of program in one election. */
export interface Peer extends AsyncDisposable {
  /** Starts to campaign; does not wait for the key, nor for the election. */
  stand(value: string): Promise<Candidate>;
  observe(): Promise<Observer>;
  /** The value of who leads, null when nobody does. */
  leader(): Promise<string | null>;
}

/** A kind of program that elects in etcd. */
export interface PeerKind {
  readonly name: string;
  /** Whether the developer asked to do without. */
  readonly skip?: boolean;
  /** Which etcd to run it on, "3.5" by default. */
  readonly version?: "3.4" | "3.5";
  /** What takes longer than a test may: a download. */
  readonly prepare?: () => Promise<unknown>;
  /** @param name the election's name; the keys are `<name>/<lease>` */
  readonly start: (etcd: RealEtcd, name: string) => Promise<Peer>;
}

/** An observer that is told what its program prints. */
export class SeenValues implements Observer {
  readonly seen: string[] = [];

  get latest(): string | undefined {
    return this.seen.at(-1);
  }
}

/** Follows a program's answer that it is elected. */
export function candidate(
  value: string,
  elected: Promise<unknown>,
  end: { readonly leave: () => Promise<void>; readonly kill?: () => Promise<void> },
): Candidate {
  let isElected = false;
  const told = elected.then(() => {
    isElected = true;
  });
  told.catch(() => undefined); // who waits for it hears of it
  return {
    value,
    elected: told,
    get isElected() {
      return isElected;
    },
    ...end,
  };
}
