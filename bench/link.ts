import { linkRoundTrips } from "./multi-site/link.ts";
import { type Question, type Variant } from "./support/stage.ts";

const link: Variant = { name: "the link itself", peer: "floor" };

/** What the links between the peers and etcd really add. Many messages at once must not wait for one another. */
export const linkItself: Question = {
  name: "link",
  overLinks: true,
  measure: async (stage) => {
    if (stage.rttMs === 0) return;
    const { single, crowded } = await linkRoundTrips(stage.rttMs, stage.rounds);
    stage.record("a message and its echo", link, "ms", single);
    stage.record("the same, 100 at once", link, "ms", crowded);
  },
};
