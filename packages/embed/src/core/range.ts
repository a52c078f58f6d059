import {
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RangeResponse,
} from "@tenure/etcd/rpc";

import { refusal } from "./errors.ts";
import { keyRange } from "./key-range.ts";
import type { Item, KvStore } from "./kvstore.ts";
import { innerHeader, keyValue } from "./messages.ts";

const RESPONSE = "etcdserverpb.RangeResponse";

/** Throws what executing the request in a transaction would throw, before anything is written. */
export function checkRange(store: KvStore, request: RangeRequest): void {
  if (request.revision === 0n) return;
  if (request.revision > store.revision) throw refusal("futureRevision");
  if (request.revision < store.compactRevision) throw refusal("compacted");
}

/** Reads a range of keys: filtered, sorted and cut as the request asks. */
export function executeRange(store: KvStore, request: RangeRequest): RangeResponse {
  const header = innerHeader(store.revision);
  const range = keyRange(request.key, request.rangeEnd);
  const revision = Number(request.revision);
  if (request.countOnly) {
    const count = BigInt(store.count(range, revision));
    return { $typeName: RESPONSE, header, kvs: [], more: false, count };
  }
  const limit = Number(request.limit);
  const { items, count } = store.read(range, { revision, limit: readLimit(request, limit) });
  const selected = sortItems(filterItems(items, request), request);
  const more = limit > 0 && selected.length > limit;
  return {
    $typeName: RESPONSE,
    header,
    kvs: (more ? selected.slice(0, limit) : selected).map((item) => keyValue(item, request.keysOnly)),
    more,
    count: BigInt(count),
  };
}

/**
 * How many items to read so that the answer can be cut to `limit` and still know whether there are more. A filter or a
 * sort order needs them all. A sort target without an order does not: etcd then sorts only what the limit left.
 */
function readLimit(request: RangeRequest, limit: number): number {
  const filtered =
    request.minModRevision !== 0n ||
    request.maxModRevision !== 0n ||
    request.minCreateRevision !== 0n ||
    request.maxCreateRevision !== 0n;
  return limit <= 0 || filtered || !hasKeyOrder(request) ? 0 : limit + 1;
}

function hasKeyOrder({ sortOrder, sortTarget }: RangeRequest): boolean {
  return sortOrder === SortOrder.NONE || (sortTarget === SortTarget.KEY && sortOrder === SortOrder.ASCEND);
}

function filterItems(items: Item[], request: RangeRequest): Item[] {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  const within = (revision: number, min: bigint, max: bigint): boolean =>
    (min === 0n || revision >= min) && (max === 0n || revision <= max);
  if (minModRevision === 0n && maxModRevision === 0n && minCreateRevision === 0n && maxCreateRevision === 0n) {
    return items;
  }
  return items.filter(
    ({ version }) =>
      within(version.modRevision, minModRevision, maxModRevision) &&
      within(version.createRevision, minCreateRevision, maxCreateRevision),
  );
}

function sortItems(items: Item[], request: RangeRequest): Item[] {
  const { sortTarget, sortOrder } = request;
  if (sortTarget === SortTarget.KEY && sortOrder !== SortOrder.DESCEND) return items;
  // As etcd: an order that this server does not know is none.
  if (!Object.values<number>(SortOrder).includes(sortOrder)) return items;
  const ascending = comparatorOf(sortTarget);
  return items.sort(sortOrder === SortOrder.DESCEND ? (a, b) => ascending(b, a) : ascending);
}

function comparatorOf(target: SortTarget): (a: Item, b: Item) => number {
  switch (target) {
    case SortTarget.KEY:
      return (a, b) => (a.history.key < b.history.key ? -1 : 1);
    case SortTarget.VERSION:
      return (a, b) => a.version.version - b.version.version;
    case SortTarget.CREATE:
      return (a, b) => a.version.createRevision - b.version.createRevision;
    case SortTarget.MOD:
      return (a, b) => a.version.modRevision - b.version.modRevision;
    case SortTarget.VALUE:
      return (a, b) => Buffer.compare(a.version.value, b.version.value);
    default:
      throw refusal("invalidSortOption");
  }
}
