import type { BenchReport } from "../bench.ts";
import { limitsTable } from "./limits.ts";
import { tableOf } from "./rows.ts";

/** The result as a page in Markdown. */
export function reportOf(report: BenchReport, command: string): string {
  const { machine, node, etcd, rounds, durationMs, loadBefore, failures, leftOut, limits, rows } = report;
  const missing = [
    ...failures.map((failure) => `Broken off: ${failure}`),
    ...leftOut.map((what) => `Left out: ${what}`),
    ...(report.stopped ? ["Ended early."] : []),
  ];
  return `# Results

Written by \`${command}\` in ${(durationMs / 60_000).toFixed(1)} min, ${rounds} rounds.
What the numbers mean: [performance](../docs/performance.md).

- ${machine}; load average before the start ${loadBefore.toFixed(1)}
- Node ${node}, etcd ${etcd} (one member, \`--unsafe-no-fsync\`), all on one machine
- Go's client/v3 3.5, npm etcd3 1.1.2, @grpc/grpc-js, @connectrpc/connect-node

Each cell is median / 95th percentile, in brackets the median compared with Go's; where Go has no such thing, with
grpc-js's or a bare Node's. The peers took turns on the same etcd, each round in another order. *floor* is the bare
requests that a question cannot do without, over Tenure's own HTTP/2: no keep-alives, no deadlines, no proof.
A link adds its round trip, half in each direction; *the link itself* shows what it really adds.

![All durations](results.svg)

![How each cost grows](growth.svg)

## Limits

${limits.length > 0 ? limitsTable(limits) : "None of the questions that were asked has one."}

## All numbers

${tableOf(rows)}
${missing.map((line) => `\n${line}\n`).join("")}`;
}
