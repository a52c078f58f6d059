// What `npm run differential` starts, with its options as JSON.
import { readFileSync } from "node:fs";
import { type DifferentialOptions, runDifferential } from "./main.ts";
import { readScript, serversOf } from "./operation.ts";

interface CommandOptions extends Pick<DifferentialOptions, "etcd" | "seed" | "withExpiries"> {
  readonly version: string;
  readonly json: boolean;
  readonly operations?: number;
  readonly minutes?: number;
  readonly replay?: string;
}

const tell = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? "") as CommandOptions;
  const { etcd, seed, withExpiries, version, json, operations = Infinity, minutes = Infinity, replay } = options;
  const text = replay === undefined ? undefined : readFileSync(replay, "utf8");
  const script = text === undefined ? {} : { script: readScript(text), servers: serversOf(text) };
  const report = {
    version,
    ...(await runDifferential({ etcd, seed, withExpiries, operations, minutes, tell, ...script })),
  };
  if (json) console.log(JSON.stringify(report));
  else console.log(`${report.operations} operations, ${report.differences} differences to etcd ${version}`);
  // Everything has been stopped; what Node still keeps of reset streams must not keep the process.
  process.exit(report.differences > 0 ? 1 : 0);
}

try {
  await main();
} catch (error) {
  tell(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
