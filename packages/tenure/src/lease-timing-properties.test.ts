// The arithmetic that keeps two nodes from leading at once, for every TTL and for clocks that differ as much as they
// may. Times are milliseconds of the local clock unless they say otherwise.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keepAliveIntervalMs, keepAliveTimeoutMs, provenUntil, ttlSeconds } from "./lease-timing.ts";
import { propertyRuns } from "./testing/property-runs.ts";

const runs = propertyRuns(2000);

const MAX_SECONDS = 9_000_000_000;
/** What numbers of this size may be rounded by. */
const ROUNDING_MS = 0.01;

/** Small ones and powers of ten as often as all others. */
const someSeconds = fc.oneof(
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 0, max: 9 }).map((power) => 10 ** power),
  fc.integer({ min: 1, max: MAX_SECONDS }),
  fc.constant(MAX_SECONDS),
);
const someTtlMs = someSeconds.map((seconds) => seconds * 1000);
/** What a clock that began with the machine may read, up to 30 years. */
const someSentAt = fc.double({ min: 0, max: 1e12, noNaN: true });
const someDelayMs = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e7, noNaN: true }));
/** How much faster one clock runs than another: less than 1 % either way. */
const someRate = fc.integer({ min: -9999, max: 9999 }).map((millionths) => 1 + millionths / 1e6);
/** Two clocks of which each may be wrong by that against the true time. */
const someTwoRates = fc.tuple(someRate, someRate);

describe("a lease's local deadline", () => {
  it("comes before etcd's expiry, whenever the request was handled and whichever clock is faster", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, someDelayMs, someRate, (ttlMs, sentAt, delayMs, rate) => {
        const handledAt = sentAt + delayMs;
        const deadline = provenUntil(sentAt, ttlMs);
        // `rate` says by how much etcd's clock is faster, or by how much ours is.
        expect(deadline).toBeLessThan(handledAt + ttlMs / rate);
        expect(deadline).toBeLessThan(handledAt + ttlMs * rate);
      }),
      runs,
    );
  });

  it("leaves the margin even then: half a second, and 2 % of a long TTL", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, someRate, (ttlMs, sentAt, rate) => {
        const expiry = sentAt + Math.min(ttlMs / rate, ttlMs * rate);
        const leftMs = expiry - provenUntil(sentAt, ttlMs);
        expect(leftMs).toBeGreaterThan(500 - ROUNDING_MS);
        expect(leftMs).toBeGreaterThan(ttlMs * 0.02 - ROUNDING_MS);
      }),
      runs,
    );
  });

  it("comes first even if both clocks are wrong by 1 % in opposite directions", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, someTwoRates, (ttlMs, sentAt, [ours, theirs]) => {
        // etcd's clock shows the TTL after ttlMs / theirs of true time, and ours has moved by that times its own rate.
        expect(provenUntil(sentAt, ttlMs)).toBeLessThan(sentAt + (ttlMs / theirs) * ours);
      }),
      runs,
    );
  });

  it("gives no more away than half a second and 3 % of the TTL", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, (ttlMs, sentAt) => {
        const provenMs = provenUntil(sentAt, ttlMs) - sentAt;
        expect(provenMs).toBeGreaterThan(0);
        expect(provenMs).toBeGreaterThan(ttlMs * 0.97 - 500 - ROUNDING_MS);
      }),
      runs,
    );
  });

  it("is later for a later request, by as much", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, fc.double({ min: 1, max: 1e9, noNaN: true }), (ttlMs, sentAt, laterMs) => {
        const moved = provenUntil(sentAt + laterMs, ttlMs) - provenUntil(sentAt, ttlMs);
        expect(Math.abs(moved - laterMs)).toBeLessThan(ROUNDING_MS);
      }),
      runs,
    );
  });

  it("is later for a longer TTL, by less than the TTL is longer", () => {
    fc.assert(
      fc.property(someSeconds, someSeconds, someSentAt, (one, other, sentAt) => {
        fc.pre(one !== other);
        const [shorterMs, longerMs] = [Math.min(one, other) * 1000, Math.max(one, other) * 1000];
        const later = provenUntil(sentAt, longerMs) - provenUntil(sentAt, shorterMs);
        expect(later).toBeGreaterThan(0);
        expect(later).toBeLessThan(longerMs - shorterMs);
      }),
      runs,
    );
  });
});

