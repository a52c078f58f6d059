// Writes docs/cli.md from the commands and docs/api.md from the doc comments. `--check` fails when a committed file
// differs. Needs the build.
import { readFileSync, writeFileSync } from "node:fs";
import { apiReference } from "./lib/api-reference.mjs";
import { main, note, root } from "./lib/process.mjs";

const check = process.argv.includes("--check");

await main(async () => {
  const pages = { "docs/cli.md": await cliReference(), "docs/api.md": apiReference() };
  for (const [file, text] of Object.entries(pages)) {
    const path = `${root}${file}`;
    if (!check) writeFileSync(path, text);
    else if (readFileSync(path, "utf8") !== text) {
      note(`${file} is stale; run: npm run docs`);
      process.exitCode = 1;
    }
  }
});

/** The commands as they describe themselves. */
async function cliReference() {
  const { createProgram, environmentTwins, exitCodes } = await import(`${root}packages/cli/dist/program.js`);
  const program = createProgram(() => undefined);
  const flags = (command) =>
    command.options.map((option) => `| \`${inTable(option.flags)}\` | ${option.description}${standing(option)} |`);
  const section = (command) => [
    `## tenure ${[command.name(), ...command.registeredArguments.map(shown), ...needed(command)].join(" ")}`,
    "",
    `${sentence(command.description())}`,
    ...(command.options.length === 0 ? [] : ["", "| flag | meaning |", "|---|---|", ...flags(command)]),
    "",
  ];
  return [
    "# Command line",
    "",
    "Made by `npm run docs` from the commands themselves: edit `packages/cli/src/program.ts` instead.",
    "",
    sentence(program.description()),
    "",
    "`tenure COMMAND [flags]`: global flags stand before or after the command, and `--` ends them. Data",
    "goes to stdout, everything else to stderr.",
    "",
    "| global flag | meaning | environment |",
    "|---|---|---|",
    ...program.options
      .filter((option) => option.long !== "--version")
      .map((option) => {
        const twins = environmentTwins(option.attributeName()).map((name) => `\`${name}\``);
        return `| \`${option.flags}\` | ${option.description} | ${twins.join(", ")} |`;
      }),
    "",
    "A flag goes before its `TENURE_` variable, that before its `ETCDCTL_` one; an empty variable counts as not set. A",
    "password comes from `--password-file` or `TENURE_PASSWORD`, never from the command line.",
    "",
    "| exit code | meaning |",
    "|---|---|",
    ...exitCodes.map(({ code, meaning }) => `| ${code} | ${meaning} |`),
    "| 128+n | ended by signal n before it was elected (elect, run), or before it was done (transfer, doctor) |",
    "| else | the program's own; 128+n when signal n ended it (run) |",
    "",
    ...program.commands.flatMap(section),
    "## JSON",
    "",
    "One schema for all commands. Revisions and tokens are decimal strings, leases are hexadecimal as in their keys.",
    "",
    "- `elect`, `leader` and `resign` print, and `observe` prints a line for each change, the current state first:",
    '  `{"election","leader":{"key","value","revision","lease"}|null,"revision"}`',
    "- `transfer`: the same for who leads then, with who led before (null when nothing was changed) and the keys of",
    '  those that were skipped: `{"election","leader","revision","from":{…}|null,"skipped":["KEY",…]}`',
    '- `status`: `{"election","leader","revision","candidates":[…]}`, each candidate being',
    '  `{"position","key","value","revision","lease","ttlSeconds"}`',
    '- `dev`: `{"endpoint"}`',
    '- `demo --json`: `{"election","kind","from","to","token","failoverMs"}` for each failover, then',
    '  `{"summary":{…}}`',
    "- `doctor`: one object, described in [diagnostics.md](diagnostics.md#tenure-doctor)",
    "",
  ].join("\n");
}

function shown(argument) {
  if (argument.argChoices !== undefined) return argument.argChoices.join("\\|");
  if (argument.variadic) return `-- ${argument.name()} ARGS`;
  return argument.required ? argument.name() : `[${argument.name()}]`;
}

/** The flags that a command cannot do without. */
function needed(command) {
  return command.options.filter((option) => option.mandatory).map((option) => option.flags.replace(/[<>]/g, ""));
}

function inTable(text) {
  return text.replaceAll("|", "\\|");
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return capital.endsWith(".") ? capital : `${capital}.`;
}

function standing({ defaultValue }) {
  return typeof defaultValue === "string" ? ` (default: ${defaultValue})` : "";
}
