import { describe, expect, it } from "vitest";
import type { Election, Term } from "tenure";
import { tenureBin, run } from "../support/process.ts";
import { settled, until } from "../support/until.ts";
import { etcd3Kind } from "./support/etcd3.ts";
import { etcdctlKind } from "./support/etcdctl.ts";
import { goKind } from "./support/go.ts";
import { v3electionKind } from "./support/services.ts";
import { stage, tells } from "./support/stage.ts";
import { observe, stand } from "./support/tenure.ts";

const kinds = [etcdctlKind("3.5"), etcdctlKind("3.4"), goKind, v3electionKind, etcd3Kind];

describe.each(kinds)("$name", (kind) => {
  describe.skipIf(kind.skip)("and a transfer", () => {
    const on = stage([kind], kind.version);

    it("next in line it is elected, and no observer sees a vacancy", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const mine = stand(election, "mine");
      const term = await settled(mine.term, { what: "term of mine" });
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      const [, target] = await on.queue(name, "mine", "other");
      await upToDate(election, term);
      const onlooker = await peer.observe();
      const observer = observe(on.client().election(name));
      await Promise.all([tells(onlooker, "mine"), tells(observer, "mine")]);

      await term.transfer(target?.key ?? "");
      await settled(other.elected, { what: "election of the other" });
      expect([term.held, await peer.leader()]).toEqual([false, "other"]);
      await Promise.all([tells(onlooker, "mine", "other"), tells(observer, "mine", "other")]);
      expect([onlooker.seen, observer.seen]).toEqual([
        ["mine", "other"],
        ["mine", "other"],
      ]);
      const next = stand(on.client().election(name), "next");
      await on.queue(name, "other", "next");
      await other.leave();
      expect((await settled(next.term, { what: "next term" })).token).toBeGreaterThan(target?.revision ?? 0n);
    });

    it("its observer sees a transfer that skips Tenure nodes as one succession", async () => {
      const name = on.name();
      const peer = await on.start(kind, name);
      const election = on.client().election(name);
      const term = await election.campaign("mine");
      for (const [index, value] of ["second", "third"].entries()) {
        stand(on.client().election(name), value);
        await on.queue(name, ...["mine", "second", "third"].slice(0, index + 2));
      }
      const [, , third] = await on.queue(name, "mine", "second", "third");
      await upToDate(election, term);
      const onlooker = await peer.observe();
      await tells(onlooker, "mine");
      await term.transfer(third?.key ?? "");
      await tells(onlooker, "mine", "third");
      expect(onlooker.seen).toEqual(["mine", "third"]);
      await on.queue(name, "third", "second");
      expect(await peer.leader()).toBe("third");
    });

    it("is never skipped: that is refused in one line, and the election goes on", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const term = await election.campaign("mine");
      term.signal.addEventListener("abort", () => void term.resign(), { once: true });
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      await on.queue(name, "mine", "other");
      const last = stand(on.client().election(name), "last");
      const [, skipped, target] = await on.queue(name, "mine", "other", "last");
      await upToDate(election, term);

      await expect(term.transfer(target?.key ?? "")).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining(skipped?.key ?? "") as string,
      });
      const { code, stdout, stderr } = await transfer(on.etcd.endpoint, name, "last");
      expect([code, stdout, stderr.split("\n").length]).toEqual([64, "", 2]);
      expect(stderr).toContain(`it would skip ${skipped?.key}`);
      await on.queue(name, "mine", "other", "last");
      expect([term.held, other.isElected]).toEqual([true, false]);

      expect(await transfer(on.etcd.endpoint, name, "other")).toMatchObject({ code: 0, stderr: "" });
      await settled(other.elected, { what: "election of the other" });
      await other.leave();
      await settled(last.elected, { what: "election of the last" });
    });

    it("as the leader it is deposed without noticing, which the operator is told", async () => {
      const name = on.name();
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      await settled(other.elected, { what: "election of the other" });
      const onlooker = await peer.observe();
      await tells(onlooker, "other");
      const mine = stand(on.client().election(name), "mine");
      const [leader] = await on.queue(name, "other", "mine");

      const { code, stdout, stderr } = await transfer(on.etcd.endpoint, name, "mine");
      expect([code, stderr.split("\n").length]).toEqual([0, 2]);
      expect(stderr).toContain(`${leader?.key} is not a Tenure node's`);
      expect(stdout).toMatch(/^leader +mine .*\nbefore +other /m);
      expect((await settled(mine.term, { what: "term of mine" })).held).toBe(true);
      await tells(onlooker, "other", "mine");
      await on.queue(name, "mine");
      expect(other.isElected).toBe(true); // what it told us
    });

    it("that comes while a request is open waits behind it, until it is taken back", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const term = await election.campaign("mine"); // and does not resign when it is asked to
      stand(on.client().election(name), "target");
      const [, target] = await on.queue(name, "mine", "target");
      const abort = new AbortController();
      const request = on
        .client()
        .election(name)
        .requestTransfer(target?.key ?? "", { signal: abort.signal });
      request.catch(() => undefined); // aborted below
      await until(async () => (await on.client().etcd.kv.get(`${name}/transfer`)) !== undefined, { what: "request" });
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      await on.queue(name, "mine", "target", "other");
      expect(await peer.leader()).toBe("mine");

      abort.abort();
      await expect(request).rejects.toMatchObject({ code: "aborted" });
      await term.resign(); // as it was asked to
      await on.queue(name, "target", "other");
      expect([await peer.leader(), other.isElected]).toEqual(["target", false]);
      await on.client().etcd.lease.revoke(target?.leaseId ?? 0n);
      await settled(other.elected, { what: "election of the other" });
    });
  });
});

function transfer(endpoint: string, name: string, to: string): ReturnType<typeof run> {
  return run([tenureBin, "transfer", name, "--to", to, "--endpoints", endpoint]);
}

/** Waits until the view of a leader holds whatever the store does: its term is handed over to whom that view shows. */
async function upToDate(election: Election, term: Term): Promise<void> {
  const { value } = term;
  for (const last of [`${value}, up to date`, value]) {
    await term.proclaim(last);
    for await (const leader of election.observe()) if (leader?.value === last) break;
  }
}
