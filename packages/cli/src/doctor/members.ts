import { MEMBER_NAME } from "@tenure/embed";
import { EtcdClient, type EtcdClientOptions, EtcdError } from "@tenure/etcd";
import type { StatusResponse } from "@tenure/etcd/rpc";
import { type Sampling, sample, type Spread } from "./samples.ts";

/** Why a member that answers does not say how it is. */
type Refusal =
  /** Who asks is not who they say. */
  | "unauthenticated"
  /** Its state is for others to see. */
  | "permission-denied"
  /** It sees no leader of the cluster. */
  | "no-leader";

/** What one endpoint said of itself, asked over a connection of its own. Ids are hexadecimal. */
export interface MemberReport {
  readonly endpoint: string;
  /** Whether it answered, if only to refuse. */
  readonly reachable: boolean;
  /** Why it did not answer, or why it refused to. */
  readonly reason: string | null;
  readonly refusal: Refusal | null;
  /** True for the embedded etcd, whose version says only what it follows. */
  readonly embedded: boolean;
  readonly version: string | null;
  readonly memberId: string | null;
  readonly clusterId: string | null;
  readonly role: "leader" | "follower" | "learner" | null;
  /** Who leads the cluster as this member sees it; null when it sees no leader, or did not say. */
  readonly leaderId: string | null;
  readonly raftTerm: string | null;
  readonly dbSizeBytes: number | null;
  /** Told since etcd 3.6. */
  readonly dbQuotaBytes: number | null;
  readonly alarms: readonly string[];
  /** A read that this member answers by itself. */
  readonly roundTripMs: Spread | null;
}

/** One endpoint, asked by itself. */
export class Member implements AsyncDisposable {
  readonly endpoint: string;
  readonly #etcd: EtcdClient;
  #status: StatusResponse | undefined;
  #failure: EtcdError | undefined;
  #name: string | undefined;
  #roundTripMs: Spread | null = null;

  constructor(endpoint: string, options: EtcdClientOptions) {
    this.endpoint = endpoint;
    this.#etcd = new EtcdClient({ ...options, endpoints: [endpoint] });
  }

  /** Asks for its state. Never throws: what went wrong is part of the report. */
  async ask(timeoutMs: number, signal: AbortSignal): Promise<void> {
    try {
      this.#status = await this.#etcd.maintenance.status({ timeoutMs, signal });
      this.#name = await this.#askName(timeoutMs, signal);
    } catch (error) {
      this.#failure = EtcdError.from(error);
    }
  }

  /** Measures its round trip. */
  async measure(key: string, timeoutMs: number, sampling: Sampling): Promise<void> {
    const { signal } = sampling;
    const options = { serializable: true, timeoutMs, signal };
    const samples = await sample(() => this.#etcd.kv.range(key, options), sampling);
    this.#roundTripMs = samples.spread();
  }

  get reachable(): boolean {
    return this.#failure === undefined || this.refusal !== undefined;
  }

  get refusal(): Refusal | undefined {
    const error = this.#failure;
    if (error?.code === "unauthenticated" || error?.code === "permission-denied") return error.code;
    return error?.message.includes("etcdserver: no leader") === true ? "no-leader" : undefined;
  }

  report(): MemberReport {
    const status = this.#status;
    return {
      endpoint: this.endpoint,
      reachable: this.reachable,
      refusal: this.refusal ?? null,
      reason: this.#failure?.message.replaceAll(`${this.endpoint}: `, "") ?? null,
      embedded: this.#name === MEMBER_NAME,
      version: status?.version ?? null,
      memberId: hex(status?.header?.memberId),
      clusterId: hex(status?.header?.clusterId),
      role: status === undefined ? null : roleOf(status),
      leaderId: hex(status?.leader),
      raftTerm: status?.raftTerm.toString() ?? null,
      dbSizeBytes: status === undefined ? null : Number(status.dbSize),
      dbQuotaBytes: status === undefined || status.dbSizeQuota === 0n ? null : Number(status.dbSizeQuota),
      alarms: status?.errors.flatMap((error) => /alarm:(\w+)/.exec(error)?.[1] ?? []) ?? [],
      roundTripMs: this.#roundTripMs,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#etcd.close();
  }

  /** Its name in the list of members, which not every user may see. */
  async #askName(timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { members, header } = await this.#etcd.cluster.memberList({ timeoutMs, signal, linearizable: false });
      return members.find(({ ID }) => ID === header?.memberId)?.name;
    } catch {
      return undefined; // the name is all that is missing then
    }
  }
}

function roleOf(status: StatusResponse): MemberReport["role"] {
  if (status.isLearner) return "learner";
  return status.leader === status.header?.memberId ? "leader" : "follower";
}

/** An id; null for none. */
function hex(id: bigint | undefined): string | null {
  return id === undefined || id === 0n ? null : id.toString(16);
}
