import { describe, expect, it } from "vitest";
import { Listeners } from "./listeners.ts";

describe("listeners", () => {
  it("are called in the order they were added, each time", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    listeners.add((value) => calls.push(`a${value}`));
    listeners.add((value) => calls.push(`b${value}`));
    listeners.emit(1);
    listeners.emit(2);
    expect(calls).toEqual(["a1", "b1", "a2", "b2"]);
  });

  it("are not called after they were taken off, and the others are", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    const off = listeners.add((value) => calls.push(`a${value}`));
    listeners.add((value) => calls.push(`b${value}`));
    off();
    off();
    listeners.emit(1);
    expect(calls).toEqual(["b1"]);
  });

  it("that are the same function are one, alone and among others", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    const one = (value: number): void => void calls.push(`a${value}`);
    for (const listener of [one, one, (value: number) => void calls.push(`b${value}`), one]) listeners.add(listener);
    listeners.emit(1);
    listeners.remove(one);
    listeners.remove(one);
    listeners.emit(2);
    expect(calls).toEqual(["a1", "b1", "b2"]);
  });

  it("that are gone leave nobody, whether it was one or more", () => {
    for (const count of [1, 2]) {
      const listeners = new Listeners<number>();
      expect(listeners.idle).toBe(true);
      const offs = Array.from({ length: count }, () => listeners.add(() => undefined));
      expect(listeners.idle).toBe(false);
      for (const off of offs) off();
      expect(listeners.idle).toBe(true);
      listeners.emit(1);
    }
  });

  it("may take themselves off while they are called", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    const off = listeners.add((value) => {
      calls.push(`a${value}`);
      off();
    });
    listeners.add((value) => calls.push(`b${value}`));
    listeners.emit(1);
    listeners.emit(2);
    expect(calls).toEqual(["a1", "b1", "b2"]);
  });

  it("taken off by an earlier one are not called any more", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    let off = (): void => undefined;
    listeners.add(() => off());
    off = listeners.add((value) => calls.push(`b${value}`));
    listeners.emit(1);
    expect(calls).toEqual([]);
  });

  it("added by another one hear of the next value only", () => {
    const listeners = new Listeners<number>();
    const calls: string[] = [];
    const off = listeners.add(() => {
      off();
      listeners.add((value) => calls.push(`b${value}`));
    });
    listeners.emit(1);
    expect(calls).toEqual([]);
    listeners.emit(2);
    expect(calls).toEqual(["b2"]);
  });
});
