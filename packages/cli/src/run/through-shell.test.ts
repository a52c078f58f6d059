import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { throughShell } from "./through-shell.ts";

const shell = "/bin/sh";
const restores = spawnSync("/usr/bin/env", ["-S", "true"]).status === 0;

/** What a program sees that was started through a shell. */
function seenThrough(env: Readonly<Record<string, string>>): Record<string, string> {
  const { env: passed, restore } = throughShell(env);
  const print = [process.execPath, "-p", "JSON.stringify(process.env)"];
  const { stdout } = spawnSync(shell, ["-c", 'exec "$@"', shell, ...restore, ...print], { env: passed });
  return JSON.parse(stdout.toString()) as Record<string, string>;
}

describe.runIf(existsSync(shell) && restores)("an environment", () => {
  it("comes through a shell whole", () => {
    const env = {
      PLAIN: "1",
      "a.b": "two  words 'quoted' \"twice\" $HOME ${HOME} \\n #",
      "it's-\\odd $HOME": "three",
      "BASH_FUNC_which%%": "() {  :\n}",
      "-u": "",
    };
    expect(seenThrough(env)).toMatchObject(env);
    expect(Object.keys(seenThrough(env)).filter((name) => name.startsWith("TENURE_"))).toEqual([]);
  });

  it("shows none of its values in the words of a command, and is left alone where a shell passes it on", () => {
    expect(throughShell({ "a.b": "secret" }).restore.join(" ")).not.toContain("secret");
    expect(throughShell({ A_1: "x", b: undefined })).toEqual({ env: { A_1: "x", b: undefined }, restore: [] });
  });
});
