import { ACTIONS, type ActionWanted } from "./actions.ts";
import { type Answer, errorAnswer, headerText, jsonAnswer } from "./answer.ts";
import { METRICS_CONTENT_TYPE } from "./metric-text.ts";
import type { Role, Service } from "./service.ts";

/** What the routes tell of. */
export interface Board {
  readonly services: readonly Service[];
  /** All there is to know of this node, for programs. */
  readonly status: () => object;
  /** The metrics as bytes of text. */
  readonly metrics: () => Buffer;
}

/** A stream of events is asked for, of one service or of all. */
export interface EventsWanted {
  readonly t: "events";
  readonly service: Service | undefined;
}

/** What a request comes to: an answer, or what else there is to be done for one. */
export type Routed = Answer | EventsWanted | ActionWanted;

/** Nothing to wait for: whoever asks again in a second may find another answer. */
const RETRY_AFTER = { "Retry-After": "1" };
const MIN_CODE = 200;
const MAX_CODE = 599;

/** What a path and query ask for; throws nothing, whatever they are. */
export function routed(target: string, board: Board): Routed {
  const [path = "", ...queries] = target.split("?");
  const query = new URLSearchParams(queries.join("?"));
  const [root, services, name, action, ...more] = path.split("/");
  // A target in absolute form names a host of its own, which is for proxies.
  if (root !== "") return errorAnswer(400, "the request's target must be a path");
  if (services !== "services" || name === undefined) return ofNode(path.slice(1), query, board);
  const service = board.services.find((each) => each.name === decoded(name));
  if (service === undefined || more.length > 0) return noSuch(board);
  return ofService(action ?? "status", query, service) ?? noSuch(board);
}

function ofNode(action: string, query: URLSearchParams, board: Board): Routed {
  const { services } = board;
  switch (action) {
    case "livez":
      return jsonAnswer(200, { live: true });
    case "readyz":
      return readiness(services);
    case "health":
      return health(services);
    case "status":
      return jsonAnswer(200, board.status());
    case "services":
      return jsonAnswer(200, { services: services.map((service) => service.name) });
    case "events":
      return { t: "events", service: undefined };
    case "metrics":
      return { status: 200, headers: { "Content-Type": METRICS_CONTENT_TYPE }, body: "", bytes: board.metrics() };
    default: {
      // Of several services none is meant by the short name.
      const [only, ...others] = services;
      const answer = only === undefined || others.length > 0 ? undefined : ofService(action, query, only);
      return answer ?? noSuch(board);
    }
  }
}

function ofService(name: string, query: URLSearchParams, service: Service): Routed | undefined {
  const action = ACTIONS.find((each) => each === name);
  if (action !== undefined) return { t: "action", action, service, query };
  switch (name) {
    case "leader":
    case "primary":
      return roleAnswer(service, "leader", query);
    case "standby":
    case "replica":
      return roleAnswer(service, "standby", query);
    case "readyz":
      return readiness([service]);
    case "health":
      return health([service]);
    case "status":
      return jsonAnswer(200, service.toJSON());
    case "events":
      return { t: "events", service };
    default:
      return undefined;
  }
}

/** 200 for the role that is asked about, 503 for any other; the query may name other codes for leader and standby. */
function roleAnswer(service: Service, wanted: Role, query: URLSearchParams): Answer {
  const active = codeIn(query, "activecode");
  const standby = codeIn(query, "standbycode");
  if (active === "wrong" || standby === "wrong") {
    return errorAnswer(400, `activecode and standbycode are numbers from ${MIN_CODE} to ${MAX_CODE}, each given once`);
  }
  // Asked first: the rest may only be later, and so more careful.
  const { role } = service;
  const usual = role === wanted ? 200 : 503;
  const status = role === "none" ? 503 : ((role === "leader" ? active : standby) ?? usual);
  return jsonAnswer(status, service.toJSON(), {
    ...(status === 503 ? RETRY_AFTER : {}),
    ...roleHeaders(service, role),
  });
}

function roleHeaders({ name, leader }: Service, role: Role): Record<string, string> {
  return {
    "X-Tenure-Election": headerText(name),
    "X-Tenure-Role": role,
    ...(leader && {
      "X-Tenure-Leader-Key": headerText(leader.key),
      "X-Tenure-Leader-Value": headerText(leader.value),
      "X-Tenure-Token": String(leader.revision),
    }),
  };
}

/** Takes part in all its elections. Whether it leads does not matter. */
function readiness(services: readonly Service[]): Answer {
  const waiting = services.filter((service) => !service.ready).map((service) => service.name);
  if (waiting.length === 0) return jsonAnswer(200, { ready: true });
  return jsonAnswer(503, { ready: false, waiting }, RETRY_AFTER);
}

/** Does what its role asks for: stands by, or leads with its program running. */
function health(services: readonly Service[]): Answer {
  const roles = services.map(({ name, role, phase }) => ({ election: name, role, phase }));
  const healthy = roles.every(({ role }) => role !== "none");
  return jsonAnswer(healthy ? 200 : 503, { healthy, services: roles }, healthy ? {} : RETRY_AFTER);
}

function codeIn(query: URLSearchParams, name: string): number | undefined | "wrong" {
  const [text, ...more] = query.getAll(name);
  if (text === undefined) return undefined;
  const code = Number(text);
  return more.length === 0 && /^\d{3}$/.test(text) && code >= MIN_CODE && code <= MAX_CODE ? code : "wrong";
}

function noSuch({ services }: Board): Answer {
  const before = services.length === 1 ? "" : "/services/NAME";
  const roles = `${before}/leader, ${before}/standby`;
  const actions = ACTIONS.map((action) => `${before}/${action}`).join(", ");
  const others = "/health, /livez, /readyz, /status, /events, /metrics";
  return errorAnswer(404, `no such route; there are ${roles}, ${others}; by POST ${actions}`);
}

function decoded(name: string): string | undefined {
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}
