import * as http from "node:http";
import * as https from "node:https";
import type { Credentials, TlsFiles } from "./security.ts";

/** A member's answer that is no success. */
class GatewayError extends Error {}

/** A key as etcd's JSON shows it, decoded. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly lease: bigint;
}

/** A change of a key. */
export interface KeyEvent {
  readonly deleted: boolean;
  readonly kv: KeyValue;
}

/** What a member says of itself. */
export interface MemberStatus {
  readonly memberId: string;
  readonly leaderId: string;
  readonly raftIndex: bigint;
  readonly revision: bigint;
}

interface RawKeyValue {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly lease?: string;
}

interface RawHeader {
  readonly member_id?: string;
  readonly revision?: string;
}

/** How a call is made. */
export interface CallSettings {
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 2_000;

/**
 * One member's JSON gateway. The witness must not share a line of code with the client that it watches, so it speaks
 * plain HTTP with etcd.
 */
export class Gateway {
  readonly #url: URL;
  readonly #tls: TlsFiles | undefined;
  /** Connections are used again, for as long as the certificates stay the same: agents tell them apart by that. */
  readonly #agent: http.Agent;
  readonly #watches = new Set<AbortController>();
  #credentials: Credentials | undefined;
  #token: string | undefined;

  constructor(endpoint: string, tls?: TlsFiles) {
    this.#url = new URL(endpoint);
    this.#tls = tls;
    this.#agent = new (tls === undefined ? http : https).Agent({ keepAlive: true });
  }

  /** From now on calls are made as this user. */
  signIn(credentials: Credentials): void {
    this.#credentials = credentials;
  }

  /** Calls a method by its path under /v3, such as "kv/range". */
  async call(path: string, body: object, settings: CallSettings = {}): Promise<unknown> {
    if (this.#credentials !== undefined) this.#token ??= await this.#authenticate();
    try {
      return await this.#post(path, body, settings);
    } catch (error) {
      this.#token = undefined; // perhaps it expired
      throw error;
    }
  }

  async status(settings?: CallSettings): Promise<MemberStatus> {
    const answer = (await this.call("maintenance/status", {}, settings)) as {
      readonly header: RawHeader;
      readonly leader?: string;
      readonly raftIndex?: string;
    };
    return {
      memberId: answer.header.member_id ?? "0",
      leaderId: answer.leader ?? "0",
      raftIndex: BigInt(answer.raftIndex ?? 0),
      revision: BigInt(answer.header.revision ?? 0),
    };
  }

  /** Renews a lease once. */
  async renew(lease: string, settings: CallSettings): Promise<void> {
    const { result, error } = (await this.call("lease/keepalive", { ID: lease }, settings)) as {
      readonly result?: { readonly TTL?: string };
      readonly error?: { readonly message?: string };
    };
    // An answer without a TTL says that there is no such lease.
    if (result?.TTL === undefined) throw new GatewayError(`lease/keepalive: ${error?.message ?? "no such lease"}`);
  }

  /** Whether the member takes part in a cluster that can write. */
  async healthy(): Promise<boolean> {
    await this.call("kv/range", { key: base64("health") }, { timeoutMs: 1_000 });
    return true;
  }

  /** All changes of all keys from a revision on, until the stream ends or is aborted. */
  async watch(startRevision: bigint, tell: (events: KeyEvent[]) => void, signal: AbortSignal): Promise<void> {
    if (this.#credentials !== undefined) this.#token = await this.#authenticate();
    const all = base64("\0");
    const create_request = { key: all, range_end: all, start_revision: String(startRevision) };
    const end = new AbortController();
    this.#watches.add(end);
    try {
      const response = await this.#send("watch", { create_request }, AbortSignal.any([signal, end.signal]));
      let rest = "";
      for await (const chunk of response.setEncoding("utf8")) {
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) tell(eventsOf(line));
      }
    } finally {
      this.#watches.delete(end);
    }
  }

  /** Ends all watches and connections, as a member that is asked to end waits for them for as long as it may. */
  hangUp(): void {
    for (const watch of this.#watches) watch.abort();
    this.#agent.destroy();
  }

  async #authenticate(): Promise<string> {
    const answer = await this.#post("auth/authenticate", this.#credentials ?? {}, {});
    return (answer as { readonly token: string }).token;
  }

  async #post(path: string, body: object, { timeoutMs = defaultTimeoutMs }: CallSettings): Promise<unknown> {
    const response = await this.#send(path, body, AbortSignal.timeout(timeoutMs));
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
    if (response.statusCode !== 200) throw new GatewayError(`${path}: ${response.statusCode} ${text}`);
    return JSON.parse(text);
  }

  #send(path: string, body: object, signal: AbortSignal): Promise<http.IncomingMessage> {
    const { hostname, port } = this.#url;
    const headers = { "content-type": "application/json", ...(this.#token && { authorization: this.#token }) };
    const options = { hostname, port, path: `/v3/${path}`, method: "POST", headers, signal, agent: this.#agent };
    return new Promise((resolve, reject) => {
      const request =
        this.#tls === undefined ? http.request(options) : https.request({ ...options, ...this.#tls.read() });
      request.on("response", resolve).on("error", reject);
      request.end(JSON.stringify(body));
    });
  }
}

/** Bytes as etcd's JSON has them. */
export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function eventsOf(line: string): KeyEvent[] {
  if (line.trim() === "") return [];
  const { result, error } = JSON.parse(line) as {
    readonly result?: {
      readonly canceled?: boolean;
      readonly compact_revision?: string;
      readonly cancel_reason?: string;
      readonly events?: readonly { readonly type?: string; readonly kv: RawKeyValue }[];
    };
    readonly error?: { readonly message?: string };
  };
  if (result === undefined) throw new GatewayError(`watch: ${error?.message ?? line}`);
  if (result.canceled === true) throw new GatewayError(`watch: ${result.cancel_reason ?? "canceled"}`);
  return (result.events ?? []).map(({ type, kv }) => ({ deleted: type === "DELETE", kv: decoded(kv) }));
}

function decoded(raw: RawKeyValue): KeyValue {
  return {
    key: Buffer.from(raw.key ?? "", "base64").toString(),
    value: Buffer.from(raw.value ?? "", "base64").toString(),
    createRevision: BigInt(raw.create_revision ?? 0),
    modRevision: BigInt(raw.mod_revision ?? 0),
    lease: BigInt(raw.lease ?? 0),
  };
}
