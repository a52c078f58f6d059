import { EtcdClient } from "@tenure/etcd";
import { ManualClock, seededRandom, systemClock } from "@tenure/etcd/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { EtcdServer } from "../core/etcd-server.ts";
import { limitsOf } from "../limits.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcRouter } from "./grpc-service.ts";
import { addKv } from "./kv.ts";
import { addLease } from "./lease.ts";
import type { OutputGate } from "./output-gate.ts";
import { addWatch } from "./watch.ts";

/** A gate that the test opens. */
class TestGate implements OutputGate {
  isOpen = true;
  readonly #held: (() => void)[] = [];
  #wake: () => void = () => {};

  hold(release: () => void): void {
    this.#held.push(release);
    this.#wake();
  }

  /** Resolves when so many answers wait. */
  async holds(count: number): Promise<void> {
    while (this.#held.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Lets the oldest of them go. */
  releaseOne(): void {
    this.#held.shift()?.();
    this.isOpen = this.#held.length === 0;
  }
}

let gate: TestGate;
let grpc: GrpcServer;
let client: EtcdClient;
let answers: string[];

beforeEach(async () => {
  gate = new TestGate();
  answers = [];
  const server = new EtcdServer({ clock: new ManualClock(), random: seededRandom(1), firstRevision: 1n });
  const router = new GrpcRouter();
  addKv(router, server);
  addLease(router, server);
  addWatch(router, server);
  grpc = new GrpcServer({ router, clock: systemClock, limits: limitsOf({}), gate });
  client = new EtcdClient({ endpoints: [`http://127.0.0.1:${await grpc.listen("127.0.0.1", 0)}`] });
  await client.kv.put("a", "0");
});

afterEach(async () => {
  await client.close();
  await grpc.close();
});

/** Notes the name of a request when it is answered, be it refused. */
async function noted(name: string, request: Promise<unknown>): Promise<void> {
  await request.catch(() => undefined);
  answers.push(name);
}

describe("while the gate is closed", () => {
  it("no answer goes, of a write, a read or a refusal, and then all go in order", async () => {
    gate.isOpen = false;
    const requests: Promise<void>[] = [];
    for (const [name, ask] of [
      ["put", () => client.kv.put("a", "1")],
      ["get", () => client.kv.range("a")],
      ["refusal", () => client.lease.revoke(7n)],
    ] as const) {
      requests.push(noted(name, ask()));
      await gate.holds(requests.length);
    }
    expect(answers).toEqual([]);
    for (const [index, request] of requests.entries()) {
      gate.releaseOne();
      await request;
      expect(answers).toHaveLength(index + 1);
    }
    expect(answers).toEqual(["put", "get", "refusal"]);
    await client.kv.put("a", "2");
  });

  it("a watch shows nothing, and then each event once and in order", async () => {
    const ending = new AbortController();
    const watch = client.watch.watch("a", { signal: ending.signal });
    await watch.next();
    gate.isOpen = false;
    const puts = ["1", "2", "3"].map((value) => client.kv.put("a", value));
    // Each put and its event.
    await gate.holds(6);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const message of watch) {
        const events = "events" in message ? message.events : [];
        for (const { kv } of events) seen.push(Buffer.from(kv?.value ?? []).toString());
        if (seen.length >= 3) return;
      }
    })();
    expect(seen).toEqual([]);
    for (let left = 6; left > 0; left -= 1) gate.releaseOne();
    await reading;
    expect(seen).toEqual(["1", "2", "3"]);
    await Promise.all(puts);
    ending.abort();
  });
});
