import type { ServerHttp2Session } from "node:http2";

import { systemClock } from "@tenure/etcd/runtime";

/**
 * Drops a connection on which nothing comes and goes for so long, unless the client gives a sign of life (a PING's
 * answer) within the same time.
 *
 * That is for clients that have vanished, and for those whom HTTP/2 has turned away for a breach of its rules: Node
 * reads nothing more from them, not even that they have left.
 */
export function dropWhenDead(session: ServerHttp2Session, maxIdleMs: number): void {
  session.setTimeout(maxIdleMs, () => {
    if (session.destroyed) return;
    // Real time, whatever the clock of the leases is: this is about the connection.
    const cancel = systemClock.after(maxIdleMs, () => session.destroy());
    session.once("close", cancel);
    const isAsked = session.ping((error) => {
      session.off("close", cancel);
      cancel();
      if (error !== null) session.destroy();
    });
    if (!isAsked) session.destroy();
  });
}
