import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reservePorts, type ReservedPort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { base64, type MemberStatus } from "./gateway.ts";
import { Member, type MemberSettings } from "./member.ts";
import { type Network } from "./network.ts";
import type { Security } from "./security.ts";

/** The members of every cluster here. */
export const memberNumbers: readonly number[] = [0, 1, 2];

/** Three etcd processes that reach each other through the network's links. */
export class Cluster {
  readonly members: readonly Member[];
  readonly clientPorts: readonly number[];

  readonly #ports: readonly ReservedPort[];

  private constructor(members: readonly Member[], clientPorts: readonly number[], ports: readonly ReservedPort[]) {
    this.members = members;
    this.clientPorts = clientPorts;
    this.#ports = ports;
  }

  /** Starts a cluster and waits until it serves. */
  static async start(
    etcd: string,
    network: Network,
    security: Security | undefined,
    { trace, onThaw }: Pick<MemberSettings, "trace" | "onThaw">,
  ): Promise<Cluster> {
    const reserved = await reservePorts(2 * memberNumbers.length);
    const ports = reserved.map(({ port }) => port);
    const clientPorts = ports.slice(0, memberNumbers.length);
    const peerPorts = ports.slice(memberNumbers.length);
    const members: Member[] = [];
    const cluster = new Cluster(members, clientPorts, reserved);
    try {
      const urls = await network.connectMembers(peerPorts, (index) => members[index]?.pid ?? -1);
      const initialCluster = urls.map((url, index) => `m${index}=${url}`).join(",");
      for (const [index, clientPort] of clientPorts.entries()) {
        const dir = await mkdtemp(join(tmpdir(), "tenure-robustness-"));
        const advertisedPeerUrl = urls[index] ?? "";
        const peerPort = peerPorts[index] ?? 0;
        const name = `m${index}`;
        const where = { dir, clientPort, peerPort, advertisedPeerUrl, initialCluster };
        members.push(new Member({ etcd, name, ...where, security, trace, onThaw }));
      }
      for (const member of members) member.start();
      await Promise.all(members.map((member) => member.serving()));
      if (security !== undefined) await cluster.#enableAuth(security);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  member(index: number): Member {
    const member = this.members[index];
    if (member === undefined) throw new Error(`there is no member ${index}`);
    return member;
  }

  /** The number of the member that leads the cluster. */
  async leader(): Promise<number> {
    return until(
      async () => {
        const statuses = await this.#statuses();
        const leaderId = statuses.find((status) => status !== undefined && status.leaderId !== "0")?.leaderId;
        const index = statuses.findIndex((status) => status !== undefined && status.memberId === leaderId);
        return index < 0 ? undefined : { index };
      },
      { what: "leader of etcd", intervalMs: 50 },
    ).then(({ index }) => index);
  }

  /** Whether all members answer, follow the same leader and can write. */
  async whole(): Promise<boolean> {
    const statuses = await this.#statuses();
    const leaders = new Set(statuses.map((status) => status?.leaderId ?? "0"));
    if (leaders.size !== 1 || leaders.has("0")) return false;
    const healthy = await Promise.all(this.members.map((each) => each.gateway.healthy().catch(() => false)));
    return healthy.every(Boolean);
  }

  /** Restarts the members, each when the one before it serves and all are whole again. */
  async restartOneByOne(): Promise<void> {
    for (const member of this.members) {
      await member.restart();
      await member.serving();
      await until(() => this.whole(), { what: `whole cluster after the restart of ${member.name}`, intervalMs: 50 });
    }
  }

  /** Calls a method at the first member that answers. */
  async call(path: string, body: object): Promise<unknown> {
    let last: unknown;
    for (const { gateway } of this.members) {
      try {
        return await gateway.call(path, body);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  /** Has another member lead the cluster; whether that went well. */
  async moveLeader(): Promise<boolean> {
    const from = await this.leader();
    const statuses = await this.#statuses();
    const target = statuses[(from + 1) % this.members.length];
    if (target === undefined) return false;
    try {
      await this.member(from).gateway.call("maintenance/transfer-leadership", { targetID: target.memberId });
      return true;
    } catch {
      return false; // it was no longer the leader
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    for (const port of this.#ports) port.release();
  }

  #statuses(): Promise<(MemberStatus | undefined)[]> {
    return Promise.all(this.members.map((each) => each.gateway.status({ timeoutMs: 500 }).catch(() => undefined)));
  }

  async #enableAuth({ root, node }: Security): Promise<void> {
    await this.call("auth/user/add", root);
    await this.call("auth/user/grant", { user: root.name, role: "root" }).catch(async () => {
      await this.call("auth/role/add", { name: "root" });
      await this.call("auth/user/grant", { user: root.name, role: "root" });
    });
    await this.call("auth/user/add", node);
    await this.call("auth/role/add", { name: node.name });
    const perm = { permType: "READWRITE", key: base64("robustness/"), range_end: base64("robustness0") };
    await this.call("auth/role/grant", { name: node.name, perm });
    await this.call("auth/user/grant", { user: node.name, role: node.name });
    await this.call("auth/enable", {});
    for (const { gateway } of this.members) gateway.signIn(root);
  }
}
