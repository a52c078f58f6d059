import { Auth } from "@tenure/etcd/rpc";

import type { AuthService } from "../core/auth-service.ts";
import { refusal } from "../core/errors.ts";
import type { GrpcRouter } from "./grpc-service.ts";
import { hashPassword, isPassword } from "./password.ts";

/** Serves the Auth service. */
export function addAuth(router: GrpcRouter, auth: AuthService): void {
  router.add(Auth, {
    authEnable: (_request, caller) => auth.authEnable(caller),
    authDisable: (_request, caller) => auth.authDisable(caller),
    authStatus: (_request, caller) => auth.authStatus(caller),
    authenticate: async ({ name, password }) => {
      for (;;) {
        const { hashedPassword, revision } = auth.passwordOf(name);
        if (!(await isPassword(password, hashedPassword))) throw refusal("authFailed");
        // The password may have been changed while it was compared.
        if (!auth.isOutdated(revision)) return auth.authenticate(name);
      }
    },
    userAdd: async (request, caller) => {
      const hashedPassword = request.options?.noPassword ? "" : await hashPassword(request.password);
      return auth.userAdd({ ...request, password: "", hashedPassword }, caller);
    },
    userGet: (request, caller) => auth.userGet(request, caller),
    userList: (_request, caller) => auth.userList(caller),
    userDelete: (request, caller) => auth.userDelete(request, caller),
    userChangePassword: async (request, caller) => {
      // As etcd: no password, and nobody can log in any more.
      const hashedPassword = request.password === "" ? "" : await hashPassword(request.password);
      return auth.userChangePassword({ ...request, password: "", hashedPassword }, caller);
    },
    userGrantRole: (request, caller) => auth.userGrantRole(request, caller),
    userRevokeRole: (request, caller) => auth.userRevokeRole(request, caller),
    roleAdd: (request, caller) => auth.roleAdd(request, caller),
    roleGet: (request, caller) => auth.roleGet(request, caller),
    roleList: (_request, caller) => auth.roleList(caller),
    roleDelete: (request, caller) => auth.roleDelete(request, caller),
    roleGrantPermission: (request, caller) => auth.roleGrantPermission(request, caller),
    roleRevokePermission: (request, caller) => auth.roleRevokePermission(request, caller),
  });
}
