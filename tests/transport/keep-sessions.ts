import { syncBuiltinESMExports } from "node:module";

/**
 * Keeps what Node has of each HTTP/2 session of this process for as long as that lives.
 *
 * Node 20 aborts the process when it collects a session whose memory it has miscounted (`current_nghttp2_memory_`), as
 * now and then after a server that breaks the rules, which is what the tests here are about. The other stacks run on
 * it.
 */
export function keepSessions(): void {
  const http2 = process.getBuiltinModule("node:http2");
  const { connect } = http2;
  const kept: unknown[] = [];
  http2.connect = new Proxy(connect, {
    apply: (target, self, args: Parameters<typeof connect>) => {
      const session = Reflect.apply(target, self, args);
      // Node lets go of its own part when the session ends, and that is the one that must stay.
      session.once("connect", () => {
        for (const key of Object.getOwnPropertySymbols(session)) {
          if (key.description === "kHandle") kept.push(Reflect.get(session, key));
        }
      });
      return session;
    },
  });
  syncBuiltinESMExports();
}
