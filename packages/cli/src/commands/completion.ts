import type { Command, Option } from "commander";
import { ExitCode } from "../exit-codes.ts";
import { printLine } from "../output.ts";

/** The shells a completion script can be printed for. */
export const SHELLS: readonly string[] = ["bash", "zsh", "fish"];

/** `tenure completion SHELL`: a script made from the commands and flags themselves. */
export function completion(shell: string, program: Command): number {
  switch (shell) {
    case "bash":
      printLine(bash(program));
      break;
    case "zsh":
      // zsh runs bash's completions as they are.
      printLine(`autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`);
      break;
    default:
      printLine(fish(program));
      break;
  }
  return ExitCode.ok;
}

function bash(program: Command): string {
  const flags = (command: Command): string => command.options.flatMap(words).join(" ");
  const commands = program.commands.map((command) => command.name());
  const valued = program.options.filter((option) => option.required).flatMap(words);
  const cases = program.commands
    .filter((command) => command.options.length > 0)
    .map((command) => `    ${command.name()}) flags="$flags ${flags(command)}" ;;`);
  return `# bash completion for tenure; use: source <(tenure completion bash)
_tenure() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command= skip= each
  local flags="${flags(program)} --help"
  case $before in
    --cacert|--cert|--key|--password-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
    -o|--output) COMPREPLY=($(compgen -W "table json jsonl" -- "$word")); return ;;
    completion) COMPREPLY=($(compgen -W "${SHELLS.join(" ")}" -- "$word")); return ;;
  esac
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ -n $skip ]]; then skip=
    elif [[ " ${valued.join(" ")} " == *" $each "* ]]; then skip=1
    elif [[ $each != -* && -z $command ]]; then command=$each
    fi
  done
  case $command in
${cases.join("\n")}
  esac
  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ -z $command ]]; then COMPREPLY=($(compgen -W "${commands.join(" ")}" -- "$word"))
  fi
}
complete -F _tenure tenure`;
}

function fish(program: Command): string {
  const lines = [
    "# fish completion for tenure; use: tenure completion fish | source",
    "complete -c tenure -f",
    ...program.commands.map(
      (command) =>
        `complete -c tenure -n __fish_use_subcommand -a ${command.name()} -d ${quoted(command.description())}`,
    ),
    ...program.options.map((option) => fishFlag("", option)),
    ...program.commands.flatMap((command) =>
      command.options.map((option) => fishFlag(`-n "__fish_seen_subcommand_from ${command.name()}" `, option)),
    ),
    `complete -c tenure -n "__fish_seen_subcommand_from completion" -a "${SHELLS.join(" ")}"`,
  ];
  return lines.join("\n");
}

function fishFlag(condition: string, option: Option): string {
  const short = option.short === undefined ? "" : ` -s ${option.short.slice(1)}`;
  const long = option.long === undefined ? "" : ` -l ${option.long.slice(2)}`;
  const takesValue = option.required ? (option.flags.includes("<FILE>") ? " -rF" : " -x") : "";
  return `complete -c tenure ${condition}${short}${long}${takesValue} -d ${quoted(option.description)}`;
}

function words(option: Option): string[] {
  return [option.short, option.long].filter((word) => word !== undefined);
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
