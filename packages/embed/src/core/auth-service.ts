import { create } from "@bufbuild/protobuf";
import {
  type AuthDisableResponse,
  AuthDisableResponseSchema,
  type AuthEnableResponse,
  AuthEnableResponseSchema,
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  type AuthRoleAddRequest,
  type AuthRoleAddResponse,
  AuthRoleAddResponseSchema,
  type AuthRoleDeleteRequest,
  type AuthRoleDeleteResponse,
  AuthRoleDeleteResponseSchema,
  type AuthRoleGetRequest,
  type AuthRoleGetResponse,
  AuthRoleGetResponseSchema,
  type AuthRoleGrantPermissionRequest,
  type AuthRoleGrantPermissionResponse,
  AuthRoleGrantPermissionResponseSchema,
  type AuthRoleListResponse,
  AuthRoleListResponseSchema,
  type AuthRoleRevokePermissionRequest,
  type AuthRoleRevokePermissionResponse,
  AuthRoleRevokePermissionResponseSchema,
  type AuthStatusResponse,
  AuthStatusResponseSchema,
  type AuthUserAddRequest,
  type AuthUserAddResponse,
  AuthUserAddResponseSchema,
  type AuthUserChangePasswordRequest,
  type AuthUserChangePasswordResponse,
  AuthUserChangePasswordResponseSchema,
  type AuthUserDeleteRequest,
  type AuthUserDeleteResponse,
  AuthUserDeleteResponseSchema,
  type AuthUserGetRequest,
  type AuthUserGetResponse,
  AuthUserGetResponseSchema,
  type AuthUserGrantRoleRequest,
  type AuthUserGrantRoleResponse,
  AuthUserGrantRoleResponseSchema,
  type AuthUserListResponse,
  AuthUserListResponseSchema,
  type AuthUserRevokeRoleRequest,
  type AuthUserRevokeRoleResponse,
  AuthUserRevokeRoleResponseSchema,
  type ResponseHeader,
} from "@tenure/etcd/rpc";

import type { AuthStore, Caller } from "./auth-store.ts";

/** What the Auth service needs of the server around it. */
export interface AuthServiceHost {
  header(): ResponseHeader;
  /** Counts an entry of the log that stands for a request, and returns its index. */
  nextIndex(): bigint;
}

/**
 * The Auth service as a state machine. Only root may call what it has, except to ask for itself.
 *
 * Passwords arrive hashed, as `hashedPassword`: hashing is slow on purpose and has no place here. For the same reason
 * {@link authenticate} believes its caller that the password was compared with {@link passwordOf}.
 */
export class AuthService {
  readonly #store: AuthStore;
  readonly #host: AuthServiceHost;

  constructor(store: AuthStore, host: AuthServiceHost) {
    this.#store = store;
    this.#host = host;
  }

