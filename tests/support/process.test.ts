import { describe, expect, it } from "vitest";
import { run, spawnNode } from "./process.ts";
import { pause, until } from "./until.ts";

const canRunTypeScript = Number(process.versions.node.split(".")[0]) >= 24;

describe("spawnNode()", () => {
  it("gives each matching line once, in order", async () => {
    await using child = spawnNode([
      "-e",
      'console.log("a 1\\nb\\na 2"); console.error("warn"); setInterval(() => {}, 99)',
    ]);
    expect(await child.line(/^a/)).toBe("a 1");
    expect(await child.line(/^a/)).toBe("a 2");
    expect(await child.errorLine(/warn/)).toBe("warn");
    expect(child.lines).toEqual(["a 1", "b", "a 2"]);
    await expect(child.line(/^c/, 50)).rejects.toThrow(/no line like .* within 50 ms; it runs\nstdout:\na 1/);
    child.signal("SIGTERM");
    expect(await child.exit()).toMatchObject({ code: null, signal: "SIGTERM" });
    await expect(child.line(/^c/)).rejects.toThrow("it exited with SIGTERM");
  });

  it("is killed when disposed of, frozen or not", async () => {
    let pid = 0;
    {
      await using child = spawnNode(["-e", 'console.log("up"); setInterval(() => {}, 99)']);
      pid = child.pid;
      await child.line(/up/);
      child.signal("SIGSTOP");
    }
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  // The parent is TypeScript, which Node 20 does not run.
  it.runIf(canRunTypeScript && process.platform === "linux")("dies with a parent that is killed", async () => {
    const code = `
      import { spawnNode } from "./tests/support/process.ts";
      console.log(spawnNode(["-e", "setInterval(() => {}, 99)"]).pid);
      setInterval(() => {}, 99);
    `;
    await using parent = spawnNode(["--input-type=module", "-e", code]);
    const pid = Number(await parent.line(/^\d+$/));
    parent.signal("SIGKILL");
    await parent.exit();
    await until(() => !exists(pid), { what: "end of the orphan" });
  });
});

describe("run()", () => {
  it("collects output and exit code", async () => {
    const result = await run(["-p", "process.env.WORD; process.exitCode = 3; process.env.WORD"], {
      env: { WORD: "x" },
    });
    expect(result).toMatchObject({ code: 3, signal: null, stdout: "x\n", stderr: "" });
  });

  it("kills what does not end", async () => {
    await expect(run(["-e", "setInterval(() => {}, 99)"], { timeoutMs: 200 })).rejects.toThrow("no exit of");
  });
});

describe("until()", () => {
  it("returns the first value that counts", async () => {
    let calls = 0;
    expect(await until(() => (++calls === 3 ? calls : undefined), { what: "value" })).toBe(3);
  });

  it("names what did not come, and the last error", async () => {
    const failing = (): boolean => {
      throw new Error("not yet");
    };
    await expect(until(failing, { what: "leader", timeoutMs: 50 })).rejects.toThrow("no leader within 50 ms: not yet");
  });

  it("does not wait for a condition that hangs", async () => {
    await expect(until(() => pause(5_000), { what: "leader", timeoutMs: 50 })).rejects.toThrow(
      "no leader within 50 ms: it hangs",
    );
  });
});

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
