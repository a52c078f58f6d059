import { readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** How Linux writes that a socket listens. */
const listening = "0A";

/**
 * Finds out which process has the socket that is bound to a port of 127.0.0.1, as Linux tells it. Reading the table of
 * all sockets takes milliseconds, more on a busy machine: that happens off the event loop, and once for all who ask in
 * the meantime.
 */
export class SocketOwners {
  #asked: { readonly port: number; readonly tell: (inode: string | undefined) => void }[] = [];
  #reading = false;

  /** Which of these processes it is: its place in the list; -1 when it is none of them. */
  async ownerOf(port: number, pids: readonly number[]): Promise<number> {
    const inode = await new Promise<string | undefined>((tell) => {
      this.#asked.push({ port, tell });
      if (!this.#reading) void this.#read();
    });
    return inode === undefined ? -1 : pids.findIndex((pid) => has(pid, `socket:[${inode}]`));
  }

  // Only a table that was read after the question can have its answer.
  async #read(): Promise<void> {
    this.#reading = true;
    while (this.#asked.length > 0) {
      const asked = this.#asked.splice(0);
      const table = await readFile("/proc/net/tcp", "latin1").catch(() => "");
      for (const { port, tell } of asked) tell(inodeOf(table, port));
    }
    this.#reading = false;
  }
}

function inodeOf(table: string, port: number): string | undefined {
  // After its number each row begins with the local address.
  const local = `: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  for (let at = table.indexOf(local); at >= 0; at = table.indexOf(local, at + 1)) {
    const [, , , state, , , , , , inode] = table.slice(at, table.indexOf("\n", at)).split(/\s+/);
    if (inode !== undefined && inode !== "0" && state !== listening) return inode;
  }
  return undefined;
}

function has(pid: number, socket: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === socket);
  } catch {
    return false; // it has ended
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // closed meanwhile
  }
}
