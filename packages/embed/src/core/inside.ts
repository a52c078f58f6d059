import type { AlarmStore } from "./alarm-store.ts";
import type { AuthStore } from "./auth-store.ts";
import type { KvStore } from "./kvstore.ts";
import type { Lessor } from "./lessor.ts";
import type { WatchStream } from "./watch-stream.ts";

/** What a server is made of, for the test kit: it looks in, and does what else only time would do. */
export interface Inside {
  readonly memberId: bigint;
  readonly alarms: AlarmStore;
  readonly authStore: AuthStore;
  readonly lessor: Lessor;
  readonly store: KvStore;
  readonly watchStreams: ReadonlySet<WatchStream>;
  /** Ends a lease as if it had run out. Returns whether there was one. */
  readonly endLease: (id: bigint) => boolean;
}
