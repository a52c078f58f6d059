// A peer for comparison: the program that `etcdctl lock` runs while it has the lock.
import { now, sample, tell } from "./report.js";

const token = process.env.ETCD_LOCK_REV;
tell({ t: "elected", token, key: process.env.ETCD_LOCK_KEY, at: now() });
sample(() => token);
