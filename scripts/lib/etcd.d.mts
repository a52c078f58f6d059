/** Where an etcd and its etcdctl are, and their full version. */
export interface EtcdBinaries {
  readonly etcd: string;
  readonly etcdctl: string;
  readonly version: string;
}

/** The etcd versions that the tests use, the default first. */
export declare const etcdVersions: readonly string[];

/** Finds etcd and etcdctl of a version such as "3.5", downloading them when needed. */
export declare function findEtcd(version?: string): Promise<EtcdBinaries>;
