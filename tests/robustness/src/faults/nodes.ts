import type { FaultKind } from "../scene.ts";

/** Faults of the processes that stand for election. */
export const nodeFaults: readonly FaultKind[] = [
  {
    name: "node-killed",
    says: "SIGKILL to the leader, which starts again once another one leads",
    target: "nodes",
    endsLeader: true,
    run: async (scene) => {
      await scene.leader.kill();
      scene.hit();
      await scene.successor();
      return "lost";
    },
  },
  {
    name: "node-stopped",
    says: "SIGSTOP to the leader until another one leads, then SIGCONT",
    target: "nodes",
    run: async (scene) => {
      scene.leader.freeze();
      scene.hit();
      await scene.successor();
      await scene.lasts(0, 500);
      scene.leader.thaw();
      return "lost";
    },
  },
  {
    name: "node-stopped-shortly",
    says: "SIGSTOP to the leader for 0.8-1.6 s",
    target: "nodes",
    run: async ({ leader, lasts }) => {
      leader.freeze();
      await lasts(800, 1_600);
      leader.thaw();
      return "kept";
    },
  },
  {
    name: "loop-blocked",
    says: "the leader's event loop does not run for 1.6 times the TTL",
    target: "nodes",
    run: async (scene) => {
      const blockMs = 1.6 * scene.world.ttlMs;
      scene.leader.block(blockMs);
      scene.hit();
      await scene.lasts(blockMs);
      await scene.successor();
      return "lost";
    },
  },
  {
    name: "standby-killed",
    says: "SIGKILL to a standby, which starts again 0.5-2 s later",
    target: "nodes",
    run: async (scene) => {
      await scene.mortal.kill();
      await scene.lasts(500, 2_000);
      return "kept";
    },
  },
  {
    name: "hand-over",
    says: "the leader is asked to stop, and does",
    target: "nodes",
    endsLeader: true,
    run: async (scene) => {
      scene.hit();
      await scene.leader.stop();
      await scene.successor();
      return "lost";
    },
  },
];
