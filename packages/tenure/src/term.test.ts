import type { EtcdClient } from "@tenure/etcd";
import { describe, expect, it } from "vitest";
import type { Candidacy } from "./candidacy.ts";
import { TenureError } from "./errors.ts";
import { Listeners } from "./listeners.ts";
import { Term } from "./term.ts";

/** A term, and what ends it. */
function setUp() {
  const ended = new Listeners<{ readonly error: TenureError }>();
  let over: { readonly error: TenureError } | undefined;
  const candidacy = {
    key: "e/1",
    leaseId: 1n,
    whenOver: (listener: (end: { readonly error: TenureError }) => void) => {
      if (over === undefined) ended.add(listener);
      else listener(over);
    },
  } as unknown as Candidacy;
  const term = new Term({
    etcd: {} as EtcdClient,
    candidacy,
    token: 7n,
    clusterId: 1n,
    value: Buffer.from("v"),
    ttlMs: 9000,
    leave: () => Promise.resolve(),
    resignsByItself: false,
    serveTransfers: () => undefined,
    defaultValue: () => "v",
  });
  const end = (error: TenureError): void => {
    over = { error };
    ended.emit(over);
  };
  return { term, end, ended };
}

describe("the signal of a term", () => {
  const error = new TenureError("leadership-lost", "lost");

  it("is one, and fires when the term ends", () => {
    const { term, end } = setUp();
    const { signal } = term;
    expect([signal.aborted, term.signal === signal]).toEqual([false, true]);
    end(error);
    expect([signal.aborted, signal.reason, term.signal === signal]).toEqual([true, error, true]);
  });

  it("has fired when it is asked for after the end", () => {
    const { term, end, ended } = setUp();
    end(error);
    expect([term.signal.aborted, term.signal.reason, ended.idle]).toEqual([true, error, true]);
  });
});
