import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { KV, type RangeResponse } from "@tenure/etcd/rpc";
import { pause } from "../../support/until.ts";
import type { Connection, OpenCall, Status } from "./connection.ts";

/** How a call that waits has ended. */
export interface Ending {
  readonly answer: Message | undefined;
  readonly status: Status;
}

interface Waiting {
  readonly call: OpenCall;
  readonly ended: Promise<Ending>;
}

const pollMs = 5;

/** Calls that wait for something, such as a campaign behind another candidate, by their names in the script. */
export class WaitingCalls {
  readonly #connection: Connection;
  readonly #limitMs: number;
  readonly #calls = new Map<string, Waiting>();

  constructor(connection: Connection, limitMs: number) {
    this.#connection = connection;
    this.#limitMs = limitMs;
  }

  /** Starts a call and waits until its key is there, or it is over. Returns whether it waits. */
  async begin(name: string, method: DescMethod, request: Message, key: Uint8Array): Promise<boolean> {
    let answer: Message | undefined;
    let isOver = false;
    let over: (ending: Ending) => void = () => undefined;
    const ended = new Promise<Ending>((resolve) => (over = resolve));
    const call = this.#connection.open(method, {
      message: (received) => void (answer = received),
      end: (status) => {
        isOver = true;
        over({ answer, status });
      },
    });
    this.#calls.set(name, { call, ended });
    call.send(request);
    call.end();
    await this.#until(async () => isOver || (await this.#isThere(key)));
    return !isOver;
  }

  /** Waits for the end of a call. */
  async end(name: string): Promise<Ending | undefined> {
    const waiting = this.#calls.get(name);
    this.#calls.delete(name);
    waiting?.call.giveUpAfter(this.#limitMs);
    return waiting?.ended;
  }

  /** Cancels a call and waits until its key has gone. */
  async cancel(name: string, key: Uint8Array): Promise<void> {
    const waiting = this.#calls.get(name);
    this.#calls.delete(name);
    if (waiting === undefined) return;
    waiting.call.cancel();
    await waiting.ended;
    await this.#until(async () => !(await this.#isThere(key)));
  }

  close(): void {
    for (const { call } of this.#calls.values()) call.cancel();
  }

  async #isThere(key: Uint8Array): Promise<boolean> {
    const method = KV.method.range;
    const { answer } = await this.#connection.ask(method, create(method.input, { key }), this.#limitMs);
    return answer !== undefined && (answer as RangeResponse).count > 0n;
  }

  /** Gives up silently: what is not so then, the answers show. */
  async #until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + this.#limitMs;
    while (!(await condition()) && performance.now() < deadline) await pause(pollMs);
  }
}
