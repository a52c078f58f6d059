// Finds the real HAProxy that tests put in front of nodes.
import { debianProgram } from "./debian-program.mjs";

const haproxy = debianProgram({
  title: "HAProxy",
  name: "haproxy",
  path: "usr/sbin/haproxy",
  versionFlag: "-v",
  variable: "HAPROXY",
  needs: (name) => name.startsWith("lib"),
});

/** Whether the developer's machine can have no HAProxy, and its tests are to be left out. */
export const skipHaproxy = haproxy.skip;

/** Finds HAProxy: `{ bin, version, env }`, downloading it when needed. */
export const findHaproxy = haproxy.find;
