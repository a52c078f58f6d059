// Finds Prometheus' own promtool, which checks metrics, configuration and alert rules.
import { debianProgram } from "./debian-program.mjs";

const promtool = debianProgram({
  title: "promtool",
  name: "prometheus",
  path: "usr/bin/promtool",
  versionFlag: "--version",
  variable: "PROMTOOL",
  needs: () => false,
});

/** Whether the developer's machine can have no promtool, and its tests are to be left out. */
export const skipPromtool = promtool.skip;

/** Finds promtool: `{ bin, version, env }`, downloading Debian's package of Prometheus when needed. */
export const findPromtool = promtool.find;
