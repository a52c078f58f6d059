type Environment = Readonly<Record<string, string | undefined>>;

/** What any shell keeps of an environment: those of Debian and Alpine drop other names, such as `a.b`. */
const SHELL_NAME = /^[A-Za-z_]\w*$/;
const ENV = "/usr/bin/env";

/**
 * An environment that a shell passes on whole, and the words in front of the shell's command that make it what it was.
 * They hold no values, which all users could read.
 */
export function throughShell(env: Environment): { readonly env: Environment; readonly restore: readonly string[] } {
  const odd = Object.entries(env).filter(([name, value]) => value !== undefined && !SHELL_NAME.test(name));
  if (odd.length === 0) return { env, restore: [] };
  const kept = Object.entries(env).filter(([name]) => SHELL_NAME.test(name));
  const renamed = odd.map(([, value], index) => [`TENURE_VARIABLE_${index}`, value] as const);
  // `env -S` takes values from the environment.
  const unset = renamed.map(([name]) => `-u ${name}`);
  const set = odd.map(([name], index) => `'${name.replaceAll(/[\\']/g, "\\$&")}'=\${TENURE_VARIABLE_${index}}`);
  return { env: Object.fromEntries([...kept, ...renamed]), restore: [ENV, "-S", [...unset, "--", ...set].join(" ")] };
}
