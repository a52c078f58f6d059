/**
 * The path of a Go peer, a program made from the source at a path in the repository; default
 * `tests/interop/peer.go`.
 * It is built when its source is new; Go and etcd's Go client are downloaded when they are not in the cache.
 */
export declare function findGoPeer(source?: string): Promise<string>;
