import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { systemClock } from "@tenure/etcd/runtime";
import { CommandError, ExitCode } from "../exit-codes.ts";
import type { DemoMessage, NodeMessage, StartMessage } from "./protocol.ts";

/** One process of the demo. */
export class NodeProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #running = true;

  constructor(name: string, start: StartMessage, onMessage: (message: NodeMessage) => void) {
    this.name = name;
    this.#child = fork(fileURLToPath(new URL("./worker.js", import.meta.url)), {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => {
        this.#running = false;
        resolve();
      });
      this.#child.once("error", (error) => {
        this.#running = false;
        onMessage({ t: "failed", reason: `cannot start a process: ${error.message}` });
        resolve();
      });
    });
    this.#child.on("message", (message) => onMessage(message as NodeMessage));
    this.#send(start);
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new CommandError(ExitCode.internal, `the process of ${this.name} did not start`);
    return pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Has the process step down, and stand again. */
  resign(): void {
    this.#send({ t: "resign" });
  }

  signal(name: "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(name);
  }

  #send(message: DemoMessage): void {
    // A process that is just ending takes no message; its exit tells the rest.
    this.#child.send(message, () => undefined);
  }

  /** Asks the process to end, and makes it after `limitMs`. */
  async end(limitMs: number): Promise<void> {
    this.signal("SIGTERM");
    const cancelKill = systemClock.after(limitMs, () => this.signal("SIGKILL"));
    await this.#exited;
    cancelKill();
  }
}
