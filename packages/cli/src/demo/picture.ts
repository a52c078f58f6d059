import { systemClock } from "@tenure/etcd/runtime";
import { printable } from "../output.ts";
import { KIND_TEXTS, type Failover, type NodeView, type Report, type Setting, summaryTable } from "./report.ts";

const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
/** The other screen, no cursor, and long lines cut instead of wrapped. */
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l";
/** Milliseconds of one column of the time line. */
const COLUMN_MS = 250;
const MAX_COLUMNS = 64;
const NEWS_LINES = 4;

/** Colours by meaning; none where the user wants none (https://no-color.org). */
const colour = process.env["NO_COLOR"] === undefined || process.env["NO_COLOR"] === "";
const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
const bold = (text: string): string => paint(1, text);
const green = (text: string): string => paint(32, text);
const yellow = (text: string): string => paint(33, text);
const red = (text: string): string => paint(31, text);
const dim = (text: string): string => paint(2, text);

/** Each role's mark, its name, and how its time line is drawn: readable without colour, too. */
const ROLES: Readonly<Record<NodeView["role"], { mark: string; name: string; column: string }>> = {
  leader: { mark: green("●"), name: green(bold("LEADER ")), column: green("█") },
  next: { mark: yellow("◐"), name: yellow("next   "), column: dim("─") },
  standby: { mark: dim("○"), name: "standby", column: dim("─") },
  starting: { mark: dim("·"), name: dim("starts "), column: " " },
  ended: { mark: red("✕"), name: red("ended  "), column: red("✕") },
};

/** The demo as a picture that is drawn over and over, for a terminal. */
export function pictureReport(): Report {
  const picture = new Picture();
  return {
    begin: (setting) => picture.begin(setting),
    update: (nodes) => picture.update(nodes),
    tell: (text) => picture.tell(text),
    failover: (failover) => picture.failover(failover),
    end: () => picture.end(),
  };
}

class Picture {
  #setting: Setting | undefined;
  #nodes: readonly NodeView[] = [];
  #news: readonly string[] = [];
  #failovers: readonly Failover[] = [];
  /** One string for each node: a character for each column of time. */
  readonly #columns = new Map<string, string[]>();
  #lastColumnAt = 0;
  readonly #restore = (): void => void process.stdout.write(LEAVE);

  begin(setting: Setting): void {
    this.#setting = setting;
    process.stdout.write(ENTER);
    // Whatever ends us, the terminal gets its own screen and cursor back.
    process.on("exit", this.#restore);
    this.#draw();
  }

  update(nodes: readonly NodeView[]): void {
    this.#nodes = nodes;
    this.#addColumns(systemClock.now());
    this.#draw();
  }

  tell(text: string): void {
    this.#news = [...this.#news, text].slice(-NEWS_LINES);
    this.#draw();
  }

  failover(failover: Failover): void {
    this.#failovers = [...this.#failovers, failover];
    const { kind, from, to, failoverMs } = failover;
    this.tell(`${from} ${KIND_TEXTS[kind].name}: ${to} leads after ${bold(`${failoverMs.toFixed(1)} ms`)}`);
  }

  end(): void {
    process.off("exit", this.#restore);
    this.#restore();
    // The alternate screen is gone; what was measured stays.
    if (this.#failovers.length > 0) process.stdout.write(`${summaryTable(this.#failovers)}\n`);
  }

  #addColumns(now: number): void {
    if (this.#lastColumnAt === 0) this.#lastColumnAt = now;
    for (; now - this.#lastColumnAt >= COLUMN_MS; this.#lastColumnAt += COLUMN_MS) {
      for (const node of this.#nodes) {
        const columns = this.#columns.get(node.name) ?? [];
        columns.push(ROLES[node.role].column);
        this.#columns.set(node.name, columns.slice(-MAX_COLUMNS));
      }
    }
  }

  #draw(): void {
    const setting = this.#setting;
    if (setting === undefined) return;
    const lines = [
      `${bold("tenure demo")}  "${setting.election}" on ${printable(setting.store)}`,
      dim(`TTL ${setting.ttlMs / 1000} s; leaders end by resigning, SIGTERM and SIGKILL in turn; Ctrl-C ends the demo`),
      "",
      ...this.#nodes.map(nodeLine),
      "",
      bold("Time line") + dim(`  a column is ${COLUMN_MS} ms;  █ leads  ─ stands by  ✕ ended`),
      ...this.#nodes.map((node) => `  ${node.name}  ${(this.#columns.get(node.name) ?? []).join("")}`),
      "",
      bold("What happened"),
      ...this.#news.map((text) => `  ${text}`),
      ...Array.from({ length: NEWS_LINES - this.#news.length }, () => ""),
      "",
      bold("Failover, measured"),
      ...(this.#failovers.length === 0
        ? ["  none yet"]
        : summaryTable(this.#failovers)
            .split("\n")
            .map((row) => `  ${row}`)),
    ];
    // In a small window the end is left out: who leads stands at the top.
    const shown = lines.slice(0, process.stdout.rows);
    process.stdout.write(HOME + shown.map((line) => line + CLEAR_LINE).join("\n") + CLEAR_BELOW);
  }
}

function nodeLine(node: NodeView): string {
  const { mark, name } = ROLES[node.role];
  const work = node.role === "leader" ? `  unit ${node.unit} of ${node.units}` : "";
  const token = node.token === undefined ? "" : `  token ${bold(node.token)}`;
  const pid = node.pid === undefined ? dim("no process ") : dim(`pid ${String(node.pid).padEnd(7)}`);
  return `  ${mark} ${node.name}  ${name}  ${pid}${token}${work}`;
}
