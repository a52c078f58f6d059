import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { root } from "../support/process.ts";
import type { Rest } from "./src/candidate.ts";
import { lifeOf, unflat } from "./src/flatness.ts";

const sampleMs = 5_000;
const minuteMs = 60_000;
const megabyte = 1024 * 1024;

/** A life at rest: what it has in use goes up and down, but does not grow unless it is said how much in a minute. */
function life(minutes: number, growth: Partial<Omit<Rest, "at">> = {}): Rest[] {
  return Array.from({ length: (minutes * minuteMs) / sampleMs }, (_, index) => {
    const at = 1_000_000 + index * sampleMs;
    const wave = Math.sin(index / 3);
    const grown = (name: keyof Omit<Rest, "at">) => ((growth[name] ?? 0) * index * sampleMs) / minuteMs;
    return {
      at,
      rss: (80 + 2 * wave) * megabyte + grown("rss"),
      heap: (9 + 0.2 * wave) * megabyte + grown("heap"),
      handles: Math.round(20 + 3 * wave + grown("handles")),
      listeners: Math.round(150 + 10 * wave + grown("listeners")),
    };
  });
}

function rulesFor(rests: readonly Rest[]): string[] {
  const summary = lifeOf("plain 0 n0.1", rests);
  if (summary === undefined) throw new Error("too short a life");
  return unflat(summary).map(({ text }) => text);
}

describe("a process that lives through a run", () => {
  it("is flat when what it has in use goes up and down", () => {
    expect(rulesFor(life(10))).toEqual([]);
  });

  it.each([
    [{ rss: 1.5 * megabyte }, /^plain 0 n0\.1 grew in 9\.917 minutes: 1\.\d+ MB of memory per minute$/],
    [{ heap: 0.3 * megabyte }, /0\.\d+ MB of heap per minute$/],
    [{ handles: 2 }, /from [\d.]+ handles to [\d.]+$/],
    [{ listeners: 8 }, /from [\d.]+ listeners to [\d.]+$/],
  ])("is not when each minute adds %o", (growth, text) => {
    expect(rulesFor(life(10, growth))).toEqual([expect.stringMatching(text)]);
  });

  it("may grow while it warms up", () => {
    const rests = life(10).map((rest, index) => (index < 20 ? { ...rest, rss: 30 * megabyte, listeners: 10 } : rest));
    expect(rulesFor(rests)).toEqual([]);
  });

  it("is not judged when it lived only for a moment", () => {
    expect(lifeOf("n0.1", life(4))).toBeUndefined();
    expect(lifeOf("n0.1", [])).toBeUndefined();
  });

  it("is summed up by the medians of its first and its last quarter, and by its slope", () => {
    expect(lifeOf("n0.1", life(12, { handles: 10 }))).toMatchObject({
      minutes: 11.917,
      handles: { first: expect.closeTo(51, -1), last: expect.closeTo(127, -1), perMinute: expect.closeTo(10, 0) },
    });
  });
});

describe("the count of listeners", () => {
  const count = async (body: string): Promise<number> => {
    const program = `
      import { countListeners } from "${root}tests/robustness/nodes/listeners.js";
      import { EventEmitter } from "node:events";
      const settle = () => new Promise((resolve) => setImmediate(resolve));
      gc();
      const before = countListeners();
      (() => { ${body} })();
      await settle();
      gc();
      console.log(countListeners() - before);`;
    const args = ["--expose-gc", "--input-type=module", "-e", program];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return Number(stdout);
  };

  it("has all that leaks: on a signal that lives on, on an emitter, on the process", async () => {
    const leaks = `
      globalThis.signal = new AbortController().signal;
      globalThis.emitter = new EventEmitter();
      for (let index = 0; index < 10; index++) {
        signal.addEventListener("abort", () => index);
        emitter.on("change", () => index);
        if (index < 5) process.on("beforeExit", () => index);
      }`;
    expect(await count(leaks)).toBe(25);
  });

  it("leaves out what was taken away again, and what nobody refers to any more", async () => {
    const tidy = `
      for (let index = 0; index < 50; index++) {
        const listener = () => index;
        const controller = new AbortController();
        controller.signal.addEventListener("abort", listener);
        process.on("beforeExit", listener);
        process.off("beforeExit", listener);
        new EventEmitter().on("change", listener);
      }`;
    expect(await count(tidy)).toBe(0);
  });
});
