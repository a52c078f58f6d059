import type { Permission } from "@tenure/etcd/rpc";

import type { AuthRecord, SavedUser } from "./journal.ts";

/** What an auth store holds but for tokens. */
export interface AuthState {
  readonly isEnabled: boolean;
  readonly revision: bigint;
  readonly users: ReadonlyMap<string, SavedUser>;
  readonly roles: ReadonlyMap<string, readonly Permission[]>;
}

/** Finds what changed in an auth store, whose users and roles are replaced and never changed in place. */
export class AuthChanges {
  #known: AuthState;

  constructor(state: AuthState) {
    this.#known = copyOf(state);
  }

  /** What differs from the last call, or from the start; undefined when nothing does. */
  take(state: AuthState): AuthRecord | undefined {
    const known = this.#known;
    if (state.revision === known.revision && state.isEnabled === known.isEnabled) return undefined;
    this.#known = copyOf(state);
    return {
      kind: "auth",
      enabled: state.isEnabled,
      revision: state.revision,
      users: differences(known.users, state.users),
      roles: differences(known.roles, state.roles),
    };
  }
}

/** Everything in an auth store as one change. */
export function wholeAuth({ isEnabled: enabled, revision, users, roles }: AuthState): AuthRecord {
  return { kind: "auth", enabled, revision, users: [...users], roles: [...roles] };
}

function copyOf({ isEnabled, revision, users, roles }: AuthState): AuthState {
  return { isEnabled, revision, users: new Map(users), roles: new Map(roles) };
}

function differences<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): [string, V | undefined][] {
  const changed: [string, V | undefined][] = [];
  for (const [name, value] of after) if (before.get(name) !== value) changed.push([name, value]);
  for (const name of before.keys()) if (!after.has(name)) changed.push([name, undefined]);
  return changed;
}
