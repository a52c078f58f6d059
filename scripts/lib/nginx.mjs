// Finds the real nginx that tests put in front of nodes.
import { debianProgram } from "./debian-program.mjs";

const nginx = debianProgram({
  title: "nginx",
  name: "nginx",
  path: "usr/sbin/nginx",
  versionFlag: "-v",
  variable: "NGINX",
  needs: (name) => name.startsWith("lib"),
});

/** Whether the developer's machine can have no nginx, and its tests are to be left out. */
export const skipNginx = nginx.skip;

/** Finds nginx: `{ bin, version, env }`, downloading it when needed. */
export const findNginx = nginx.find;
