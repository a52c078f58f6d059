import { request } from "node:https";
import { until } from "../../../support/until.ts";
import { base64 } from "../gateway.ts";
import type { FaultKind, Scene } from "../scene.ts";
import { type TlsContents, tokenSeconds } from "../security.ts";

const answerTimeoutMs = 2_000;

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
    says: "every certificate and key is replaced; then every connection is made anew, or every member, one by one",
    target: "security",
    secureOnly: true,
    alone: true,
    run: async ({ world: { security, network, cluster }, chance, lasts }) => {
      await security?.rotate();
      await lasts(1_000);
      if (chance.happens(0.5)) {
        await cluster.restartOneByOne();
      } else {
        const links = network.clients.flat();
        for (const link of links) link.cut();
        for (const link of links) link.heal();
        await lasts(2_000);
      }
      return "kept";
    },
  },
  {
    name: "ca-replaced",
    says: "another authority is trusted too, then issues every certificate, then is trusted alone; members one by one",
    target: "security",
    secureOnly: true,
    alone: true,
    run: async (scene) => {
      const { cluster, security } = scene.world;
      if (security === undefined) throw new Error("there is no authority to replace");
      const before = security.adminTls.read();
      await security.addAuthority();
      await cluster.restartOneByOne(); // etcd reads whom to trust only when it starts
      await security.changeIssuer();
      await scene.lasts(500, 1_000);
      security.dropOldAuthority();
      await cluster.restartOneByOne();
      await provesReplaced(scene, before, security.adminTls.read());
      return "kept";
    },
  },
];

/** Nothing of the old authority's may be good for anything any more; else this was no test. */
async function provesReplaced({ world, violation }: Scene, old: TlsContents, current: TlsContents): Promise<void> {
  for (const { name, endpoint } of world.cluster.members) {
    if (!(await answers(endpoint, current))) violation("harness", `${name} does not answer the new certificate`);
    if (await answers(endpoint, { ...current, ca: old.ca })) violation("harness", `${name} shows the old certificate`);
    if (await answers(endpoint, { ...old, ca: current.ca })) violation("harness", `${name} takes the old certificate`);
  }
}

function answers(endpoint: string, tls: TlsContents): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(`${endpoint}/health`, { ...tls, agent: false, timeout: answerTimeoutMs });
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", () => resolve(false));
    asked.on("response", (response) => {
      response.resume();
      resolve(true);
    });
    asked.end();
  });
}

// A change of a role ends the token of whoever makes it, too. One whose answer came too late was made all the same.
async function retried(call: () => Promise<unknown>): Promise<void> {
  const made = () =>
    call().then(
      () => true,
      (error: unknown) => {
        if (String(error).includes("permission is not granted")) return true;
        throw error;
      },
    );
  await until(made, { what: "change of a role", intervalMs: 100 });
}
