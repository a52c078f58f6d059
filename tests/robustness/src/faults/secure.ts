import { until } from "../../../support/until.ts";
import { base64 } from "../gateway.ts";
import type { FaultKind } from "../scene.ts";
import { tokenSeconds } from "../security.ts";

/** What changes with users, roles and certificates. */
export const secureFaults: readonly FaultKind[] = [
  {
    name: "token-expired",
    says: "nothing else happens for longer than a token of etcd's lives",
    target: "security",
    secureOnly: true,
    run: async ({ lasts }) => {
      await lasts(1_200 * tokenSeconds);
      return "kept";
    },
  },
  {
    name: "role-changed",
    says: "a role is granted a permission, which ends every token at once, and loses it again 1-2 s later",
    target: "security",
    secureOnly: true,
    run: async ({ world: { cluster, security }, lasts }) => {
      const key = base64("elsewhere/");
      const perm = { permType: "READ", key, range_end: base64("elsewhere0") };
      const name = security?.node.name;
      await retried(() => cluster.call("auth/role/grant", { name, perm }));
      await lasts(1_000, 2_000);
      await retried(() => cluster.call("auth/role/revoke", { role: name, key, range_end: perm.range_end }));
      await lasts(1_000);
      return "kept";
    },
  },
  {
    name: "certificates-rotated",
    says: "every certificate and key is replaced; then every connection is made anew",
    target: "security",
    secureOnly: true,
    alone: true,
    run: async ({ world: { security, network }, lasts }) => {
      await security?.rotate();
      await lasts(1_000);
      const links = network.clients.flat();
      for (const link of links) link.cut();
      for (const link of links) link.heal();
      await lasts(2_000);
      return "kept";
    },
  },
];

// A change of a role ends the token of whoever makes it, too.
async function retried(call: () => Promise<unknown>): Promise<void> {
  await until(() => call().then(() => true), { what: "change of a role", intervalMs: 100 });
}
