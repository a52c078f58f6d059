import { EtcdError, type EtcdClient, type WatchMessage, type WatchStream } from "@tenure/etcd";

const NOTHING = (): void => undefined;

/**
 * Notices that a watch is silent or behind: that of a member which froze, or lost touch with the others, and whose
 * connection stands all the same.
 *
 * The watch is asked for its progress as often as a lease is renewed. What it says must reach the highest revision that
 * any answer of the cluster had shown by then, within the time that a keep-alive may take. Members that catch up are
 * asked again until then.
 */
export class LagAlarm {
  readonly #etcd: EtcdClient;
  readonly #stream: WatchStream;
  readonly #silenceMs: () => number;
  readonly #onAlarm: (error: EtcdError, why: "silent" | "lagging") => void;
  /** What the watch must reach; undefined while nothing was asked. */
  #target: bigint | undefined;
  /** Whether it answered, but did not reach the target. */
  #behind = false;
  #cancelAlarm: () => void = NOTHING;
  #cancelAsking: () => void = NOTHING;

  /**
   * Starts with the wait for the watch to be created.
   *
   * @param silenceMs how long the watch may take to answer
   * @param onAlarm told once at most
   */
  constructor(
    etcd: EtcdClient,
    stream: WatchStream,
    silenceMs: () => number,
    onAlarm: (error: EtcdError, why: "silent" | "lagging") => void,
  ) {
    this.#etcd = etcd;
    this.#stream = stream;
    this.#silenceMs = silenceMs;
    this.#onAlarm = onAlarm;
    this.#target = 0n;
    this.#armAlarm();
  }

  /** To be told of every message of the watch. */
  heard(message: WatchMessage): void {
    if (this.#target === undefined) {
      // An answer to another watch of the same stream, asked for at least as late as ours would be.
      const answersAll = message.t === "progress" && message.revision >= this.#etcd.lineage.revision;
      if (answersAll) this.#askLater();
      return;
    }
    this.#behind = message.revision < this.#target;
    if (!this.#behind) {
      this.#target = undefined;
      this.stop();
      this.#askLater();
    }
  }

  stop(): void {
    this.#cancelAlarm();
    this.#cancelAsking();
    // Not to keep timers that will never fire.
    this.#cancelAlarm = NOTHING;
    this.#cancelAsking = NOTHING;
  }

  #askLater(): void {
    this.#cancelAsking();
    this.#cancelAsking = this.#etcd.clock.after(2 * this.#silenceMs(), () => this.#ask());
  }

  #ask(): void {
    this.#target = this.#etcd.lineage.revision;
    this.#behind = false;
    this.#askNow();
    this.#armAlarm();
  }

  /** A member that is behind answers that it is, and a busy one loses a question now and then. */
  #askNow(): void {
    this.#stream.requestProgress();
    this.#cancelAsking = this.#etcd.clock.after(this.#silenceMs() / 4, () => this.#askNow());
  }

  #armAlarm(): void {
    const { clock } = this.#etcd;
    const silenceMs = this.#silenceMs();
    // By the clock that timers go by: what counts is whether this one is late, and a campaign waits for the reading.
    const dueAt = clock.monotonic() + silenceMs;
    this.#cancelAlarm = clock.after(silenceMs, () => {
      // A timer that is late itself says that the process stood still: the answer may be here, unread.
      if (clock.monotonic() - dueAt > silenceMs) return this.#armAlarm();
      this.stop();
      if (this.#behind) this.#onAlarm(overdue("the watch is behind the rest of the cluster"), "lagging");
      else this.#onAlarm(overdue("the watch is silent"), "silent");
    });
  }
}

/** The reason that makes the transport suspect the member. */
function overdue(message: string): EtcdError {
  return new EtcdError("deadline-exceeded", message);
}
