import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { eitherSignal } from "./either-signal.ts";

function setUp() {
  const [given, closing] = [new AbortController(), new AbortController()];
  const left = (): number[] => [given, closing].map(({ signal }) => getEventListeners(signal, "abort").length);
  return { given, closing, left };
}

describe("eitherSignal()", () => {
  it("fires with the first of the two, for its reason, and leaves nothing on the other", () => {
    for (const first of ["given", "closing"] as const) {
      const { left, ...both } = setUp();
      const { signal } = eitherSignal(both.given.signal, both.closing.signal);
      expect([signal.aborted, left()]).toEqual([false, [1, 1]]);
      both[first].abort(first);
      expect([signal.aborted, signal.reason, left()]).toEqual([true, first, [0, 0]]);
      both.given.abort("later");
      both.closing.abort("later");
      expect(signal.reason).toBe(first);
    }
  });

  it("has fired where one of them has", () => {
    for (const first of ["given", "closing"] as const) {
      const { left, ...both } = setUp();
      both[first].abort(first);
      const { signal } = eitherSignal(both.given.signal, both.closing.signal);
      expect([signal.aborted, signal.reason, left()]).toEqual([true, first, [0, 0]]);
    }
  });

  it("leaves nothing behind once it is let go, and does not fire any more", () => {
    const { given, closing, left } = setUp();
    const { signal, release } = eitherSignal(given.signal, closing.signal);
    release();
    release();
    expect(left()).toEqual([0, 0]);
    given.abort();
    expect(signal.aborted).toBe(false);
  });

  it("is the client's where no other is given", () => {
    const { closing, left } = setUp();
    const { signal, release } = eitherSignal(undefined, closing.signal);
    release();
    expect([signal, left()]).toEqual([closing.signal, [0, 0]]);
  });
});
