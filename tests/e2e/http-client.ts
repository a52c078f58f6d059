import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import type { NodeProcess } from "../support/process.ts";
import { settled, until } from "../support/until.ts";

/** What a request was answered with. */
export interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Waits until a supervisor says where it answers. */
export async function portOf(supervisor: NodeProcess): Promise<number> {
  const line = await supervisor.errorLine(/HTTP on http:/, 25_000);
  return Number(/:(\d+)(,|$)/.exec(line)?.[1]);
}

/** Asks once, over a connection of its own. */
export function get(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Got> {
  return ask(port, path, { headers });
}

/** The same by another method, or with a body. */
export function ask(port: number, path: string, { method = "GET", headers = {}, body: sent }: Asking): Promise<Got> {
  const answered = new Promise<Got>((resolve, reject) => {
    const asked = request({ port, path, method, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asked.on("error", reject).end(sent);
  });
  return settled(answered, { what: `answer to ${path}`, timeoutMs: 20_000 });
}

/** What a request besides its path can have. */
export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Asks for an action, over a connection of its own. */
export function act(port: number, path: string, token: string): Promise<Got> {
  return ask(port, path, { method: "POST", headers: { authorization: `Bearer ${token}` } });
}

/** Waits until a path is answered with a status. */
export function answers(port: number, path: string, status: number, timeoutMs = 10_000): Promise<Got> {
  const asked = async (): Promise<Got | undefined> => {
    const got = await get(port, path);
    return got.status === status ? got : undefined;
  };
  return until(asked, { what: `${status} from ${path}`, intervalMs: 5, timeoutMs });
}

/** What a plain connection is told until it ends; undefined when it is refused. */
export function told(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8").on("data", (chunk: string) => (received += chunk));
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve(received));
  });
}
