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
