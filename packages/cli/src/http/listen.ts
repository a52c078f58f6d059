import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { type Address, cannotListen } from "../listening.ts";

/** Has a server listen, and returns where it does. Throws CommandError 73. */
export async function listen(server: Server, address: Address, flag: string): Promise<Address> {
  try {
    server.listen(address);
    await once(server, "listening");
  } catch (error) {
    throw cannotListen(error, address, flag);
  }
  // From here on there is nobody to tell: it goes on with the connections it has.
  server.on("error", () => undefined);
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port };
}

/** Resolves when a server has stopped listening; its connections are to be closed first. */
export function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}
