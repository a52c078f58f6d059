/**
 * The path of the Go peer, a program made from `tests/interop/peer.go`. It is built when its source is new; Go and
 * etcd's Go client are downloaded when they are not in the cache.
 */
export declare function findGoPeer(): Promise<string>;
