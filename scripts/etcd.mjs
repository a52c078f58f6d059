// Prints a line for each etcd that the tests use: version, etcd, etcdctl. `node scripts/etcd.mjs [3.5] [3.4]`
import { etcdVersions, findEtcd } from "./lib/etcd.mjs";
import { main } from "./lib/process.mjs";

await main(async () => {
  const wanted = process.argv.slice(2);
  for (const version of wanted.length > 0 ? wanted : etcdVersions) {
    const { etcd, etcdctl, version: full } = await findEtcd(version);
    console.log(`${full} ${etcd} ${etcdctl}`);
  }
});
