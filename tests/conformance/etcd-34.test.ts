import { startEtcd } from "../support/real-etcd.ts";
import { runAll } from "./suite.ts";

runAll({ name: "etcd-3.4", start: () => startEtcd({ version: "3.4", args: ["--bcrypt-cost=4"] }) });
