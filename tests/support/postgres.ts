import { execFile, type ChildProcess } from "node:child_process";
import { chown, cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { findPostgres, type PostgresBinaries } from "../../scripts/lib/postgres.mjs";
import { killed, launch, runs } from "./children.ts";
import { settled, until } from "./until.ts";

/** A real PostgreSQL on a socket in a folder of its own. */
export interface Postgres extends AsyncDisposable {
  /** Its full version, such as "15.18". */
  readonly version: string;
  /** What a program must have in its environment so that PostgreSQL's clients find this server. */
  readonly env: Readonly<Record<"PGHOST" | "PGPORT" | "PGUSER" | "PGDATABASE", string>>;
  /** The process id of the running server. */
  readonly pid: number;
  /** Opens a connection; it is closed at the end at the latest. */
  connect(): Promise<pg.Client>;
  /** Stops the server, ends its connections and removes its data. */
  stop(): Promise<void>;
}

interface Server {
  readonly child: ChildProcess;
  readonly log: string;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const startTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const user = "tenure";
const port = 5432; // only a part of the socket's name

/** Starts a real PostgreSQL with an empty database and waits until it serves. */
export async function startPostgres(): Promise<Postgres> {
  const found = await findPostgres();
  const owner = await serverOwner();
  const dir = await mkdtemp(join(tmpdir(), "tenure-postgres-"));
  const env = { PGHOST: dir, PGPORT: String(port), PGUSER: user, PGDATABASE: "postgres" };
  const clients: pg.Client[] = [];
  let server: Server | undefined;

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ host: dir, port, user, database: env.PGDATABASE });
    client.on("error", () => undefined); // the server ends connections when a test asks it to, and when it stops
    await client.connect();
    clients.push(client);
    return client;
  }
  async function stop(): Promise<void> {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    if (server !== undefined) await stopServer(server.child);
    await rm(dir, { recursive: true, force: true });
  }

  try {
    if (owner !== undefined) await chown(dir, owner.uid, owner.gid);
    const binaries = await readableBy(owner, found, dir);
    const { child } = (server = await launchServer(binaries, dir, owner));
    await until(async () => !runs(child) || (await connect()), {
      timeoutMs: startTimeoutMs,
      what: "answer from PostgreSQL",
      intervalMs: 50,
    });
    if (!runs(child)) throw new Error("it ended at once");
    return { version: found.version, env, pid: child.pid ?? -1, connect, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw new Error(`PostgreSQL does not start: ${String(error)}\n${server?.log ?? ""}`, { cause: error });
  }
}

// PostgreSQL refuses to run as root, so there it runs as nobody; else as we do.
async function serverOwner(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(await readFile("/etc/passwd", "utf8")) ?? [];
  if (uid === undefined || gid === undefined) throw new Error("root needs a user nobody to run PostgreSQL as");
  return { uid: Number(uid), gid: Number(gid) };
}

// Root's cache is usually closed to others.
async function readableBy(
  owner: Owner | undefined,
  binaries: PostgresBinaries,
  dir: string,
): Promise<PostgresBinaries> {
  const { tree, bin, env } = binaries;
  if (owner === undefined || tree === undefined) return binaries;
  const copy = join(dir, "programs");
  await cp(tree, copy, { recursive: true, verbatimSymlinks: true });
  const moved = Object.entries(env).map(([name, value]) => [name, value.replaceAll(tree, copy)]);
  return { ...binaries, bin: bin.replace(tree, copy), env: Object.fromEntries(moved) as Record<string, string> };
}

async function launchServer(binaries: PostgresBinaries, dir: string, owner: Owner | undefined): Promise<Server> {
  const data = join(dir, "data");
  const options = { cwd: dir, env: { ...cleanEnv(), ...binaries.env }, ...owner };
  const made = ["-D", data, "-U", user, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"];
  await promisify(execFile)(join(binaries.bin, "initdb"), made, { ...options, timeout: startTimeoutMs });
  const settings = {
    listen_addresses: "", // only the socket, which nobody else reaches
    unix_socket_directories: dir,
    port: String(port),
    fsync: "off", // the tests kill processes, not machines
    jit: "off", // may need LLVM, which is not fetched
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = launch(join(binaries.bin, "postgres"), ["-D", data, ...flags], options);
  const server = { child, log: "" };
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    server.log = (server.log + chunk).slice(-4_000); // enough to say why it does not start
  });
  return server;
}

// SIGINT ends connections and the server in order; a killed one would leave shared memory behind.
async function stopServer(server: ChildProcess): Promise<void> {
  if (!runs(server)) return;
  const gone = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  server.kill("SIGINT");
  await settled(gone, { timeoutMs: stopTimeoutMs, what: "end of PostgreSQL" }).catch(() => killed(server));
}

// Clients and server read settings from their environment, and the developer's would point them elsewhere.
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PG")));
}
