import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type JwtOptions, startEmbed } from "@tenure/embed";
import { Auth, type AuthenticateResponse, type AuthStatusResponse, KV, Lease } from "@tenure/etcd/rpc";
import type { AuthRoleListResponse, AuthUserListResponse, LeaseLeasesResponse, PutResponse } from "@tenure/etcd/rpc";
import { seededRandom } from "@tenure/etcd/runtime";
import { Connection } from "./connection.ts";
import type { EtcdProcess } from "./etcd-process.ts";
import { rootPassword } from "./generate-auth.ts";
import { type Start, Subject } from "./subject.ts";

/** An embedded server and an etcd, both empty. */
export interface EmptyPair extends AsyncDisposable {
  readonly embed: Subject;
  readonly etcd: Subject;
}

const limitMs = 10_000;

/** Empties etcd and starts an embedded server beside it, whose revisions begin where etcd's are. */
export async function startEmpty(etcdEndpoint: string, jwt?: JwtOptions): Promise<EmptyPair> {
  return startBeside(etcdEndpoint, await onConnection(etcdEndpoint, emptied), jwt);
}

/** Starts an embedded server beside an etcd without any history, which ends with it. */
export async function startFresh(etcd: EtcdProcess): Promise<EmptyPair> {
  const pair = await startBeside(etcd.endpoint, { firstRevision: 1n, firstAuthRevision: 1n }).catch(async (error) => {
    await etcd.stop();
    throw error;
  });
  const close = async (): Promise<void> => {
    await pair[Symbol.asyncDispose]();
    await etcd.stop();
  };
  return { ...pair, [Symbol.asyncDispose]: close };
}

async function startBeside(etcdEndpoint: string, start: Start, jwt?: JwtOptions): Promise<EmptyPair> {
  // The same revisions, so that requests have the same size.
  const server = await startEmbed({ firstRevision: start.firstRevision, random: seededRandom(1), jwt });
  const firstAuthRevision = await onConnection(server.endpoint, authRevision);
  const embed = new Subject(server.endpoint, { ...start, firstAuthRevision });
  const etcd = new Subject(etcdEndpoint, start);
  const close = async (): Promise<void> => {
    embed.close();
    etcd.close();
    await server.close();
  };
  return { embed, etcd, [Symbol.asyncDispose]: close };
}

/** Asks and wants an answer. */
type Ask = <M extends DescMethod>(
  method: M,
  request?: MessageInitShape<M["input"]>,
  headers?: Readonly<Record<string, string>>,
) => Promise<Message>;

async function onConnection<T>(endpoint: string, action: (ask: Ask) => Promise<T>): Promise<T> {
  const connection = new Connection(endpoint);
  try {
    return await action(async (method, request, headers) => {
      const { answer, status } = await connection.ask(method, create(method.input, request), limitMs, headers);
      if (answer === undefined) throw new Error(`${method.name}: ${status.message}`);
      return answer;
    });
  } finally {
    connection.close();
  }
}

async function emptied(ask: Ask): Promise<Start> {
  await disableAuth(ask);
  for (const { ID } of ((await ask(Lease.method.leaseLeases)) as LeaseLeasesResponse).leases) {
    await ask(Lease.method.leaseRevoke, { ID });
  }
  for (const name of ((await ask(Auth.method.userList)) as AuthUserListResponse).users) {
    await ask(Auth.method.userDelete, { name });
  }
  for (const role of ((await ask(Auth.method.roleList)) as AuthRoleListResponse).roles) {
    await ask(Auth.method.roleDelete, { role });
  }
  // Something to delete, so that the revision is above every one that was compacted.
  await ask(KV.method.put, { key: Buffer.from("emptied") });
  const all = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
  const { header } = (await ask(KV.method.deleteRange, all)) as PutResponse;
  return { firstRevision: header?.revision ?? 0n, firstAuthRevision: await authRevision(ask) };
}

async function disableAuth(ask: Ask): Promise<void> {
  // It tells whether authentication is on to those only who have signed in.
  const isOn = await ask(Auth.method.authStatus).then(
    (answer) => (answer as AuthStatusResponse).enabled,
    () => true,
  );
  if (!isOn) return;
  const answer = await ask(Auth.method.authenticate, { name: "root", password: rootPassword });
  await ask(Auth.method.authDisable, {}, { token: (answer as AuthenticateResponse).token });
}

async function authRevision(ask: Ask): Promise<bigint> {
  return ((await ask(Auth.method.authStatus)) as AuthStatusResponse).authRevision;
}
