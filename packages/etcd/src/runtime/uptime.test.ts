import { afterEach, describe, expect, it, vi } from "vitest";
import { openUptime } from "./uptime.ts";

/** What the file holds; undefined where it cannot be read. */
const file = vi.hoisted(() => ({ there: true, text: undefined as string | undefined, reads: 0 }));
vi.mock("node:fs", () => ({
  openSync: () => {
    if (!file.there) throw new Error("ENOENT");
    return 7;
  },
  readSync: (_file: number, bytes: Buffer) => {
    file.reads++;
    if (file.text === undefined) throw new Error("EBADF");
    return bytes.write(file.text);
  },
}));
vi.mock("node:os", () => ({ uptime: () => 500 }));

afterEach(() => {
  Object.assign(file, { there: true, text: undefined, reads: 0 });
  vi.unstubAllGlobals();
});

function onPlatform(platform: string): void {
  vi.stubGlobal("process", { platform });
}

describe("the uptime of the machine", () => {
  it("is what the file says, now and later", () => {
    onPlatform("linux");
    const uptimeMs = openUptime();
    file.text = "34846.25 66000.10\n";
    expect(uptimeMs()).toBe(34_846_250);
    file.text = "34846.26 66000.10\n";
    expect(uptimeMs()).toBe(34_846_260);
    file.text = "0.07 0.00\n";
    expect(uptimeMs()).toBe(70);
  });

  it.each(["", "34846\n", "34846 1\n", "34846.2 1", "12.345 1", "no number ", "1e6.00 1", ".12 1", "1.23"])(
    "is Node's where the file says %j, and from then on",
    (text) => {
      onPlatform("linux");
      const uptimeMs = openUptime();
      file.text = text;
      expect([uptimeMs(), uptimeMs(), file.reads]).toEqual([500_000, 500_000, 1]);
    },
  );

  it("is Node's where the file cannot be read, or is none", () => {
    onPlatform("linux");
    const unreadable = openUptime();
    expect([unreadable(), unreadable(), file.reads]).toEqual([500_000, 500_000, 1]);
    file.there = false;
    expect([openUptime()(), file.reads]).toEqual([500_000, 1]);
  });

  it("is Node's on other systems", () => {
    onPlatform("darwin");
    file.text = "34846.25 66000.10\n";
    expect([openUptime()(), file.reads]).toEqual([500_000, 0]);
  });
});
