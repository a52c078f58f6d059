import type { RealEtcd } from "../../support/real-etcd.ts";
import { settled } from "../../support/until.ts";
import { candidate, type Candidate, type Observer, type Peer, type PeerKind, SeenValues } from "./peer.ts";

/** The key of a leader as the v3election service names it; 64-bit numbers are decimal strings. */
export interface LeaderKey {
  readonly name: string;
  readonly key: string;
  readonly rev: string;
  readonly lease: string;
}

/** Calls a service of etcd by its JSON gateway; bytes are base64 there. */
export async function call<T>(etcd: RealEtcd, path: string, request: object, signal?: AbortSignal): Promise<T> {
  const response = await post(etcd, path, request, signal);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${text}`);
  return JSON.parse(text) as T;
}

function post(etcd: RealEtcd, path: string, request: object, signal?: AbortSignal): Promise<Response> {
  const body = JSON.stringify(request);
  return fetch(`${etcd.endpoint}${path}`, { method: "POST", body, ...(signal === undefined ? {} : { signal }) });
}

/** Text as the gateway takes bytes. */
export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

// Bytes of the gateway as text.
function fromBase64(bytes = ""): string {
  return Buffer.from(bytes, "base64").toString();
}

/** Grants a lease; the v3election and v3lock services keep none alive. */
export async function grant(etcd: RealEtcd, ttlSeconds: number): Promise<string> {
  const { ID } = await call<{ readonly ID: string }>(etcd, "/v3/lease/grant", { TTL: String(ttlSeconds) });
  return ID;
}

/** etcd's v3election service; each candidate has a lease of a minute. */
export const v3electionKind: PeerKind = {
  name: "v3election",
  start: (etcd, name) => Promise.resolve(peer(etcd, name)),
};

function peer(etcd: RealEtcd, name: string): Peer {
  const closing = new AbortController();
  return {
    stand: (value) => stand(etcd, name, value, closing.signal),
    observe: () => Promise.resolve(observe(etcd, name, closing.signal)),
    leader: async () => {
      try {
        const { kv } = await call<{ readonly kv: { readonly value?: string } }>(etcd, "/v3/election/leader", {
          name: base64(name),
        });
        return fromBase64(kv.value);
      } catch (error) {
        if (/election: no leader/.test(String(error))) return null;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => {
      closing.abort();
      return Promise.resolve();
    },
  };
}

async function stand(etcd: RealEtcd, name: string, value: string, closing: AbortSignal): Promise<Candidate> {
  const lease = await grant(etcd, 60);
  const waiting = new AbortController();
  const request = { name: base64(name), lease, value: base64(value) };
  const signal = AbortSignal.any([waiting.signal, closing]);
  const answer = call<{ readonly leader: LeaderKey }>(etcd, "/v3/election/campaign", request, signal);
  const standing = candidate(value, answer, {
    leave: async () => {
      if (!standing.isElected) return waiting.abort(); // etcd deletes the key of a caller that is gone
      const { leader } = await settled(answer, { what: "answer of campaign" });
      await call(etcd, "/v3/election/resign", { leader });
    },
  });
  return standing;
}

function observe(etcd: RealEtcd, name: string, closing: AbortSignal): Observer {
  const values = new SeenValues();
  // Even the headers of the answer come with the first leader only.
  const response = post(etcd, "/v3/election/observe", { name: base64(name) }, closing);
  void readLines(response, (line) => {
    const { result } = JSON.parse(line) as { readonly result: { readonly kv: { readonly value?: string } } };
    values.seen.push(fromBase64(result.kv.value));
  });
  return values;
}

async function readLines(response: Promise<Response>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  try {
    for await (const chunk of (await response).body ?? []) {
      const parts = (rest + Buffer.from(chunk).toString()).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) onLine(line);
    }
  } catch {
    // aborted at the end of the test; a stream that broke before shows by what it does not tell
  }
}
