import { fileURLToPath } from "node:url";
import { killed, launch, runs } from "./children.ts";
import { settled } from "./until.ts";

/** The repository's root folder. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** The built command `tenure`, for `spawnNode([tenureBin, ...])`. */
export const tenureBin: string = `${root}packages/cli/bin/tenure.js`;

/** Settings of a child process; `env` is added to this process's environment, undefined removes a variable. */
export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How a process ended and what it printed. */
export interface RunResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** A running Node process whose output is collected. */
export interface NodeProcess extends AsyncDisposable {
  readonly pid: number;
  /** All that it printed on stdout and stderr until now. */
  readonly stdout: string;
  readonly stderr: string;
  /** The whole lines of stdout until now. */
  readonly lines: readonly string[];
  /** Waits for the next line of stdout that matches; each line is given once, lines before it are skipped. */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** The same for stderr. */
  errorLine(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** Writes to its stdin. */
  write(text: string): void;
  /** Ends its stdin. */
  endInput(): void;
  /** Sends a signal, SIGTERM by default. SIGSTOP freezes it. */
  signal(signal?: NodeJS.Signals): void;
  /** Waits until it has exited and all its output is here. */
  exit(timeoutMs?: number): Promise<RunResult>;
}

/** Starts `node ...args`; it is killed when disposed of, and when the test process exits. */
export function spawnNode(args: readonly string[], { env = {}, cwd = root }: SpawnOptions = {}): NodeProcess {
  const child = launch(process.execPath, args, { cwd, env: { ...process.env, ...env } });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const closed = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      stdout.end();
      stderr.end();
      resolve({ code, signal });
    });
  });
  closed.catch(() => undefined); // reported by exit(), when somebody asks
  child.stdin.on("error", () => undefined); // it may end without reading its input
  const what = args.map((arg) => arg.replace(root, "")).join(" ");

  return {
    pid: child.pid ?? -1,
    get stdout() {
      return stdout.text;
    },
    get stderr() {
      return stderr.text;
    },
    get lines() {
      return stdout.lines;
    },
    line: (pattern, timeoutMs) => awaitLine(stdout, pattern, timeoutMs),
    errorLine: (pattern, timeoutMs) => awaitLine(stderr, pattern, timeoutMs),
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    signal: (signal = "SIGTERM") => void child.kill(signal),
    exit: async (timeoutMs = 10_000) => {
      const exit = await settled(closed, { timeoutMs, what: `exit of ${what}` }).catch(complain);
      return { ...exit, stdout: stdout.text, stderr: stderr.text };
    },
    [Symbol.asyncDispose]: () => killed(child),
  };

  async function awaitLine(output: Output, pattern: RegExp, timeoutMs = 10_000): Promise<string> {
    return settled(output.next(pattern), { timeoutMs, what: `line like ${pattern} from ${what}` }).catch(complain);
  }

  // A failing test must show what the process said.
  function complain(error: unknown): never {
    const state = runs(child) ? "it runs" : `it exited with ${child.signalCode ?? child.exitCode}`;
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${message}; ${state}\nstdout:\n${stdout.text}\nstderr:\n${stderr.text}`, { cause: error });
  }
}

/** Runs `node ...args` to its end, without input. */
export async function run(
  args: readonly string[],
  { timeoutMs = 20_000, ...options }: SpawnOptions & { readonly timeoutMs?: number } = {},
): Promise<RunResult> {
  await using child = spawnNode(args, options);
  child.endInput();
  return await child.exit(timeoutMs);
}

interface Output {
  readonly text: string;
  readonly lines: readonly string[];
  next(pattern: RegExp): Promise<string>;
  end(): void;
}

function collect(stream: NodeJS.ReadableStream): Output {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let text = "";
  let rest = "";
  let given = 0;
  let ended = false;

  function wake(): void {
    for (const look of waiting) look();
  }
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    text += chunk;
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    wake();
  });

  return {
    get text() {
      return text;
    },
    lines,
    next: (pattern) =>
      new Promise((resolve, reject) => {
        function look(): void {
          const found = lines.findIndex((line, index) => index >= given && pattern.test(line));
          const line = lines[found];
          if (line !== undefined) {
            given = found + 1;
            resolve(line);
          } else if (ended) {
            reject(new Error(`no line like ${pattern}`));
          } else {
            return;
          }
          waiting.delete(look);
        }
        waiting.add(look);
        look();
      }),
    end: () => {
      ended = true;
      if (rest !== "") lines.push(rest);
      wake();
    },
  };
}
