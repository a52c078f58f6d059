import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findProgram } from "./find-program.ts";

describe("looking a program up", () => {
  const folder = mkdtempSync(join(tmpdir(), "tenure-find-"));
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  const put = (file: string, text: string, mode: number): void => {
    writeFileSync(file, text);
    chmodSync(file, mode);
  };
  beforeAll(() => {
    mkdirSync(first);
    mkdirSync(second);
    mkdirSync(join(first, "both"));
    put(join(first, "plain"), "text", 0o644);
    put(join(second, "both"), "#!/bin/sh\n", 0o755);
    put(join(second, "orphan"), "#! /no/such/shell -e\n", 0o755);
    put(join(second, "empty"), "", 0o755);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("takes the first file in PATH that can be executed", () => {
    expect(findProgram("both", `${first}:${second}`)).toBe(join(second, "both"));
    expect(findProgram("empty", `${first}:${second}`)).toBe(join(second, "empty"));
  });

  it("takes a name with a slash as it is", () => {
    expect(findProgram(join(second, "both"), "")).toBe(join(second, "both"));
  });

  it.each([
    ["nothing", 127, "not found in PATH"],
    ["plain", 126, "is not executable"],
    ["orphan", 126, "its interpreter /no/such/shell is missing"],
  ])("tells why %s cannot be run", (command, exitCode, message) => {
    const find = (): string => findProgram(command, `${first}:${second}`);
    expect(find).toThrow(expect.objectContaining({ exitCode }));
    expect(find).toThrow(message);
  });

  it.each([
    ["plain", 126, "it is not executable"],
    ["both", 126, "it is a directory"],
    ["nothing", 127, "there is no such file"],
  ])("tells why a path to %s cannot be run", (command, exitCode, message) => {
    const find = (): string => findProgram(join(first, command));
    expect(find).toThrow(expect.objectContaining({ exitCode }));
    expect(find).toThrow(message);
  });
});
