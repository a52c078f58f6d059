import type { BenchReport } from "../bench.ts";
import { tableOf } from "./rows.ts";

/** The result as a page in Markdown. */
export function reportOf(report: BenchReport, command: string): string {
  const { machine, node, etcd, rounds, durationMs, loadBefore, failures, rows } = report;
  const broken = failures.map((failure) => `\nBroken off: ${failure}\n`).join("");
  return `# Results

Written by \`${command}\` in ${Math.round(durationMs / 60_000)} min, ${rounds} rounds.

- ${machine}; load average before the start ${loadBefore.toFixed(1)}
- Node ${node}, etcd ${etcd} (one member, \`--unsafe-no-fsync\`), all on one machine
- Go's client/v3 3.5, npm etcd3 1.1.2

Each cell is median / 95th percentile, in brackets the median compared with Go's. The peers took turns on the same etcd,
each round in another order. *floor* is the bare requests over node:http2 that a question cannot do without.
A link adds its round trip, half in each direction; the question *link* shows what it really adds.

${tableOf(rows)}
${broken}`;
}
