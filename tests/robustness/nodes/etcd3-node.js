// A peer for comparison: npm etcd3 takes part in an election, and believes what its events say.
// usage: node etcd3-node.js CONFIG, as JSON
import { Etcd3 } from "etcd3";
import { now, sample, tell } from "./report.js";

const config = JSON.parse(process.argv[2]);
const retryMs = 500;

let leading;
sample(() => leading);

const client = new Etcd3({ hosts: config.endpoints });
const election = client.election(config.election, config.ttlMs / 1000);
stand();

function stand() {
  const campaign = election.campaign(config.name);
  let mine;
  campaign.on("elected", () => void elected().catch(() => undefined));
  campaign.on("error", () => {
    if (leading === mine) leading = undefined;
    setTimeout(stand, retryMs);
  });

  async function elected() {
    const key = await campaign.getCampaignKey();
    const { kvs } = await client.get(key).exec();
    mine = kvs[0]?.create_revision;
    // Without its key it has lost again already.
    if (mine === undefined) return;
    leading = mine;
    tell({ t: "elected", token: mine, key, at: now() });
  }
}
