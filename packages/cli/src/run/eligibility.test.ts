import { describe, expect, it } from "vitest";
import { Condition } from "./condition.ts";
import { Control } from "./control.ts";
import { Eligibility } from "./eligibility.ts";
import type { Health } from "./health.ts";

/** Health that is what it is set to. */
function fakeHealth(healthy: boolean) {
  const condition = new Condition(healthy);
  const health = {
    get healthy() {
      return condition.holds;
    },
    becomes: (wanted: boolean, signal: AbortSignal) => condition.becomes(wanted, signal),
  };
  return { set: (to: boolean) => condition.set(to), health: health as unknown as Health };
}

/** Whether a promise has settled by now. */
async function settled(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await new Promise(setImmediate);
  return done;
}

describe("Eligibility", () => {
  it("begins when the node is fit and not paused, whatever comes first", async () => {
    const { set, health } = fakeHealth(false);
    const control = new Control();
    control.paused.set(true);
    const eligibility = new Eligibility(health, control);
    const begun = eligibility.begins(new AbortController().signal);
    set(true);
    expect(await settled(begun)).toBe(false);
    set(false);
    control.paused.set(false);
    expect(await settled(begun)).toBe(false);
    set(true);
    expect(await settled(begun)).toBe(true);
  });

  it("ends when the node is unfit, or paused, or nobody waits any more", async () => {
    const { set, health } = fakeHealth(true);
    const control = new Control();
    const eligibility = new Eligibility(health, control);
    const over = new AbortController();
    const ended = [0, 1, 2].map(() => eligibility.ends(over.signal));
    expect(await settled(ended[0] as Promise<void>)).toBe(false);
    control.paused.set(true);
    expect(await settled(ended[0] as Promise<void>)).toBe(true);
    control.paused.set(false);
    set(false);
    expect(await settled(eligibility.ends(over.signal))).toBe(true);
    set(true);
    const last = eligibility.ends(over.signal);
    expect(await settled(last)).toBe(false);
    over.abort();
    expect(await settled(last)).toBe(true);
  });
});
