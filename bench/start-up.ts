import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { pause } from "../tests/support/until.ts";
import { now } from "./peers/protocol.ts";
import { etcd3, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const settleMs = 3_000;
const standbyRounds = 2;
const timeoutMs = 20_000;

/** Programs for Node that import one thing and say how many milliseconds it took. */
const imports = new Map<Variant, string>([
  [{ name: "tenure", peer: "tenure" }, "tenure"],
  [{ name: "etcd3", peer: "etcd3" }, "etcd3"],
  [{ name: "grpc-js", peer: "floor" }, "@grpc/grpc-js"],
]);

/** How long it takes to begin, and what a process takes that only stands by. */
export const startUp: Question = {
  name: "start-up",
  overLinks: false,
  measure: async (stage) => {
    const question = "import";
    await stage.alternate(question, imports, stage.fewer(2), async (variant, name) => {
      const program = `const from = performance.now(); await import("${name}"); console.log(performance.now() - from);`;
      const { output } = await ran(["--input-type=module", "-e", program], stage.settings.signal);
      stage.record(question, variant, "ms", [Number(output)]);
    });
    await commands(stage);
    await standbys(stage);
  },
};

async function commands(stage: Stage): Promise<void> {
  const holder = stage.start(tenure);
  const election = stage.newElection();
  await holder.order({ do: "stand", election, seat: 0, value: "first" });
  await holder.told("elected", () => true);
  const command = ["packages/cli/bin/tenure.js", "leader", election, "--endpoints", stage.endpoint];
  const programs = new Map<Variant, readonly string[]>([
    [{ name: "tenure", peer: "tenure" }, command],
    [{ name: "node -e 0", peer: "floor" }, ["-e", "0"]],
  ]);
  const question = "the command `tenure leader`";
  await stage.alternate(question, programs, stage.rounds, async (variant, args) => {
    const { tookMs } = await ran(args, stage.settings.signal);
    stage.record(question, variant, "ms", [tookMs]);
  });
}

async function standbys(stage: Stage): Promise<void> {
  const variants = new Map([tenure, go, etcd3].map((variant) => [variant, variant]));
  const question = "memory of a process that stands by";
  await stage.alternate(
    question,
    variants,
    Math.min(stage.rounds, stage.quick ? 1 : standbyRounds),
    async (variant) => {
      const election = stage.newElection();
      const [leading, standing] = [stage.start(variant), stage.start(variant)];
      await leading.order({ do: "stand", election, seat: 0, value: "first" });
      await leading.told("elected", () => true);
      const there = stage.candidates(election, 2);
      await standing.order({ do: "stand", election, seat: 0, value: "second" });
      await there;
      await pause(settleMs);
      stage.record(question, variant, "MB", [standing.residentMb]);
      await stage.dismiss([leading, standing]);
    },
  );
}

/** Runs Node to its end. */
function ran(args: readonly string[], signal: AbortSignal): Promise<{ tookMs: number; output: string }> {
  return new Promise((resolve, reject) => {
    const startedAt = now();
    const options = { cwd: root, stdio: ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"], signal };
    const child = spawn(process.execPath, args, { ...options, timeout: timeoutMs });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve({ tookMs: now() - startedAt, output: output.trim() });
      else reject(new Error(`node ${args.join(" ")}: ${errors.trim()}`));
    });
  });
}
