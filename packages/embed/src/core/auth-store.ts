import type { Clock, Random } from "@tenure/etcd/runtime";
import { type Permission, Permission_Type as PermissionType } from "@tenure/etcd/rpc";

import { refusal } from "./errors.ts";
import { keyFromBytes, type KeyRange, keyRange } from "./key-range.ts";
import { RangePermissions } from "./range-permissions.ts";
import { DEFAULT_TOKEN_TTL_MS, SimpleTokens } from "./simple-token.ts";

/** How a caller shows who it is, as its request carries it. */
export interface Caller {
  readonly token?: string | undefined;
  /** The name in the certificate that the server has verified. */
  readonly commonName?: string | undefined;
}

/** Somebody who shows nothing, as everybody may while authentication is off. */
export const ANONYMOUS: Caller = {};

/** Who asks, and the revision of the auth store at which that was true. */
export interface AuthInfo {
  readonly user: string;
  readonly revision: bigint;
}

/** Nobody: what is left to somebody who shows nothing. */
const NOBODY: AuthInfo = { user: "", revision: 0n };

interface User {
  readonly name: string;
  readonly hashedPassword: string;
  readonly noPassword: boolean;
  /** In byte order. */
  readonly roles: readonly string[];
}

interface UserPermissions {
  readonly read: RangePermissions;
  readonly write: RangePermissions;
}

export interface AuthStoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How long a token lives after its last use. Default: 300,000 ms. */
  readonly tokenTtlMs?: number | undefined;
}

const ROOT = "root";

/**
 * Users, roles, tokens, and who may do what. Passwords come hashed and are only kept here: whoever asks compares them.
 *
 * Each change raises the revision by one. Every method throws `EtcdServerError` for what etcd refuses, with nothing
 * changed.
 */
export class AuthStore {
  readonly #tokens: SimpleTokens;
  readonly #users = new Map<string, User>();
  readonly #roles = new Map<string, readonly Permission[]>();
  /** What each user may do, once asked for; forgotten at every change. */
  readonly #permissions = new Map<string, UserPermissions>();
  #enabled = false;
  #revision = 1n;

  constructor({ clock, random, tokenTtlMs = DEFAULT_TOKEN_TTL_MS }: AuthStoreOptions) {
    this.#tokens = new SimpleTokens(clock, random, tokenTtlMs);
  }

  get isEnabled(): boolean {
    return this.#enabled;
  }

  get revision(): bigint {
    return this.#revision;
  }

  enable(): void {
    if (this.#enabled) return;
    const root = this.#users.get(ROOT);
    if (root === undefined) throw refusal("rootUserNotExist");
    if (!root.roles.includes(ROOT)) throw refusal("rootRoleNotExist");
    this.#enabled = true;
  }

  disable(): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    this.#tokens.clear();
    this.#commit();
  }

