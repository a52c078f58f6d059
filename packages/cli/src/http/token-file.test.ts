import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { TokenFile } from "./token-file.ts";

const dir = mkdtempSync(join(tmpdir(), "tenure-token-"));
afterAll(() => rmSync(dir, { recursive: true }));

let made = 0;
function file(text: string, mode = 0o600): string {
  const path = join(dir, String(++made));
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const TOKEN = "abcdefghijklmnop";

describe("the file of the token", () => {
  it("knows its token, and is read anew each time", async () => {
    const path = file(`${TOKEN}\n`);
    const tokens = new TokenFile(path);
    const both = async (): Promise<boolean[]> => [
      await tokens.matches(TOKEN),
      await tokens.matches("0123456789abcdef"),
    ];
    expect(await both()).toEqual([true, false]);
    expect(await tokens.matches(TOKEN.slice(1))).toBe(false);
    writeFileSync(path, "0123456789abcdef");
    expect(await both()).toEqual([false, true]);
    chmodSync(path, 0o644);
    await expect(tokens.matches(TOKEN)).rejects.toThrow(/open to others/);
  });

  it("may be a link, as where Kubernetes mounts secrets", async () => {
    const link = join(dir, "link");
    symlinkSync(file(TOKEN, 0o400), link);
    expect(await new TokenFile(link).matches(TOKEN)).toBe(true);
  });

  it.each<[string, RegExp, () => string]>([
    ["is missing", /cannot be read: there is no such file$/, () => join(dir, "none")],
    ["is a folder", /is no file$/, () => dir],
    ["is open to others", /is open to others, with mode 0604: chmod 600$/, () => file(TOKEN, 0o604)],
    ["is open to the group", /mode 0640/, () => file(TOKEN, 0o640)],
    ["is empty", /must hold one line .*openssl rand -hex 32$/, () => file("\n")],
    ["holds two lines", /must hold one line/, () => file(`${TOKEN}\n${TOKEN}\n`)],
    ["holds what no header can", /must hold one line/, () => file(`${TOKEN}ü`)],
    ["is short", /fewer than 16 characters/, () => file("short")],
    ["is long", /longer than 4096 bytes/, () => file("x".repeat(5000))],
  ])("that %s is refused in one line, without what it holds", async (_, message, make) => {
    const error = await new TokenFile(make()).check().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ exitCode: 78, message: expect.stringMatching(message) });
    expect(error).toMatchObject({ message: expect.stringMatching(/^--http-token-file: \//) });
    expect(String(error)).not.toMatch(/abcdef|short$/);
  });

  it.skipIf(process.geteuid?.() !== 0)(
    "may be root's, and the group's to read; another user's it may not be",
    async () => {
      const us = 1000;
      const path = file(TOKEN, 0o440);
      expect(await new TokenFile(path, us).matches(TOKEN)).toBe(true);
      await expect(new TokenFile(path, 0).check()).rejects.toThrow(/mode 0440/);
      for (const mode of [0o444, 0o460])
        await expect(new TokenFile(file(TOKEN, mode), us).check()).rejects.toThrow(/mode/);
      chownSync(path, us + 1, us);
      await expect(new TokenFile(path, us).check()).rejects.toThrow(/belongs to another user/);
    },
  );

  it("that is a pipe is refused, and not waited for", async () => {
    const pipe = join(dir, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(new TokenFile(pipe).check()).rejects.toThrow(/is no file/);
  });
});
