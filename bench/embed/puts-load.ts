import { pause } from "../../tests/support/until.ts";
import type { Load, Measure } from "./protocol.ts";
import { paths, type RawClient } from "./raw-client.ts";
import { putRequest, rangeRequest } from "./requests.ts";
import { quantile, residentMbOf, Use } from "./use.ts";

type LoadOf<D extends Load["do"]> = Extract<Load, { readonly do: D }>;

/** How many different keys are put under load. */
const keys = 10_000;
const fillInFlight = 64;
const reads = 300;
const rangeKeys = 100;
/** A process gives memory back a while after the load. */
const restMs = 3_000;

/** Puts without end, so many at a time. */
export async function puts(client: RawClient, load: LoadOf<"puts">): Promise<Measure[]> {
  const value = Buffer.alloc(load.valueBytes, "x");
  const requests = Array.from({ length: keys }, (_, number) => putRequest(number, value));
  let latencies: number[] = [];
  let next = 0;
  let refused = 0;
  let isOver = false;
  const start = (): void => {
    if (isOver) return;
    const request = requests[next++ % keys] ?? Buffer.alloc(0);
    const startedAt = performance.now();
    client.call(paths.put, request, (answer) => {
      if (answer === undefined) refused += 1;
      latencies.push(performance.now() - startedAt);
      start();
    });
  };
  for (let each = 0; each < load.inFlight; each++) start();
  await pause(load.warmUpMs);
  latencies = [];
  const use = new Use(load.pid);
  await pause(load.measureMs);
  const count = latencies.length;
  const { elapsedMs, serverPercent, clientPercent } = use;
  isOver = true;
  if (refused > 0) throw new Error(`${refused} puts were refused`);
  return [
    { what: "puts", unit: "/s", value: (count / elapsedMs) * 1000 },
    { what: "puts, median", unit: "ms", value: quantile(latencies, 0.5) },
    { what: "puts, 99 of 100", unit: "ms", value: quantile(latencies, 0.99) },
    { what: "CPU of the server for 1,000 puts", unit: "ms", value: ((serverPercent / 100) * elapsedMs * 1000) / count },
    { what: "CPU of the server", unit: "% of a core", value: serverPercent },
    { what: "CPU of the client", unit: "% of a core", value: clientPercent },
    { what: "memory", unit: "MB", value: residentMbOf(load.pid) },
  ];
}

/** Puts keys that are not there yet, and then looks what the store is like with all of them. */
export async function fill(client: RawClient, { from, to, valueBytes, pid }: LoadOf<"fill">): Promise<Measure[]> {
  const value = Buffer.alloc(valueBytes, "x");
  // In an order in which they do not follow one another: 7,919 is prime and divides none of the counts.
  const step = 7919;
  let next = 0;
  const count = to - from;
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) await client.ask(paths.put, putRequest(from + ((next++ * step) % count), value));
  };
  await Promise.all(Array.from({ length: fillInFlight }, worker));
  const elapsedMs = performance.now() - startedAt;
  const one = await timesOf(reads, (index) => client.ask(paths.range, rangeRequest((index * step) % to, 1)));
  const many = await timesOf(reads, (index) =>
    client.ask(paths.range, rangeRequest((index * step) % Math.max(1, to - rangeKeys), rangeKeys)),
  );
  await pause(restMs);
  const at = `${to.toLocaleString("en")} keys`;
  return [
    { what: `${at}: puts of new keys up to there`, unit: "/s", value: (count / elapsedMs) * 1000 },
    { what: `${at}: read of one`, unit: "ms", value: quantile(one, 0.5) },
    { what: `${at}: read of ${rangeKeys}`, unit: "ms", value: quantile(many, 0.5) },
    { what: `${at}: memory`, unit: "MB", value: residentMbOf(pid) },
  ];
}

/** One put. */
export async function firstPut(client: RawClient): Promise<Measure[]> {
  await client.ask(paths.put, putRequest(0, Buffer.from("x")));
  return [];
}

async function timesOf(count: number, action: (index: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now();
    await action(index);
    times.push(performance.now() - startedAt);
  }
  return times;
}
