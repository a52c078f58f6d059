import { execFile } from "node:child_process";
import type { Notes } from "../run/log.ts";

/** systemd waits for its own program no longer than this. */
const NOTIFY_TIMEOUT_MS = 5000;

/**
 * Tells the service manager how we are, if it asked for that (`Type=notify` sets NOTIFY_SOCKET). Node cannot write to
 * such a socket, so systemd's own program does; the unit needs `NotifyAccess=all` for that.
 */
export function sdNotify(log: Notes, ...states: readonly string[]): void {
  if ((process.env["NOTIFY_SOCKET"] ?? "") === "") return;
  const args = [`--pid=${process.pid}`, ...states];
  execFile("systemd-notify", args, { timeout: NOTIFY_TIMEOUT_MS }, (error) => {
    if (error !== null) log.note(`systemd cannot be told "${states.join(" ")}": ${error.message.split("\n")[0]}`);
  });
}