/** Keep-alives one after another: when each is sent, handled and answered, and whether either message is lost. */
const someKeepAlives = fc.array(
  fc.record({
    pauseMs: fc.double({ min: 0, max: 1, noNaN: true }),
    thereMs: fc.double({ min: 0, max: 1.2, noNaN: true }),
    backMs: fc.double({ min: 0, max: 1.2, noNaN: true }),
    fate: fc.constantFrom("answered", "answered", "answered", "request lost", "answer lost"),
  }),
  { maxLength: 12, size: "max" },
);

describe("a lease that is kept alive", () => {
  it("is never proven once etcd has dropped it, whatever is late or lost on the way", () => {
    fc.assert(
      fc.property(someTtlMs, someSentAt, someRate, fc.boolean(), someKeepAlives, (ttlMs, start, rate, ours, sends) => {
        const livesMs = ours ? ttlMs * rate : ttlMs / rate;
        let sentAt = start;
        let handledAt = start;
        let deadline = provenUntil(start, ttlMs);
        let expiry = start + livesMs;
        for (const { pauseMs, thereMs, backMs, fate } of sends) {
          sentAt += pauseMs * ttlMs;
          if (fate === "request lost") continue;
          // One stream: nothing is handled before what was sent before it.
          handledAt = Math.max(handledAt, sentAt + thereMs * ttlMs);
          if (handledAt >= expiry) break;
          expiry = handledAt + livesMs;
          // An answer that comes when the deadline has passed finds the session over.
          if (fate === "answer lost" || handledAt + backMs * ttlMs >= deadline) continue;
          deadline = Math.max(deadline, provenUntil(sentAt, ttlMs));
          expect(deadline).toBeLessThan(expiry);
        }
        expect(deadline).toBeLessThan(expiry);
      }),
      runs,
    );
  });
});

describe("keep-alives", () => {
  /** When the answer to an attempt is given up, if every one before it was, too. */
  const givenUpAt = (attempt: number, ttlMs: number): number =>
    keepAliveIntervalMs(ttlMs) + attempt * keepAliveTimeoutMs(ttlMs);

  it.each([
    [2, 2],
    [3, 4],
  ])("have time for %d attempts without an answer, from a TTL of %d s", (attempts, minSeconds) => {
    fc.assert(
      fc.property(someSeconds, (seconds) => {
        const ttlMs = Math.max(seconds, minSeconds) * 1000;
        expect(givenUpAt(attempts, ttlMs)).toBeLessThan(provenUntil(0, ttlMs));
      }),
      runs,
    );
  });

  it("have time for one that is answered in time, at the shortest TTL", () => {
    expect(provenUntil(0, 1000) - keepAliveIntervalMs(1000)).toBeGreaterThan(150);
  });

  it("do not overlap: one is given up before the next would be due", () => {
    fc.assert(
      fc.property(someTtlMs, (ttlMs) => {
        expect(keepAliveTimeoutMs(ttlMs)).toBeGreaterThan(0);
        expect(keepAliveTimeoutMs(ttlMs)).toBeLessThan(keepAliveIntervalMs(ttlMs));
      }),
      runs,
    );
  });
});

describe("a TTL", () => {
  it("is taken as it is for every whole number of seconds that etcd can keep", () => {
    fc.assert(
      fc.property(someSeconds, (seconds) => {
        expect(ttlSeconds(seconds * 1000)).toBe(BigInt(seconds));
      }),
      runs,
    );
  });

  it("is refused for every other number, however near, and the message names it", () => {
    const someNear = fc
      .tuple(someTtlMs, fc.constantFrom(-1, 1), fc.constantFrom(2 ** -52, 1e-12, 1e-6))
      .map(([ttlMs, sign, share]) => ttlMs * (1 + sign * share));
    const someNumber = fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger(), someNear);
    fc.assert(
      fc.property(someNumber, (ttlMs) => {
        fc.pre(!(ttlMs % 1000 === 0 && ttlMs >= 1000 && ttlMs <= MAX_SECONDS * 1000));
        const named = expect.stringContaining(`ttlMs is ${ttlMs} but`) as unknown;
        expect(() => ttlSeconds(ttlMs)).toThrow(expect.objectContaining({ code: "invalid-argument", message: named }));
      }),
      runs,
    );
  });
});
