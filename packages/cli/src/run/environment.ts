import type { Term } from "tenure";

type Environment = Readonly<Record<string, string | undefined>>;

/** Who may use etcd is the supervisor's affair; etcdctl puts the password behind the user's name. */
const SECRETS = ["USER", "PASSWORD", "PASSWORD_FILE"].flatMap((name) => [`TENURE_${name}`, `ETCDCTL_${name}`]);
/** What a supervisor above this one said of its own term. */
const OF_A_TERM = ["KEY", "TOKEN", "LEASE", "VALUE", "ELECTION"].map((name) => `TENURE_${name}`);

/** The environment of everything a supervisor starts: its own without secrets. */
export function cleanEnvironment(env: Environment): Record<string, string | undefined> {
  const clean = { ...env };
  // Our --key may have come as TENURE_KEY, which is the candidate's key below; `tenure` finds it here as well.
  if (env["TENURE_KEY"] !== undefined && env["TENURE_TREE"] === undefined) clean["ETCDCTL_KEY"] ??= env["TENURE_KEY"];
  for (const name of [...SECRETS, ...OF_A_TERM, "ETCD_LOCK_KEY", "ETCD_LOCK_REV"]) delete clean[name];
  return clean;
}

/** What a program is told of the term it runs in; the last two are what `etcdctl lock` tells. */
export function termEnvironment(election: string, term: Term): Record<string, string> {
  return {
    TENURE_ELECTION: election,
    TENURE_KEY: term.key,
    TENURE_TOKEN: term.token.toString(),
    TENURE_LEASE: term.leaseId.toString(16),
    TENURE_VALUE: term.value,
    ETCD_LOCK_KEY: term.key,
    ETCD_LOCK_REV: term.token.toString(),
  };
}
