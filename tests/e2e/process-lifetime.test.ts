import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pathToFileURL } from "node:url";
import { root, run, type RunResult } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { keys } from "./tenure.ts";

let etcd: RealEtcd;
beforeAll(async () => void (etcd = await startEtcd()));
afterAll(() => etcd.stop());

const library = pathToFileURL(`${root}packages/tenure/dist/index.js`).href;

/** Runs a program that has a client `etcd` and an `election`; it must end by itself. */
function program(name: string, body: string): Promise<RunResult> {
  const code = `
    import { connect } from ${JSON.stringify(library)};
    const etcd = connect({ endpoints: [${JSON.stringify(etcd.endpoint)}] });
    const election = etcd.election(${JSON.stringify(name)}, { ttlMs: 5000 });
    const code = (promise) => promise.then(() => "done", (error) => error.code);
    ${body}
  `;
  return run(["--unhandled-rejections=strict", "--input-type=module", "-e", code], { timeoutMs: 20_000 });
}

describe("a process with a client", () => {
  it.each([
    ["connects and closes", "await etcd.ready(); await etcd.close();", ""],
    ["closes without connecting", "await etcd.close();", ""],
    ["closes twice", "await etcd.ready(); await Promise.all([etcd.close(), etcd.close()]); await etcd.close();", ""],
    [
      "campaigns, resigns and closes",
      `const term = await election.campaign("v"); await term.resign(); await term.resign(); await etcd.close();
       console.log(term.held, term.signal.aborted);`,
      "false true\n",
    ],
    [
      "closes while it leads",
      `const term = await election.campaign("v"); await etcd.close(); console.log(term.held, term.signal.aborted);`,
      "false true\n",
    ],
    [
      "aborts a campaign",
      `const term = await election.campaign("v");
       const second = connect({ endpoints: [process.env.ENDPOINT] });
       const stop = new AbortController();
       const waiting = code(second.election(election.name).campaign("w", { signal: stop.signal }));
       while ((await election.candidates()).length < 2);
       stop.abort();
       console.log(await waiting, (await election.candidates()).length);
       await second.close(); await term.resign(); await etcd.close();`,
      "aborted 1\n",
    ],
    [
      "campaigns with a signal that has aborted",
      `console.log(await code(election.campaign("v", { signal: AbortSignal.abort() })));
       console.log((await election.candidates()).length); await etcd.close();`,
      "aborted\n0\n",
    ],
    [
      "aborts a campaign right after it began",
      `const stop = new AbortController();
       const waiting = code(election.campaign("v", { signal: stop.signal }));
       stop.abort();
       console.log(await waiting); await etcd.close();`,
      "aborted\n",
    ],
    [
      "closes while it campaigns",
      `const second = connect({ endpoints: [process.env.ENDPOINT] });
       const term = await second.election(election.name).campaign("first");
       const waiting = code(election.campaign("v"));
       while ((await second.election(election.name).candidates()).length < 2);
       await etcd.close();
       console.log((await waiting) !== "done", (await second.election(election.name).candidates()).length);
       await term.resign(); await second.close();`,
      "true 1\n",
    ],
    [
      "closes while it observes",
      `const seen = [];
       const loop = (async () => {
         for await (const leader of election.observe()) { seen.push(leader); etcd.close(); }
       })();
       await code(loop); console.log(seen.length);`,
      "1\n",
    ],
    [
      "breaks out of observe and closes",
      `for await (const leader of election.observe()) { console.log(leader); break; } await etcd.close();`,
      "null\n",
    ],
    [
      "aborts a run",
      `const stop = new AbortController();
       await election.run({ value: "v", lead: async (term) => {
         console.log(term.held);
         const over = new Promise((resolve) => term.signal.addEventListener("abort", resolve));
         stop.abort(); await over;
       } }, { signal: stop.signal });
       console.log((await election.candidates()).length); await etcd.close();`,
      "true\n0\n",
    ],
    [
      "closes while a run leads",
      `let led; const leads = new Promise((resolve) => (led = resolve));
       const running = code(election.run({ value: "v", lead: (term) => {
         led(); return new Promise((resolve) => term.signal.addEventListener("abort", resolve));
       } }));
       await leads; await etcd.close(); await running; console.log("ended");`,
      "ended\n",
    ],
  ])("ends by itself when it %s", async (what, body, printed) => {
    const result = await program(
      what.replaceAll(" ", "-"),
      body.replaceAll("process.env.ENDPOINT", `"${etcd.endpoint}"`),
    );
    expect(result).toMatchObject({ code: 0, signal: null, stdout: printed, stderr: "" });
    expect(await keys(etcd, what.replaceAll(" ", "-"))).toEqual([]);
  });
});
