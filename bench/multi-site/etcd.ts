import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killed, launch, runs } from "../../tests/support/children.ts";
import { reservePorts, type ReservedPort } from "../../tests/support/ports.ts";
import { until } from "../../tests/support/until.ts";
import type { Sites } from "./sites.ts";
import type { EtcdTiming } from "./topologies.ts";

/** What a member says of itself. */
interface Status {
  readonly memberId: string;
  readonly leaderId: string;
  readonly raftTerm: number;
}

interface Member {
  readonly name: string;
  readonly endpoint: string;
  readonly flags: readonly string[];
  /** The proxy by which it reaches the others. */
  readonly proxy: string;
  child: ChildProcess | undefined;
  log: string;
}

const startTimeoutMs = 30_000;
const askTimeoutMs = 2_000;
const probe = { key: Buffer.from("whole").toString("base64") };

/** Three etcd processes, each at its site. */
export class Etcd {
  readonly clientPorts: readonly number[];
  readonly #binary: string;
  readonly #dir: string;
  readonly #ports: readonly ReservedPort[];
  readonly #members: Member[] = [];

  private constructor(binary: string, dir: string, ports: readonly ReservedPort[]) {
    this.#binary = binary;
    this.#dir = dir;
    this.#ports = ports;
    this.clientPorts = ports.slice(0, ports.length / 2).map(({ port }) => port);
  }

  /** Starts them, and waits until they serve. */
  static async start(binary: string, sites: Sites, count: number, timing: EtcdTiming): Promise<Etcd> {
    const dir = await mkdtemp(join(tmpdir(), "tenure-multi-site-"));
    const etcd = new Etcd(binary, dir, await reservePorts(2 * count));
    try {
      await etcd.#start(sites, timing);
      return etcd;
    } catch (error) {
      await etcd.stop();
      throw error;
    }
  }

  /** Ends a member as a crash does. */
  async kill(member: number): Promise<void> {
    const { child } = this.#member(member);
    if (child !== undefined) await killed(child);
  }

  /** Starts a member again that was killed. */
  restart(member: number): void {
    this.#launch(this.#member(member));
  }

  /** Waits until all members follow one leader and can write. One that has ended is an error at once. */
  async whole(): Promise<void> {
    const ended = (): boolean => this.#members.some(({ child }) => child !== undefined && !runs(child));
    const isWhole = async (): Promise<boolean> => {
      const leaders = new Set((await this.#statuses()).map((status) => status?.leaderId ?? "0"));
      if (leaders.size !== 1 || leaders.has("0")) return false;
      await Promise.all(this.#members.map((member) => ask(member, "kv/put", probe)));
      return true;
    };
    const limit = { what: "whole cluster", timeoutMs: startTimeoutMs, intervalMs: 50 };
    const failure = await until(() => ended() || isWhole(), limit).then(
      () => (ended() ? "a member of etcd has ended" : undefined),
      String,
    );
    if (failure === undefined) return;
    throw new Error([failure, ...this.#members.map(({ name, log }) => `${name}: ${log}`)].join("\n"));
  }

  /** Has a member lead the others. */
  async lead(member: number): Promise<void> {
    await this.whole();
    const moved = async (): Promise<boolean> => {
      const statuses = await this.#statuses();
      const wanted = statuses[member]?.memberId;
      const leader = statuses.findIndex((status) => status !== undefined && status.memberId === status.leaderId);
      if (wanted === undefined || leader < 0) return false;
      if (leader === member) return true;
      await ask(this.#member(leader), "maintenance/transfer-leadership", { targetID: wanted });
      return false;
    };
    const what = `leadership of etcd's member ${member}`;
    await until(moved, { what, timeoutMs: startTimeoutMs, intervalMs: 100 });
    await this.whole();
  }

  /** The number of the election of etcd's leader that holds now: it rises with each. */
  async raftTerm(): Promise<number> {
    return Math.max(...(await this.#statuses()).map((status) => status?.raftTerm ?? 0));
  }

  /** Kills all and removes what they wrote. */
  async stop(): Promise<void> {
    await Promise.all(this.#members.map(async ({ child }) => child !== undefined && (await killed(child))));
    for (const port of this.#ports) port.release();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #start(sites: Sites, { heartbeatMs, electionMs }: EtcdTiming): Promise<void> {
    const peerPorts = this.#ports.slice(this.clientPorts.length).map(({ port }) => port);
    const urls = peerPorts.map((port, index) => `http://${sites.hostOf(index)}:${port}`);
    const cluster = urls.map((url, index) => `m${index}=${url}`).join(",");
    for (const [index, port] of this.clientPorts.entries()) {
      const name = `m${index}`;
      const endpoint = `http://127.0.0.1:${port}`;
      const flags = [
        `--name=${name}`,
        `--data-dir=${join(this.#dir, name)}`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=http://127.0.0.1:${peerPorts[index] ?? 0}`,
        `--initial-advertise-peer-urls=${urls[index] ?? ""}`,
        `--initial-cluster=${cluster}`,
        `--heartbeat-interval=${heartbeatMs}`,
        `--election-timeout=${electionMs}`,
        "--log-level=error",
        "--unsafe-no-fsync", // processes are killed here, not machines
      ];
      const proxy = await sites.connectMember(index, peerPorts);
      this.#members.push({ name, endpoint, flags, proxy, child: undefined, log: "" });
    }
    for (const member of this.#members) this.#launch(member);
    await this.whole();
  }

  #launch(member: Member): void {
    const own = Object.entries(process.env).filter(([name]) => !/^etcd|_proxy$/i.test(name));
    const env = { ...Object.fromEntries(own), HTTP_PROXY: member.proxy };
    const child = launch(this.#binary, member.flags, { env });
    member.child = child;
    child.once("error", () => undefined); // no process, no answer: whoever waits for it says so
    child.stdout.resume();
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (member.log = (member.log + chunk).slice(-2_000)));
  }

  #member(index: number): Member {
    const member = this.#members[index];
    if (member === undefined) throw new Error(`there is no member ${index}`);
    return member;
  }

  #statuses(): Promise<(Status | undefined)[]> {
    return Promise.all(this.#members.map((member) => statusOf(member).catch(() => undefined)));
  }
}

async function statusOf(member: Member): Promise<Status> {
  const { header, leader, raftTerm } = (await ask(member, "maintenance/status", {})) as {
    readonly header: { readonly member_id: string };
    readonly leader?: string;
    readonly raftTerm?: string;
  };
  return { memberId: header.member_id, leaderId: leader ?? "0", raftTerm: Number(raftTerm ?? 0) };
}

/** Calls a method of a member's JSON gateway, not over a link. */
async function ask({ endpoint }: Member, path: string, body: object): Promise<unknown> {
  const signal = AbortSignal.timeout(askTimeoutMs);
  const response = await fetch(`${endpoint}/v3/${path}`, { method: "POST", body: JSON.stringify(body), signal });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}
