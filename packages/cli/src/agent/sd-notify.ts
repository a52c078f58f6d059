import { execFile } from "node:child_process";
import type { Notes } from "../run/log.ts";

/** Tells the service manager how we are, in its own words. */
export type Notifier = (...states: readonly string[]) => void;

/** systemd waits for its own program no longer than this. */
const NOTIFY_TIMEOUT_MS = 5000;
/** What a service manager says to us alone: a program that spoke to it would speak in our name. */
const FROM_SERVICE_MANAGER = [
  "NOTIFY_SOCKET",
  "WATCHDOG_PID",
  "WATCHDOG_USEC",
  "LISTEN_PID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
];

/**
 * A way to the service manager, if it asked to be told (`Type=notify` sets NOTIFY_SOCKET), which is taken out of our
 * environment, so that no service inherits it. Node cannot write to such a socket, so systemd's own program does; the
 * unit needs `NotifyAccess=all` for that.
 */
export function sdNotifier(log: Notes): Notifier {
  const socket = process.env["NOTIFY_SOCKET"] ?? "";
  for (const name of FROM_SERVICE_MANAGER) delete process.env[name];
  if (socket === "") return () => undefined;
  const env = { ...process.env, NOTIFY_SOCKET: socket };
  // One after the other, so that what is said last counts.
  let last = Promise.resolve();
  return (...states) => {
    last = last.then(() => tell(states, env, log));
  };
}

function tell(states: readonly string[], env: NodeJS.ProcessEnv, log: Notes): Promise<void> {
  return new Promise((resolve) => {
    const args = [`--pid=${process.pid}`, ...states];
    execFile("systemd-notify", args, { env, timeout: NOTIFY_TIMEOUT_MS }, (error) => {
      if (error !== null) log.note(`systemd cannot be told "${states.join(" ")}": ${error.message.split("\n")[0]}`);
      resolve();
    });
  });
}
