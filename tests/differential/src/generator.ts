import { Chance } from "../../simulation/src/chance.ts";
import { authOpening, authOperation, jwtOperations, status } from "./generate-auth.ts";
import { ElectionGenerator } from "./generate-elections.ts";
import { compactRequest, deleteRequest, putRequest, rangeRequest, txnRequest } from "./generate-kv.ts";
import { upkeepOperation } from "./generate-upkeep.ts";
import type { Json, JsonMessage, Operation } from "./operation.ts";
import { largest, lease, type Pools, range, revision, weighted } from "./pools.ts";
import { connectionCount } from "./subject.ts";

const streams = 3;
/** Seconds that no run lasts. */
const longTtl = 600;

/**
 * What a run is about: keys, leases and watches; the same with hashes, alarms and members; users and roles, with simple
 * tokens or signed ones; elections and locks.
 */
export type RunKind = "keys" | "upkeep" | "auth" | "jwt" | "elections";

/** Draws the operations of one run. The same seed and the same answers give the same ones. */
export class Generator implements Pools {
  readonly chance: Chance;
  revision = 1;
  compacted = 0;
  authRevision = 0;
  readonly compactions: Set<Json> = new Set();
  readonly namedLeases: string[] = [];
  readonly #kind: RunKind;
  readonly #elections: ElectionGenerator;
  readonly #planned: Operation[] = [];

  constructor(seed: number, kind: RunKind) {
    this.chance = new Chance(seed);
    this.#kind = kind;
    this.#elections = new ElectionGenerator(this);
    if (kind === "auth" || kind === "jwt") this.#planned.push(...authOpening(this));
    if (kind === "jwt") this.#planned.push(status());
    if (kind === "elections") this.#planned.push(...this.#elections.opening());
  }

  /** The next operation. */
  next(): Operation {
    const planned = this.#planned.shift();
    if (planned !== undefined) return planned;
    const [first, ...rest] = this.#steps();
    this.#planned.unshift(...rest);
    return first ?? { settle: true };
  }

  /** The next steps that belong together. */
  #steps(): readonly Operation[] {
    switch (this.#kind) {
      case "keys":
        return [this.#keyOperation()];
      case "upkeep":
        return this.chance.happens(0.15) ? upkeepOperation(this) : [this.#keyOperation()];
      case "auth":
        return [authOperation(this)];
      case "jwt":
        return jwtOperations(this);
      case "elections":
        return this.#elections.next();
    }
  }

  #keyOperation(): Operation {
    const { chance } = this;
    return weighted<() => Operation>(chance, [
      [22, () => this.#call("KV.Put", putRequest(this))],
      [20, () => this.#call("KV.Range", rangeRequest(this))],
      [9, () => this.#call("KV.DeleteRange", deleteRequest(this))],
      [17, () => this.#call("KV.Txn", txnRequest(this))],
      [1.5, () => this.#call("KV.Compact", compactRequest(this))],
      [5, () => this.#grant()],
      [2.5, () => this.#call("Lease.LeaseRevoke", { ID: lease(this) })],
      [3, () => this.#call("Lease.LeaseTimeToLive", { ID: lease(this), ...(chance.happens(0.7) && { keys: true }) })],
      [0.7, () => this.#call("Lease.LeaseLeases", {})],
      [1.5, () => ({ keepAlive: [lease(this), lease(this)], on: chance.whole(0, connectionCount - 1) })],
      [0.3, () => this.#call("Maintenance.Alarm", {})],
      [6, () => this.#watch({ createRequest: this.#createRequest() })],
      [2, () => this.#watch({ cancelRequest: { watchId: chance.happens(0.9) ? chance.whole(0, 8) : -1 } })],
      [1.5, () => this.#watch({ progressRequest: {} })],
      [0.7, () => ({ close: chance.whole(0, streams - 1) })],
      [3, () => ({ settle: true })],
      [0.1, () => this.#largeEvents()],
    ])();
  }

  /** Takes what can be learned from the answer to the last operation. */
  learn(operation: Operation, answer: Json): void {
    const said = (answer as { answer?: { header?: { revision?: number } } } | null)?.answer;
    const revisionNow = said?.header?.revision;
    if (revisionNow !== undefined && revisionNow > this.revision) this.revision = revisionNow;
    if (said === undefined) return;
    this.#elections.learn(operation, said as JsonMessage);
    if (!("on" in operation) || !("call" in operation)) return;
    if (operation.call === "Auth.AuthStatus") {
      this.authRevision = Number((said as { readonly authRevision?: number }).authRevision ?? 0);
    }
    if (operation.call === "KV.Compact") {
      this.compacted = Number(operation.request["revision"]);
      this.compactions.add(this.compacted);
    }
    if (operation.as?.startsWith("lease:") === true) this.namedLeases.push(operation.as);
  }

  #call(call: string, request: JsonMessage): Operation {
    return { call, on: this.chance.whole(0, connectionCount - 1), request };
  }

  #grant(): Operation {
    const { chance } = this;
    const ttl = weighted<Json>(chance, [
      [20, longTtl + chance.whole(0, 100)],
      [1, "9000000000"],
      [1, "9000000001"],
      [1, largest],
    ]);
    // Ids that the servers chose would make different hashes.
    if (this.#kind === "upkeep" || chance.happens(0.7))
      return this.#call("Lease.LeaseGrant", { ID: lease(this), TTL: ttl });
    const name = `lease:${this.namedLeases.length + 1}`;
    return { call: "Lease.LeaseGrant", on: 0, request: { TTL: ttl }, as: name };
  }

  /** Events that are larger together than one answer may be. */
  #largeEvents(): Operation {
    const { chance } = this;
    const put = (key: string): Json => {
      return { requestPut: { key, value: { times: chance.whole(500_000, 780_000), of: "e" } } };
    };
    const puts = (): Operation => this.#call("KV.Txn", { success: ["a", "b"].map(put) });
    const watch = { key: "a", rangeEnd: "c", prevKv: chance.happens(0.8), fragment: chance.happens(0.8) };
    this.#planned.push(puts(), puts(), { settle: true }, this.#call("KV.DeleteRange", { key: "a", rangeEnd: "c" }));
    return this.#watch({ createRequest: watch });
  }

  #watch(watch: JsonMessage): Operation {
    return { watch, stream: this.chance.whole(0, streams - 1) };
  }

  #createRequest(): JsonMessage {
    const { chance } = this;
    const request: Record<string, Json> = range(chance);
    if (chance.happens(0.3)) request["startRevision"] = revision(this);
    if (chance.happens(0.3)) request["prevKv"] = true;
    if (chance.happens(0.05)) request["progressNotify"] = true;
    if (chance.happens(0.1)) request["fragment"] = true;
    if (chance.happens(0.2)) request["watchId"] = chance.happens(0.9) ? chance.whole(1, 8) : -1;
    if (chance.happens(0.2)) {
      const filter = (): number =>
        weighted(chance, [
          [10, 0],
          [10, 1],
          [1, 2],
        ]);
      request["filters"] = Array.from({ length: chance.whole(1, 2) }, filter);
    }
    return request;
  }
}
