import { createSocket, type RemoteInfo } from "node:dgram";

/** An SRV record, as Node has it. */
export interface Srv {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** A DNS server on loopback that knows SRV records and nothing else. */
export interface DnsServer extends AsyncDisposable {
  /** `127.0.0.1:port`, as `setServers` of node:dns takes it. */
  readonly address: string;
  /** The records by their names; a name that is not here does not exist. May be changed at any time. */
  readonly records: Map<string, readonly Srv[]>;
  /** The names that were asked for. */
  readonly asked: readonly string[];
  /** What it does: answer, say that it fails (SERVFAIL), or say nothing. */
  mood: "answering" | "failing" | "silent";
}

const headerLength = 12;
const srvType = 33;
const inClass = 1;
const answerFlags = 0x8580; // an answer, with authority, recursion as was asked for
const servFail = 2;
const nameError = 3;

/** Starts a DNS server without records. */
export async function startDns(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  const server: DnsServer = {
    get address() {
      return `127.0.0.1:${socket.address().port}`;
    },
    records: new Map(),
    asked,
    mood: "answering",
    [Symbol.asyncDispose]: () => new Promise((resolve) => void socket.close(() => resolve())),
  };
  socket.on("message", (query: Buffer, from: RemoteInfo) => {
    const { name, end } = question(query);
    asked.push(name);
    if (server.mood === "silent") return;
    const records = query.readUInt16BE(end - 4) === srvType ? server.records.get(name) : undefined;
    const code = server.mood === "failing" ? servFail : records === undefined ? nameError : 0;
    socket.send(answer(query.subarray(0, end), code, code === 0 ? (records ?? []) : []), from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", resolve);
  });
  return server;
}

/** The name in the one question of a query, in lower case, and where the question ends. */
function question(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = headerLength;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 1 + 4 };
}

function answer(query: Buffer, code: number, records: readonly Srv[]): Buffer {
  const head = Buffer.from(query);
  head.writeUInt16BE(answerFlags | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, ...records.map(resource)]);
}

function resource({ name, port, priority, weight }: Srv): Buffer {
  const labels = name === "" ? [] : name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const data = Buffer.concat([Buffer.alloc(6), ...labels, Buffer.alloc(1)]);
  data.writeUInt16BE(priority, 0);
  data.writeUInt16BE(weight, 2);
  data.writeUInt16BE(port, 4);
  const head = Buffer.alloc(headerLength);
  head.writeUInt16BE(0xc000 | headerLength, 0); // the name of the question
  head.writeUInt16BE(srvType, 2);
  head.writeUInt16BE(inClass, 4);
  head.writeUInt16BE(data.length, 10); // and no time to live
  return Buffer.concat([head, data]);
}
