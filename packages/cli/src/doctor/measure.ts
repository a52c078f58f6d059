import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { type ClockReport, ClockWatch } from "./clock-watch.ts";
import { keepAlives, type ProbeLease, withLease } from "./probe-lease.ts";
import { Samples, type Sampling, sample } from "./samples.ts";

/** What to measure. */
export interface MeasureOptions {
  /** Under which to read and write: a namespace and a name of the doctor's own. */
  readonly prefix: string;
  readonly ttlMs: number;
  readonly durationMs: number;
  /** Milliseconds that one request may take. */
  readonly timeoutMs: number;
  /** Whether to write nothing: no lease, no key. */
  readonly readOnly: boolean;
  /** The user's wish to stop. */
  readonly signal: AbortSignal;
}

/** What was measured of the cluster as a whole. */
export interface Measurements {
  readonly clocks: ClockReport;
  /** Linearizable reads. */
  readonly reads: Samples;
  /** Undefined when nothing was to be written. */
  readonly writes: WriteMeasurements | undefined;
}

/** What was measured by writing. */
export interface WriteMeasurements {
  /** Undefined when no lease was granted. */
  readonly lease: ProbeLease | undefined;
  /** Why not. */
  readonly leaseError: EtcdError | undefined;
  readonly keepAlives: Samples;
  /** Puts. */
  readonly commits: Samples;
  /** From the sending of a put to the event of a watch that shows it. */
  readonly events: Samples;
}

/** So that a store in use hardly notices. */
const PAUSE_MS = 20;
const KEEP_ALIVE_PAUSE_MS = 100;

/** Measures for as long as asked for; `beside` is measured during the same time. */
export async function measure(
  etcd: EtcdClient,
  options: MeasureOptions,
  beside: (sampling: Sampling) => Promise<unknown>,
): Promise<Measurements> {
  const { prefix, timeoutMs, readOnly } = options;
  const { clock } = etcd;
  const over = new AbortController();
  const cancelTimer = clock.after(options.durationMs, () => over.abort());
  const signal = AbortSignal.any([over.signal, options.signal]);
  const clocks = new ClockWatch(clock);
  const sampling = { clock, pauseMs: PAUSE_MS, signal };
  try {
    const [reads, writes] = await Promise.all([
      sample(() => etcd.kv.range(prefix, { timeoutMs, signal }), sampling),
      readOnly ? undefined : measureWrites(etcd, options, sampling),
      beside({ ...sampling, pauseMs: KEEP_ALIVE_PAUSE_MS }),
    ]);
    return { clocks: clocks.stop(), reads, writes };
  } finally {
    cancelTimer();
    clocks.stop();
  }
}

async function measureWrites(
  etcd: EtcdClient,
  options: MeasureOptions,
  sampling: Sampling,
): Promise<WriteMeasurements> {
  try {
    return await withLease(etcd, { ...options, signal: sampling.signal }, async (lease) => {
      const [alive, { commits, events }] = await Promise.all([
        keepAlives(etcd, lease, { ...sampling, pauseMs: KEEP_ALIVE_PAUSE_MS }),
        measurePuts(etcd, lease, options, sampling),
      ]);
      return { lease, leaseError: undefined, keepAlives: alive, commits, events };
    });
  } catch (error) {
    const none = new Samples();
    return { lease: undefined, leaseError: EtcdError.from(error), keepAlives: none, commits: none, events: none };
  }
}

async function measurePuts(
  etcd: EtcdClient,
  lease: ProbeLease,
  { prefix, timeoutMs }: MeasureOptions,
  sampling: Sampling,
): Promise<Pick<WriteMeasurements, "commits" | "events">> {
  const { clock, signal } = sampling;
  // As a candidate of an election of this name has it, so that it is foreign to no election around.
  const key = `${prefix}${lease.id.toString(16)}`;
  const events = new Samples();
  /** When each value was sent. */
  const sentAt = new Map<string, number>();
  const watching = watchValues(etcd, key, signal, (value) => {
    const sent = sentAt.get(value);
    if (sent !== undefined) events.add(clock.monotonic() - sent);
    sentAt.delete(value);
  }).catch((error: unknown) => {
    if (!signal.aborted) events.fail(EtcdError.from(error));
  });
  let count = 0;
  const put = (): Promise<unknown> => {
    const value = String(++count);
    sentAt.set(value, clock.monotonic());
    return etcd.kv.put(key, value, { leaseId: lease.id, timeoutMs, signal });
  };
  const commits = await sample(put, sampling);
  await watching;
  return { commits, events };
}

/** Tells each value that is put to a key, until the signal aborts or the watch breaks. */
async function watchValues(
  etcd: EtcdClient,
  key: string,
  signal: AbortSignal,
  onValue: (value: string) => void,
): Promise<void> {
  for await (const message of etcd.watch.watch(key, { signal, without: "delete" })) {
    if (message.t !== "events") continue;
    for (const { kv } of message.events) if (kv !== undefined) onValue(Buffer.from(kv.value).toString());
  }
}
