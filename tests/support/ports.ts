import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** A TCP port of 127.0.0.1 that nobody else takes until it is released, or this process ends. */
export interface ReservedPort {
  readonly port: number;
  /** Gives it back; again does nothing. */
  release(): void;
}

/** Ports to choose from, the first and the last. */
export type PortRange = readonly [first: number, last: number];

const lowest = 20_000;
const highest = 65_535;
const fewest = 1_000;
const attempts = 200;
/** Where Linux says which ports it gives to whoever does not ask for a certain one. */
const ephemeralFile = "/proc/sys/net/ipv4/ip_local_port_range";
/** The same elsewhere: the range of RFC 6335. */
const usualEphemeral: PortRange = [49_152, 65_535];

/**
 * Reserves ports for servers that are other programs and must be told theirs before they run. A port that the kernel
 * chose and that was closed again will not do: until the server binds it, and each time the server is down, the kernel
 * may give it to any connection or listener of the machine. These are outside the kernel's range, and tests that run at
 * the same time keep out of each other's way: whoever has a port for TCP holds the UDP port of the same number.
 */
export async function reservePorts(count: number, range: PortRange = reservable()): Promise<ReservedPort[]> {
  const reserved: ReservedPort[] = [];
  const [first, last] = range;
  const size = last - first + 1;
  // From anywhere in the range, so that those who start together seldom ask for the same.
  const start = Math.floor(Math.random() * size);
  for (let step = 0; step < Math.min(size, attempts) && reserved.length < count; step++) {
    const port = await reserve(first + ((start + step) % size));
    if (port !== undefined) reserved.push(port);
  }
  if (reserved.length === count) return reserved;
  for (const each of reserved) each.release();
  throw new Error(`there are no ${count} free ports from ${first} to ${last}`);
}

/** The larger part of the unprivileged ports that the kernel does not give away by itself. */
export function reservable(ephemeral: PortRange = ephemeralRange()): PortRange {
  const below: PortRange = [lowest, ephemeral[0] - 1];
  const above: PortRange = [Math.max(lowest, ephemeral[1] + 1), highest];
  const larger = sizeOf(below) >= sizeOf(above) ? below : above;
  // A machine that gives all of them away leaves no choice.
  return sizeOf(larger) >= fewest ? larger : [lowest, highest];
}

function ephemeralRange(): PortRange {
  try {
    const [first, last] = readFileSync(ephemeralFile, "utf8").trim().split(/\s+/).map(Number);
    return first === undefined || last === undefined ? usualEphemeral : [first, last];
  } catch {
    return usualEphemeral;
  }
}

function sizeOf([first, last]: PortRange): number {
  return last - first + 1;
}

async function reserve(port: number): Promise<ReservedPort | undefined> {
  let mark = await held(port);
  if (mark === undefined) return undefined;
  const release = (): void => {
    mark?.close();
    mark = undefined; // it cannot be closed twice
  };
  if (await isFree(port)) return { port, release };
  release();
  return undefined;
}

function held(port: number): Promise<Socket | undefined> {
  const socket = createSocket("udp4").unref();
  return new Promise((resolve) => {
    socket.once("error", () => resolve(undefined));
    socket.bind({ port, address: "127.0.0.1", exclusive: true }, () => resolve(socket));
  });
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
