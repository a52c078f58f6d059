import { connect } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { Endpoints } from "../http/endpoints.ts";
import { printJson, printLine, table } from "../output.ts";
import { GuardLink } from "../run/guard-link.ts";
import { Log } from "../run/log.ts";
import { plan, plannedTimings, type RunFlags } from "../run/plan.ts";
import { Signals } from "../run/signals.ts";
import { Supervisor } from "../run/supervisor.ts";
import { explained } from "../run/timings.ts";
import type { Settings } from "../settings.ts";

/** `tenure run NAME -- CMD ARGS`: runs a program while this node leads. */
export async function run(
  name: string,
  command: readonly string[],
  flags: RunFlags,
  settings: Settings,
): Promise<number> {
  if (process.platform === "win32") {
    throw new CommandError(ExitCode.configuration, "run needs process groups and signals, which Windows has not");
  }
  if (flags.explain === true) {
    const times = plannedTimings(flags, settings);
    if (settings.output === "table") printLine(table(explained(times)));
    else printJson(times);
    return ExitCode.ok;
  }
  const planned = plan(name, command, flags, settings);
  // First of all, so that a signal finds us ready whenever it comes.
  using signals = new Signals();
  const connectOptions = settings.connect();
  const log = new Log();
  let supervisor: Supervisor | undefined;
  const link = planned.guarded ? new GuardLink(connectOptions, log) : undefined;
  const guard = link?.service(name, () => supervisor?.guardFired());
  await using client = connect({ ...connectOptions, guard: link });
  const closing = (): boolean => signals.stop.aborted;
  const answering = planned.endpoints && new Endpoints({ plan: planned.endpoints, log, closing });
  try {
    const service = answering?.add(client.election(name));
    await answering?.open();
    supervisor = new Supervisor({ plan: planned, client, signals, guard, log, service });
    return await supervisor.run();
  } finally {
    await client.close();
    link?.close();
    // Last: whoever asks meanwhile is told that this node does not lead.
    await answering?.close();
    await log.close();
  }
}
