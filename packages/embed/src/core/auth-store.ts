import type { Clock, Random } from "@tenure/etcd/runtime";
import { type Permission, Permission_Type as PermissionType } from "@tenure/etcd/rpc";

import { JwtTokens, type JwtOptions } from "./auth-jwt.ts";
import type { AuthInfo, AuthTokens } from "./auth-tokens.ts";
import { refusal } from "./errors.ts";
import type { AuthRecord, SavedUser } from "./journal.ts";
import type { AuthState } from "./journal-auth.ts";
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

/** Nobody: what is left to somebody who shows nothing. */
const NOBODY: AuthInfo = { user: "", revision: 0n };

interface UserPermissions {
  readonly read: RangePermissions;
  readonly write: RangePermissions;
}

export interface AuthStoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How long a simple token lives after its last use. Default: 300,000 ms. */
  readonly tokenTtlMs?: number | undefined;
  /** Signed tokens instead of simple ones. */
  readonly jwt?: JwtOptions | undefined;
}

const ROOT = "root";

/**
 * Users, roles, tokens, and who may do what. Passwords come hashed and are only kept here: whoever asks compares them.
 *
 * Each change raises the revision by one. Every method throws `EtcdServerError` for what etcd refuses, with nothing
 * changed.
 */
export class AuthStore {
  readonly #tokens: AuthTokens;
  readonly #users = new Map<string, SavedUser>();
  readonly #roles = new Map<string, readonly Permission[]>();
  /** What each user may do, once asked for; forgotten at every change. */
  readonly #permissions = new Map<string, UserPermissions>();
  #enabled = false;
  #revision = 1n;

  /** Throws when the keys of signed tokens cannot be used. */
  constructor({ clock, random, tokenTtlMs = DEFAULT_TOKEN_TTL_MS, jwt }: AuthStoreOptions) {
    this.#tokens = jwt === undefined ? new SimpleTokens(clock, random, tokenTtlMs) : new JwtTokens(clock, jwt);
  }

  get isEnabled(): boolean {
    return this.#enabled;
  }

  get revision(): bigint {
    return this.#revision;
  }

  /** What it holds but for tokens. It goes on changing with the store. */
  get state(): AuthState {
    return { isEnabled: this.#enabled, revision: this.#revision, users: this.#users, roles: this.#roles };
  }

  /** Takes back a change that an earlier store made. */
  restore({ enabled, revision, users, roles }: AuthRecord): void {
    this.#enabled = enabled;
    this.#revision = revision;
    for (const [name, user] of users) setOrDelete(this.#users, name, user);
    for (const [name, permissions] of roles) setOrDelete(this.#roles, name, permissions);
    this.#permissions.clear();
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
    this.#tokens.disable();
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
    return this.#tokens.assign({ user: name, revision: this.#revision, index });
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
    const info = this.#tokens.infoOf(token, this.#revision);
    if (info === undefined) throw refusal("invalidAuthToken");
    return info;
  }

  /** Throws unless the caller has shown who it is. */
  checkCaller(caller: Caller): void {
    if (this.#enabled && this.infoOf(caller) === undefined) throw refusal("userEmpty");
  }

  /**
   * Throws when a token is not of this revision of the store. As etcd, which looks at this for reads alone, so that
   * one from the future may change what it may not read.
   */
  checkCurrent(info: AuthInfo | undefined): void {
    if (info !== undefined && info.revision !== 0n && info.revision !== this.#revision)
      throw refusal("authOldRevision");
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
    this.#tokens.expireAll();
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

  #user(name: string): SavedUser {
    const user = this.#users.get(name);
    if (user === undefined) throw refusal("userNotFound");
    return user;
  }

  #commit(): void {
    this.#revision += 1n;
    this.#permissions.clear();
  }
}

function setOrDelete<V>(map: Map<string, V>, name: string, value: V | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}

function withoutRole(user: SavedUser, role: string): SavedUser {
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
