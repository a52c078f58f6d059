import { CommandError, ExitCode } from "../exit-codes.ts";
import { type Address, hostAndPort, isLoopback, parseAddress } from "../listening.ts";

/** The flags of whatever answers questions about this node, as commander leaves them. */
export interface EndpointFlags {
  readonly http?: string;
  readonly httpHost?: string;
  readonly httpTokenFile?: string;
  readonly agentCheck?: string;
  readonly leaderPort?: string;
}

/** The flags, checked. */
export interface EndpointsPlan {
  readonly http: Address | undefined;
  /** Names that requests over HTTP may be addressed to, besides loopback and our own address. */
  readonly hosts: readonly string[];
  /** Where the secret is that actions over HTTP need; undefined: there are none. */
  readonly tokenFile: string | undefined;
  readonly agentCheck: Address | undefined;
  readonly leaderPort: Address | undefined;
}

/** Checks the flags; undefined when none is given. Throws CommandError 64. */
export function endpointsPlan(flags: EndpointFlags): EndpointsPlan | undefined {
  const { http, httpHost, httpTokenFile, agentCheck, leaderPort } = flags;
  if (httpHost !== undefined && http === undefined) throw usage("--http-host needs --http as well");
  if (httpTokenFile !== undefined && http === undefined) throw usage("--http-token-file needs --http as well");
  if (http === undefined && agentCheck === undefined && leaderPort === undefined) return undefined;
  const address = (flag: string, text: string | undefined): Address | undefined =>
    text === undefined ? undefined : parseAddress(flag, text);
  const plan = {
    http: address("--http", http),
    hosts: httpHost === undefined ? [] : httpHost.split(",").map(hostName),
    tokenFile: httpTokenFile,
    agentCheck: address("--agent-check", agentCheck),
    leaderPort: address("--leader-port", leaderPort),
  };
  if (plan.leaderPort?.port === 0) throw usage("--leader-port: it needs a port that those who check it know, not 0");
  assertDistinct([plan.http, plan.agentCheck, plan.leaderPort]);
  return plan;
}

/** What is said of an address that others can reach. */
export function exposure({ host }: Address): string {
  return isLoopback(host) ? "" : ", which is not loopback: whoever reaches it reads names, values and tokens";
}

/** One that is open only now and then would be found in use only then. */
function assertDistinct(addresses: readonly (Address | undefined)[]): void {
  const given = addresses.flatMap((each) => (each === undefined || each.port === 0 ? [] : [hostAndPort(each)]));
  const twice = given.find((each, index) => given.indexOf(each) < index);
  if (twice !== undefined)
    throw usage(`${twice} is given twice: --http, --agent-check and --leader-port need their own`);
}

function hostName(text: string): string {
  if (/^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/i.test(text)) return text.toLowerCase();
  throw usage(`--http-host: ${JSON.stringify(text)} is no host name; give names without port, separated by commas`);
}

function usage(message: string): CommandError {
  return new CommandError(ExitCode.usage, message);
}
