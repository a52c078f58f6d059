import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { findEtcd } from "../../../scripts/lib/etcd.mjs";
import { killed, launch } from "../../support/children.ts";
import { settled } from "../../support/until.ts";

/** A command of etcdctl, with what it reads from its stdin. */
export interface CtlCommand {
  readonly args: readonly string[];
  readonly input?: string;
}

/** What a command printed, without what differs from one cluster to another. */
export interface CtlOutput {
  readonly command: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs commands of etcdctl 3.5 on a store, one after another. `{lease}` stands for the lease that was granted last. */
export async function outputsOf(endpoint: string, commands: readonly CtlCommand[]): Promise<readonly CtlOutput[]> {
  const outputs: CtlOutput[] = [];
  let lease = "";
  for (const { args, input = "" } of commands) {
    const given = args.map((each) => each.replace("{lease}", lease));
    const child = await spawnCtl(endpoint, given);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    // It may end without having read it all.
    child.stdin.on("error", () => undefined).end(input);
    const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
    const command = `etcdctl ${args.join(" ")}`;
    const code = await settled(closed, { what: `end of ${command}` }).catch(async (error: unknown) => {
      await killed(child);
      throw error;
    });
    lease = /^lease ([0-9a-f]+) granted/.exec(stdout)?.[1] ?? lease;
    outputs.push({ command, code, stdout: neutral(stdout), stderr: neutral(stderr) });
  }
  return outputs;
}

/** Starts etcdctl 3.5 on a store. */
export async function spawnCtl(endpoint: string, args: readonly string[]): Promise<ChildProcessWithoutNullStreams> {
  const { etcdctl } = await findEtcd("3.5");
  const env = { ETCDCTL_API: "3", PATH: process.env["PATH"] };
  return launch(etcdctl, [`--endpoints=${endpoint}`, ...args], { env });
}

/** Without addresses, ids, sizes and times. */
function neutral(text: string): string {
  return text
    .replace(/^\{"level".*"error":"(.*?)"\}$/gm, "logged: $1")
    .replace(/\b(localhost|127\.0\.0\.1):\d+/g, "ADDRESS")
    .replace(/\b(tenure-embed|test), http/g, "NAME, http")
    .replace(/"(Name)" : ".*"/g, '"$1" : NAME')
    .replace(/"(ClusterID|MemberID|Leader|RaftIndex|RaftAppliedIndex|RaftTerm|DBSize|ID)" : -?\d+/g, '"$1" : NUMBER')
    .replace(/"(cluster_id|member_id|raft_term|ID)":\d+/g, '"$1":NUMBER')
    .replace(/\b(0x)?[0-9a-f]{13,16}\b/g, "ID")
    .replace(/took = [\d.]+[µm]?s/g, "took = TIME")
    .replace(/remaining\(\d+s\)/g, "remaining(TIME)");
}

/** A command as it is typed, without quotation marks; `""` is an empty argument. */
export function ctl(line: string, input?: string): CtlCommand {
  const args = line.split(" ").map((each) => (each === '""' ? "" : each));
  return input === undefined ? { args } : { args, input };
}
