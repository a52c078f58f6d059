/**
 * Reads the requests that come most, in a fraction of the time that protobuf-es takes. What is not as clients of etcd
 * write it is left to protobuf-es: unknown fields, numbers in other forms, bytes that are no message at all.
 *
 * @module
 */
import type { LeaseKeepAliveRequest, PutRequest, RangeRequest } from "@tenure/etcd/rpc";

const EMPTY = new Uint8Array(0);
/** A number of so many bits takes no more than this many bytes, each with seven of them. */
const MAX_SIZE_BYTES = 4;
const MAX_NUMBER_BYTES = 9;
/** Seven bits of each of the first six bytes fit into what is exact in floating point, with the sign left over. */
const LOW_BYTES = 6;
const LOW_BITS = 42n;
const LOW_FACTOR = 2 ** 42;
const MAX_EXACT_HIGH = 2 ** 11;

/** Whether something was met that is not read here. */
let isOdd = false;
let at = 0;

/** A put; undefined when protobuf-es has to look at it. */
export function readPutRequest(bytes: Buffer): PutRequest | undefined {
  const request: PutRequest = {
    $typeName: "etcdserverpb.PutRequest",
    key: EMPTY,
    value: EMPTY,
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  };
  begin();
  while (at < bytes.length && !isOdd) {
    switch (bytes[at++]) {
      case 0x0a:
        request.key = data(bytes);
        break;
      case 0x12:
        request.value = data(bytes);
        break;
      case 0x18:
        request.lease = number(bytes);
        break;
      case 0x20:
        request.prevKv = bool(bytes);
        break;
      case 0x28:
        request.ignoreValue = bool(bytes);
        break;
      case 0x30:
        request.ignoreLease = bool(bytes);
        break;
      default:
        return undefined;
    }
  }
  return isOdd ? undefined : request;
}

/** A read of keys; undefined when protobuf-es has to look at it. */
export function readRangeRequest(bytes: Buffer): RangeRequest | undefined {
  const request: RangeRequest = {
    $typeName: "etcdserverpb.RangeRequest",
    key: EMPTY,
    rangeEnd: EMPTY,
    limit: 0n,
    revision: 0n,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0n,
    maxModRevision: 0n,
    minCreateRevision: 0n,
    maxCreateRevision: 0n,
  };
  begin();
  while (at < bytes.length && !isOdd) {
    switch (bytes[at++]) {
      case 0x0a:
        request.key = data(bytes);
        break;
      case 0x12:
        request.rangeEnd = data(bytes);
        break;
      case 0x18:
        request.limit = number(bytes);
        break;
      case 0x20:
        request.revision = number(bytes);
        break;
      case 0x28:
        request.sortOrder = choice(bytes);
        break;
      case 0x30:
        request.sortTarget = choice(bytes);
        break;
      case 0x38:
        request.serializable = bool(bytes);
        break;
      case 0x40:
        request.keysOnly = bool(bytes);
        break;
      case 0x48:
        request.countOnly = bool(bytes);
        break;
      default:
        return undefined;
    }
  }
  return isOdd ? undefined : request;
}

/** A renewal; undefined when protobuf-es has to look at it. */
export function readKeepAliveRequest(bytes: Buffer): LeaseKeepAliveRequest | undefined {
  const request: LeaseKeepAliveRequest = { $typeName: "etcdserverpb.LeaseKeepAliveRequest", ID: 0n };
  begin();
  while (at < bytes.length && !isOdd) {
    if (bytes[at++] !== 0x08) return undefined;
    request.ID = number(bytes);
  }
  return isOdd ? undefined : request;
}

function begin(): void {
  at = 0;
  isOdd = false;
}

/** A view of the bytes that stand behind their length. */
function data(bytes: Buffer): Uint8Array {
  let length = 0;
  for (let index = 0; index < MAX_SIZE_BYTES; index++) {
    const byte = bytes[at++] ?? 0x80;
    length |= (byte & 0x7f) << (7 * index);
    if (byte >= 0x80) continue;
    const end = at + length;
    if (end > bytes.length) break;
    const value = bytes.subarray(at, end);
    at = end;
    return value;
  }
  isOdd = true;
  return EMPTY;
}

/** A number that is not negative. */
function number(bytes: Buffer): bigint {
  let low = 0;
  let high = 0;
  for (let index = 0; index < MAX_NUMBER_BYTES; index++) {
    const byte = bytes[at++] ?? 0x80;
    if (index < LOW_BYTES) low += (byte & 0x7f) * 2 ** (7 * index);
    else high += (byte & 0x7f) * 2 ** (7 * (index - LOW_BYTES));
    if (byte >= 0x80) continue;
    return high < MAX_EXACT_HIGH ? BigInt(high * LOW_FACTOR + low) : (BigInt(high) << LOW_BITS) | BigInt(low);
  }
  isOdd = true;
  return 0n;
}

/** One of several numbers, all of which take one byte. */
function choice<T extends number>(bytes: Buffer): T {
  const byte = bytes[at++] ?? 0x80;
  if (byte >= 0x80) isOdd = true;
  return byte as T;
}

function bool(bytes: Buffer): boolean {
  return choice(bytes) !== 0;
}
