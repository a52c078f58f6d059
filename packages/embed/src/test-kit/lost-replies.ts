import type { ServerHttp2Stream } from "node:http2";

/** How a reply gets lost: with its connection, or so that the client waits for it. */
type LossKind = "cut" | "silence";

interface Loss {
  readonly method: string | undefined;
  readonly by: LossKind;
  readonly lost: () => void;
}

/** Replies that are to be lost, each after its request was carried out. */
export class LostReplies {
  readonly #losses: Loss[] = [];

  /** Loses the next reply of a method, of any if none is named. Resolves when that has happened. */
  loseNext(method: string | undefined, by: LossKind): Promise<void> {
    return new Promise((lost) => void this.#losses.push({ method, by, lost }));
  }

  /** To be called with each call before it is served. */
  onCall(stream: ServerHttp2Stream, path: string): void {
    const index = this.#losses.findIndex(({ method }) => method === undefined || path.endsWith(`/${method}`));
    const [loss] = index < 0 ? [] : this.#losses.splice(index, 1);
    if (loss !== undefined) lose(stream, loss);
  }
}

/** The call goes on as if the reply were sent. */
function lose(stream: ServerHttp2Stream, { by, lost }: Loss): void {
  stream.respond = () => {
    if (by === "cut") stream.session?.destroy();
    lost();
  };
  const nothing = (): typeof stream => stream;
  Object.assign(stream, { write: () => true, end: nothing, close: nothing });
}
