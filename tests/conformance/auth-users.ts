import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { Auth, type KV, Permission_Type as PermissionType } from "@tenure/etcd/rpc";
import type { RawAnswer, RawGrpcClient } from "../../packages/embed/src/testing/raw-grpc-client.ts";
import type { Harness } from "./harness.ts";

/** What a request gets that must not fail: status and text, to be compared whole. */
export interface Outcome {
  readonly status: string | undefined;
  readonly message: string | undefined;
}

/** What a role permits: a range, and how. */
export interface Grant {
  readonly key: string;
  readonly rangeEnd?: string;
  readonly type?: "read" | "write" | "readwrite";
}

export const ok: Outcome = { status: "0", message: "" };
export const permissionDenied: Outcome = { status: "7", message: "etcdserver: permission denied" };
export const userEmpty: Outcome = { status: "3", message: "etcdserver: user name is empty" };
export const invalidToken: Outcome = { status: "16", message: "etcdserver: invalid auth token" };

export const rootPassword = "root password";
export const bytes = (text: string): Uint8Array => Buffer.from(text);

/** Users and roles of one case. At its end authentication is off, and they are gone. */
export class AuthUsers implements AsyncDisposable {
  readonly #raw: RawGrpcClient;

  private constructor(raw: RawGrpcClient) {
    this.#raw = raw;
  }

  /** Only root, and authentication off. */
  static async create(h: Harness): Promise<AuthUsers> {
    const users = new AuthUsers(h.raw());
    await users.must(Auth.method.userAdd, { name: "root", password: rootPassword });
    await users.must(Auth.method.userGrantRole, { user: "root", role: "root" });
    return users;
  }

  /** Adds a user with a password that is its name, and a role of its own that permits these ranges. */
  async add(name: string, ...grants: readonly Grant[]): Promise<void> {
    await this.must(Auth.method.userAdd, { name, password: name });
    await this.must(Auth.method.roleAdd, { name });
    for (const { key, rangeEnd = "", type = "readwrite" } of grants) {
      const permType = { read: PermissionType.READ, write: PermissionType.WRITE, readwrite: PermissionType.READWRITE };
      const perm = { key: bytes(key), rangeEnd: bytes(rangeEnd), permType: permType[type] };
      await this.must(Auth.method.roleGrantPermission, { name, perm });
    }
    await this.must(Auth.method.userGrantRole, { user: name, role: name });
  }

  async enable(): Promise<void> {
    await this.must(Auth.method.authEnable, {});
  }

  /** The headers with which a user's calls are its own. */
  async signedIn(name: string, password: string = name): Promise<{ readonly token: string }> {
    const answer = await this.#raw.unary(Auth.method.authenticate, { name, password });
    return { token: fieldOf(answer, "token") as string };
  }

  root(): Promise<{ readonly token: string }> {
    return this.signedIn("root", rootPassword);
  }

  async call<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    return outcomeOf(await this.#raw.unary(method, request, headers));
  }

  /** A call as nobody that must work. */
  async must<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>): Promise<void> {
    const { status, message } = await this.call(method, request);
    if (status !== ok.status) throw new Error(`${method.name}: ${message}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const answer = await this.#raw.unary(Auth.method.authenticate, { name: "root", password: rootPassword });
    if (answer.status === ok.status) {
      await this.call(Auth.method.authDisable, {}, { token: fieldOf(answer, "token") as string });
    }
    for (const name of await this.#names(Auth.method.userList, "users")) {
      await this.must(Auth.method.userDelete, { name });
    }
    for (const role of await this.#names(Auth.method.roleList, "roles")) {
      await this.must(Auth.method.roleDelete, { role });
    }
  }

  async #names(method: DescMethod, field: string): Promise<readonly string[]> {
    const answer = await this.#raw.unary(method, {});
    return fieldOf(answer, field) as string[];
  }
}

/** How a call ended. */
export function outcomeOf({ status, message = "" }: RawAnswer): Outcome {
  return { status, message };
}

function fieldOf({ messages, message }: RawAnswer, field: string): unknown {
  const [answer] = messages;
  if (answer === undefined) throw new Error(message);
  return Reflect.get(answer, field);
}

/** A transaction that puts a key. */
export function putTxn(key: Uint8Array): MessageInitShape<typeof KV.method.txn.input> {
  return { success: [{ request: { case: "requestPut", value: { key } } }] };
}