  /** Auth.AuthEnable. */
  authEnable(caller: Caller): AuthEnableResponse {
    this.#change(caller, () => this.#store.enable());
    return create(AuthEnableResponseSchema, { header: this.#host.header() });
  }

  /** Auth.AuthDisable. */
  authDisable(caller: Caller): AuthDisableResponse {
    this.#change(caller, () => this.#store.disable());
    return create(AuthDisableResponseSchema, { header: this.#host.header() });
  }

  /** Auth.AuthStatus. */
  authStatus(caller: Caller): AuthStatusResponse {
    this.#checkAdmin(caller);
    const { isEnabled: enabled, revision: authRevision } = this.#store;
    return create(AuthStatusResponseSchema, { header: this.#host.header(), enabled, authRevision });
  }

  /** The hash to compare the password of a request with, and the revision of the auth store at which it is so. */
  passwordOf(name: string): { readonly hashedPassword: string; readonly revision: bigint } {
    return this.#store.passwordOf(name);
  }

  /** Whether what {@link passwordOf} returned may have changed since. */
  isOutdated(revision: bigint): boolean {
    return this.#store.revision !== revision;
  }

  /** Auth.Authenticate, for a user whose password was compared. */
  authenticate(name: string): AuthenticateResponse {
    const token = this.#store.authenticate(name, this.#host.nextIndex());
    return create(AuthenticateResponseSchema, { header: this.#host.header(), token });
  }

  /** Auth.UserAdd. */
  userAdd({ name, hashedPassword, options }: AuthUserAddRequest, caller: Caller): AuthUserAddResponse {
    this.#change(caller, () => this.#store.userAdd(name, hashedPassword, options?.noPassword ?? false));
    return create(AuthUserAddResponseSchema, { header: this.#host.header() });
  }

  /** Auth.UserGet, which users may ask for themselves. */
  userGet({ name }: AuthUserGetRequest, caller: Caller): AuthUserGetResponse {
    const info = this.#store.infoOf(caller);
    if (name !== (info?.user ?? "")) this.#store.checkAdmin(info);
    return create(AuthUserGetResponseSchema, { header: this.#host.header(), roles: [...this.#store.userGet(name)] });
  }

  /** Auth.UserList. */
  userList(caller: Caller): AuthUserListResponse {
    this.#checkAdmin(caller);
    return create(AuthUserListResponseSchema, { header: this.#host.header(), users: [...this.#store.userList()] });
  }

  /** Auth.UserDelete. */
  userDelete({ name }: AuthUserDeleteRequest, caller: Caller): AuthUserDeleteResponse {
    this.#change(caller, () => this.#store.userDelete(name));
    return create(AuthUserDeleteResponseSchema, { header: this.#host.header() });
  }

  /** Auth.UserChangePassword. */
  userChangePassword(
    { name, hashedPassword }: AuthUserChangePasswordRequest,
    caller: Caller,
  ): AuthUserChangePasswordResponse {
    this.#change(caller, () => this.#store.userChangePassword(name, hashedPassword));
    return create(AuthUserChangePasswordResponseSchema, { header: this.#host.header() });
  }

  /** Auth.UserGrantRole. */
  userGrantRole({ user, role }: AuthUserGrantRoleRequest, caller: Caller): AuthUserGrantRoleResponse {
    this.#change(caller, () => this.#store.userGrantRole(user, role));
    return create(AuthUserGrantRoleResponseSchema, { header: this.#host.header() });
  }

  /** Auth.UserRevokeRole. */
  userRevokeRole({ name, role }: AuthUserRevokeRoleRequest, caller: Caller): AuthUserRevokeRoleResponse {
    this.#change(caller, () => this.#store.userRevokeRole(name, role));
    return create(AuthUserRevokeRoleResponseSchema, { header: this.#host.header() });
  }

  /** Auth.RoleAdd. */
  roleAdd({ name }: AuthRoleAddRequest, caller: Caller): AuthRoleAddResponse {
    this.#change(caller, () => this.#store.roleAdd(name));
    return create(AuthRoleAddResponseSchema, { header: this.#host.header() });
  }

  /** Auth.RoleGet, which those who have the role may ask for. */
  roleGet({ role }: AuthRoleGetRequest, caller: Caller): AuthRoleGetResponse {
    const info = this.#store.infoOf(caller);
    if (!this.#store.hasRole(info?.user ?? "", role)) this.#store.checkAdmin(info);
    return create(AuthRoleGetResponseSchema, { header: this.#host.header(), perm: [...this.#store.roleGet(role)] });
  }

  /** Auth.RoleList. */
  roleList(caller: Caller): AuthRoleListResponse {
    this.#checkAdmin(caller);
    return create(AuthRoleListResponseSchema, { header: this.#host.header(), roles: [...this.#store.roleList()] });
  }

  /** Auth.RoleDelete. */
  roleDelete({ role }: AuthRoleDeleteRequest, caller: Caller): AuthRoleDeleteResponse {
    this.#change(caller, () => this.#store.roleDelete(role));
    return create(AuthRoleDeleteResponseSchema, { header: this.#host.header() });
  }

  /** Auth.RoleGrantPermission. */
  roleGrantPermission({ name, perm }: AuthRoleGrantPermissionRequest, caller: Caller): AuthRoleGrantPermissionResponse {
    this.#change(caller, () => this.#store.roleGrantPermission(name, perm));
    return create(AuthRoleGrantPermissionResponseSchema, { header: this.#host.header() });
  }

  /** Auth.RoleRevokePermission. */
  roleRevokePermission(request: AuthRoleRevokePermissionRequest, caller: Caller): AuthRoleRevokePermissionResponse {
    this.#change(caller, () => this.#store.roleRevokePermission(request.role, request));
    return create(AuthRoleRevokePermissionResponseSchema, { header: this.#host.header() });
  }

  #change(caller: Caller, change: () => void): void {
    this.#checkAdmin(caller);
    change();
    this.#host.nextIndex();
  }

  #checkAdmin(caller: Caller): void {
    this.#store.checkAdmin(this.#store.infoOf(caller));
  }
}
