import { describe, expect, it } from "vitest";
import { settled, until } from "../support/until.ts";
import { etcd3Kind } from "./support/etcd3.ts";
import { etcdctlKind } from "./support/etcdctl.ts";
import { goKind } from "./support/go.ts";
import { v3electionKind } from "./support/services.ts";
import { stage, tells } from "./support/stage.ts";
import { observe, stand } from "./support/tenure.ts";

const kinds = [etcdctlKind("3.5"), etcdctlKind("3.4"), goKind, v3electionKind, etcd3Kind];

describe.each(kinds)("$name", (kind) => {
  describe.skipIf(kind.skip)("and Tenure", () => {
    const on = stage([kind], kind.version);

    it("Tenure waits behind it, observes it, and is promoted when it steps down", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const observer = observe(on.client().election(name));
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      await settled(other.elected, { what: "election of the other" });

      const mine = stand(election, "mine");
      const [leader] = await on.queue(name, "other", "mine");
      expect(leader).toMatchObject({ value: "other", self: false });
      expect(await election.leader()).toEqual(leader);
      expect(mine.isElected).toBe(false);

      await other.leave();
      const term = await settled(mine.term, { what: "term of mine" });
      expect(term.held).toBe(true);
      expect(term.token).toBeGreaterThan(leader?.revision ?? term.token);
      expect(await peer.leader()).toBe("mine");
      await tells(observer, "other", "mine");
    });

    it("the other waits behind Tenure, observes Tenure, and is elected when Tenure steps down", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const observer = observe(on.client().election(name));
      const mine = stand(election, "mine");
      const term = await settled(mine.term, { what: "term of mine" });
      const peer = await on.start(kind, name);
      const onlooker = await peer.observe();
      await tells(onlooker, "mine");

      const other = await peer.stand("other");
      await on.queue(name, "mine", "other");
      expect(await peer.leader()).toBe("mine");
      await term.proclaim("mine again");
      await tells(onlooker, "mine", "mine again");
      expect(other.isElected).toBe(false);
      expect(term.held).toBe(true);

      await term.resign();
      await settled(other.elected, { what: "election of the other" });
      await tells(onlooker, "mine", "mine again", "other");
      await tells(observer, "mine", "mine again", "other");
      expect(await election.leader()).toMatchObject({ value: "other", self: false });
    });

    it("one of its candidates that leaves the middle of the queue promotes nobody behind it", async () => {
      const name = on.name();
      const first = stand(on.client().election(name), "first");
      const term = await settled(first.term, { what: "first term" });
      const peer = await on.start(kind, name);
      const middle = await peer.stand("middle");
      await on.queue(name, "first", "middle");
      const lastElection = on.client().election(name);
      const observer = observe(lastElection);
      const last = stand(lastElection, "last");
      await on.queue(name, "first", "middle", "last");

      await middle.leave();
      await on.queue(name, "first", "last");
      await term.proclaim("first again");
      await tells(observer, "first again"); // so the view of the last one is past the deletion
      expect(last.isElected).toBe(false);
      await term.resign();
      await settled(last.elected, { what: "election of the last" });
    });

    it("a Tenure candidate that leaves the middle of the queue promotes none of its behind it", async () => {
      const name = on.name();
      const peer = await on.start(kind, name);
      const first = await peer.stand("first");
      await settled(first.elected, { what: "election of the first" });
      const middle = stand(on.client().election(name), "middle");
      await on.queue(name, "first", "middle");
      const last = await peer.stand("last");
      await on.queue(name, "first", "middle", "last");

      await middle.leave();
      await on.queue(name, "first", "last");
      const behind = stand(on.client().election(name), "behind");
      await on.queue(name, "first", "last", "behind");
      expect(last.isElected).toBe(false);
      await first.leave();
      await settled(last.elected, { what: "election of the last" });
      expect(behind.isElected).toBe(false);
    });

    it("each takes over when the lease of the other is gone", async () => {
      const name = on.name();
      const client = on.client();
      const peer = await on.start(kind, name);
      const other = await peer.stand("other");
      await settled(other.elected, { what: "election of the other" });
      const mine = stand(client.election(name), "mine");
      const [leader] = await on.queue(name, "other", "mine");
      await client.etcd.lease.revoke(leader?.leaseId ?? 0n);
      const term = await settled(mine.term, { what: "term of mine" });

      const next = await peer.stand("next");
      await on.queue(name, "mine", "next");
      await client.etcd.lease.revoke(term.leaseId);
      await settled(next.elected, { what: "election of the next" });
      // Both learn of the revocation by their own watches.
      await until(() => !term.held, { what: "the end of the term" });
      expect(term.signal.reason).toMatchObject({ code: "leadership-lost" });
    });

    it("a vacancy is told by Tenure; both tell of the next leader", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const observer = observe(on.client().election(name));
      await tells(observer, "null");
      const peer = await on.start(kind, name);
      const onlooker = await peer.observe();
      const first = stand(election, "first");
      await tells(onlooker, "first");
      await first.leave();
      expect(await peer.leader()).toBeNull();
      await tells(observer, "null", "first", "null");
      expect(onlooker.latest).toBe("first");

      const other = await peer.stand("other");
      await settled(other.elected, { what: "election of the other" });
      await tells(onlooker, "first", "other");
      await tells(observer, "first", "null", "other");
    });
  });
});