  /** The hash to compare a password with, and the revision at which that was the user's. */
  passwordOf(name: string): { readonly hashedPassword: string; readonly revision: bigint } {
    if (!this.#enabled) throw refusal("authNotEnabled");
    const user = this.#users.get(name);
    if (user === undefined) throw refusal("authFailed");
    if (user.noPassword) throw refusal("noPasswordUser");
    return { hashedPassword: user.hashedPassword, revision: this.#revision };
  }

  /** Makes a token for a user whose password was compared. */
  authenticate(name: string, index: bigint): string {
    if (!this.#enabled) throw refusal("authNotEnabled");
    const user = this.#users.get(name);
    if (user === undefined || user.noPassword) throw refusal("authFailed");
    return this.#tokens.assign(name, index);
  }

  userAdd(name: string, hashedPassword: string, noPassword: boolean): void {
    if (name === "") throw refusal("userEmpty");
    if (this.#users.has(name)) throw refusal("userAlreadyExist");
    this.#users.set(name, { name, hashedPassword: noPassword ? "" : hashedPassword, noPassword, roles: [] });
    this.#commit();
  }

  userDelete(name: string): void {
    if (this.#enabled && name === ROOT) throw refusal("invalidAuthMgmt");
    if (!this.#users.delete(name)) throw refusal("userNotFound");
    this.#tokens.invalidateUser(name);
    this.#commit();
  }

  userChangePassword(name: string, hashedPassword: string): void {
    const user = this.#user(name);
    this.#users.set(name, { ...user, hashedPassword: user.noPassword ? "" : hashedPassword });
    this.#tokens.invalidateUser(name);
    this.#commit();
  }

  userGrantRole(name: string, role: string): void {
    const user = this.#user(name);
    if (role !== ROOT && !this.#roles.has(role)) throw refusal("roleNotFound");
    if (user.roles.includes(role)) return;
    this.#users.set(name, { ...user, roles: [...user.roles, role].toSorted(byBytes) });
    this.#commit();
  }

  userRevokeRole(name: string, role: string): void {
    if (this.#enabled && name === ROOT && role === ROOT) throw refusal("invalidAuthMgmt");
    const user = this.#user(name);
    if (!user.roles.includes(role)) throw refusal("roleNotGranted");
    this.#users.set(name, withoutRole(user, role));
    this.#commit();
  }

  /** The roles of a user. */
  userGet(name: string): readonly string[] {
    return this.#user(name).roles;
  }

  userList(): readonly string[] {
    return [...this.#users.keys()].toSorted(byBytes);
  }

  roleAdd(name: string): void {
    if (name === "") throw refusal("roleEmpty");
    if (this.#roles.has(name)) throw refusal("roleAlreadyExist");
    this.#roles.set(name, []);
    this.#commit();
  }

  roleDelete(name: string): void {
    if (this.#enabled && name === ROOT) throw refusal("invalidAuthMgmt");
    if (!this.#roles.delete(name)) throw refusal("roleNotFound");
    for (const user of this.#users.values()) this.#users.set(user.name, withoutRole(user, name));
    this.#commit();
  }

  /** What a role permits, in order of the keys. */
  roleGet(name: string): readonly Permission[] {
    const permissions = this.#roles.get(name);
    if (permissions === undefined) throw refusal("roleNotFound");
    return permissions;
  }

  roleList(): readonly string[] {
    return [...this.#roles.keys()].toSorted(byBytes);
  }

  /**
   * Permits a range, or changes how it is permitted. As etcd: that only if it is the first range permitted that begins
   * with this key; else the range is permitted in both ways.
   */
  roleGrantPermission(name: string, permission: Permission | undefined): void {
    if (permission === undefined) throw refusal("permissionNotGiven");
    if (!isValidRange(permission)) throw refusal("invalidAuthMgmt");
    const permissions = this.roleGet(name);
    const first = permissions.find(({ key }) => Buffer.compare(key, permission.key) === 0);
    const isKnown = first !== undefined && isSameRange(first, permission);
    const permitted = isKnown
      ? permissions.map((each) => (each === first ? permission : each))
      : [...permissions, permission].toSorted((a, b) => Buffer.compare(a.key, b.key));
    this.#roles.set(name, permitted);
    this.#commit();
  }

  roleRevokePermission(name: string, range: Pick<Permission, "key" | "rangeEnd">): void {
    const permissions = this.roleGet(name);
    const others = permissions.filter((each) => !isSameRange(each, range));
    if (others.length === permissions.length) throw refusal("permissionNotGranted");
    this.#roles.set(name, others);
    this.#commit();
  }

  /** Whether a user was granted a role; false for a user there is not. */
  hasRole(name: string, role: string): boolean {
    return this.#users.get(name)?.roles.includes(role) ?? false;
  }

  /** Who a caller is; undefined when it shows nothing, or nothing is wanted. Throws for a token that is not good. */
  infoOf({ token, commonName }: Caller): AuthInfo | undefined {
    if (!this.#enabled) return undefined;
    if (token === undefined) {
      return commonName === undefined ? undefined : { user: commonName, revision: this.#revision };
    }
    const user = this.#tokens.userOf(token);
    if (user === undefined) throw refusal("invalidAuthToken");
    return { user, revision: this.#revision };
  }

  /** Throws unless the caller has shown who it is. */
  checkCaller(caller: Caller): void {
    if (this.#enabled && this.infoOf(caller) === undefined) throw refusal("userEmpty");
  }

  checkRange(info: AuthInfo | undefined, range: KeyRange): void {
    this.#checkPermitted(info, range, "read");
  }

  checkWrite(info: AuthInfo | undefined, range: KeyRange): void {
    this.#checkPermitted(info, range, "write");
  }

  checkAdmin(info: AuthInfo | undefined): void {
    if (!this.#enabled) return;
    if (info === undefined || info.user === "") throw refusal("userEmpty");
    if (!this.#users.has(info.user)) throw refusal("userNotFound");
    if (!this.hasRole(info.user, ROOT)) throw refusal("permissionDenied");
  }

  isAdmin(info: AuthInfo | undefined): boolean {
    return !this.#enabled || (info !== undefined && this.hasRole(info.user, ROOT));
  }

  /** Ends all tokens, as if nobody had used them for too long. */
  expireTokens(): void {
    this.#tokens.clear();
  }

  /** Forgets tokens that have run out. */
  tick(): void {
    this.#tokens.tick();
  }

  #checkPermitted({ user, revision }: AuthInfo = NOBODY, range: KeyRange, access: "read" | "write"): void {
    if (!this.#enabled) return;
    if (revision === 0n) throw refusal("userEmpty");
    if (revision < this.#revision) throw refusal("authOldRevision");
    if (!this.#users.has(user)) throw refusal("permissionDenied");
    if (this.hasRole(user, ROOT)) return;
    if (!this.#permissionsOf(user)[access].contains(range)) throw refusal("permissionDenied");
  }

  #permissionsOf(name: string): UserPermissions {
    const known = this.#permissions.get(name);
    if (known !== undefined) return known;
    const all = this.#user(name).roles.flatMap((role) => this.#roles.get(role) ?? []);
    const rangesFor = (type: PermissionType): KeyRange[] =>
      all
        .filter(({ permType }) => permType === type || permType === PermissionType.READWRITE)
        .map(({ key, rangeEnd }) => keyRange(key, rangeEnd));
    const permissions = {
      read: new RangePermissions(rangesFor(PermissionType.READ)),
      write: new RangePermissions(rangesFor(PermissionType.WRITE)),
    };
    this.#permissions.set(name, permissions);
    return permissions;
  }

  #user(name: string): User {
    const user = this.#users.get(name);
    if (user === undefined) throw refusal("userNotFound");
    return user;
  }

  #commit(): void {
    this.#revision += 1n;
    this.#permissions.clear();
  }
}

function withoutRole(user: User, role: string): User {
  return { ...user, roles: user.roles.filter((each) => each !== role) };
}

function isSameRange(a: Pick<Permission, "key" | "rangeEnd">, b: Pick<Permission, "key" | "rangeEnd">): boolean {
  return Buffer.compare(a.key, b.key) === 0 && Buffer.compare(a.rangeEnd, b.rangeEnd) === 0;
}

function isValidRange({ key, rangeEnd }: Permission): boolean {
  if (key.byteLength === 0) return false;
  const range = keyRange(key, rangeEnd);
  return range.kind === "key" || range.end === undefined || keyFromBytes(key) < range.end;
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
