import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { createHash } from "node:crypto";
import type { Json, JsonMessage } from "./operation.ts";

/** What one server calls by another name than the script does. */
export interface Names {
  /** Revision of the empty store. */
  readonly firstRevision: bigint;
  /** Of an authentication that never changed. */
  readonly firstAuthRevision: bigint;
  /** Ids that the server gave, by the lease's name in the script. */
  readonly leases: Map<string, bigint>;
}

const revisions = new Set([
  "revision",
  "createRevision",
  "modRevision",
  "compactRevision",
  "minModRevision",
  "maxModRevision",
  "minCreateRevision",
  "maxCreateRevision",
  "startRevision",
  // Of a leader's key.
  "rev",
]);
const leaseIds = new Set(["lease", "ID"]);
/** What each cluster has of its own: whether it is there is compared, what it says is not. */
const ownFields = new Set([
  "clusterId",
  "memberId",
  "raftTerm",
  "raftIndex",
  "raftAppliedIndex",
  "memberID",
  "leader",
  "version",
  "token",
]);
/** The size of an empty store is nothing, and that of an empty file is not. */
const sizes = new Set(["dbSize", "dbSizeInUse"]);
/** A revision above this means "the largest there is", and is sent as it is. */
const hugeRevision = 2n ** 60n;
const longValueBytes = 40;
/** Stands for a lease that the script no longer grants. */
const ungrantedLease = 0x0bad_0000n;

/** The message that a request of a script is for one server. */
export function toMessage(schema: DescMessage, request: JsonMessage, names: Names): Message {
  const init: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const json = request[field.localName];
    if (json === undefined) continue;
    const value =
      field.fieldKind === "list" && Array.isArray(json)
        ? json.map((each: Json) => valueOf(field, each, names))
        : valueOf(field, json, names);
    if (field.oneof === undefined) init[field.localName] = value;
    else init[field.oneof.localName] = { case: field.localName, value };
  }
  return create(schema, init);
}

/** The answer of one server as it is compared: what only this server can say is left out. */
export function fromMessage(schema: DescMessage, message: Message, names: Names): JsonMessage {
  const json: Record<string, Json> = {};
  for (const field of schema.fields) {
    const value = fieldOf(message, field);
    if (value === undefined || sizes.has(field.localName)) continue;
    if (Array.isArray(value)) {
      if (value.length > 0) json[field.localName] = value.map((each) => jsonOf(field, each, names));
    } else if (field.oneof !== undefined || !isDefault(value)) json[field.localName] = jsonOf(field, value, names);
  }
  if (message.$unknown !== undefined && message.$unknown.length > 0) {
    json["unknown fields"] = message.$unknown.map(({ no }) => no);
  }
  return json;
}

/** The id that one server knows a lease by. */
export function leaseId(json: Json, names: Names): bigint {
  if (typeof json === "string" && json.startsWith("lease:")) {
    return names.leases.get(json) ?? ungrantedLease + BigInt(json.slice("lease:".length));
  }
  return BigInt(json as string | number);
}

function fieldOf(message: Message, field: DescField): unknown {
  if (field.oneof === undefined) return Reflect.get(message, field.localName);
  const chosen = Reflect.get(message, field.oneof.localName) as { case?: string; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}

function isDefault(value: unknown): boolean {
  return value === 0 || value === 0n || value === false || value === "" || (isBytes(value) && value.length === 0);
}

function valueOf(field: DescField, json: Json, names: Names): unknown {
  if (field.message !== undefined) return toMessage(field.message, json as JsonMessage, names);
  if (field.enum !== undefined) return json;
  if (field.scalar === ScalarType.BYTES) return bytesOf(json);
  if (field.scalar !== ScalarType.INT64 && field.scalar !== ScalarType.UINT64) return json;
  if (leaseIds.has(field.localName)) return leaseId(json, names);
  const value = BigInt(json as string | number);
  const isRevision = revisions.has(field.localName) && value > 0n && value < hugeRevision;
  return isRevision ? value + names.firstRevision - 1n : value;
}

/** Bytes are text; `{ "times": 3, "of": "x" }` stands for long ones. */
function bytesOf(json: Json): Uint8Array {
  if (typeof json === "string") return Buffer.from(json, "latin1");
  const { times, of } = json as { times: number; of: string };
  return Buffer.from(of.repeat(times), "latin1");
}

function jsonOf(field: DescField, value: unknown, names: Names): Json {
  if (field.message !== undefined) return fromMessage(field.message, value as Message, names);
  if (isBytes(value)) return textOf(value);
  if (ownFields.has(field.localName)) return "there";
  if (typeof value !== "bigint") return value as Json;
  if (leaseIds.has(field.localName)) {
    const name = [...names.leases].find(([, id]) => id === value)?.[0];
    if (name !== undefined) return name;
  }
  if (field.localName === "authRevision") return numberOf(value - names.firstAuthRevision);
  return numberOf(revisions.has(field.localName) && value > 0n ? value - names.firstRevision + 1n : value);
}

function numberOf(value: bigint): Json {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

/** Long values are told apart by their digest. */
function textOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("latin1");
  if (text.length <= longValueBytes) return text;
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 8);
  return `${text.slice(0, 8)}... (${text.length} bytes, ${digest})`;
}
