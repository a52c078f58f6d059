import { connect } from "tenure";
import type { Connect } from "./peer.ts";

/** What is slow is to be measured, not given up. */
const resignTimeoutMs = 60_000;

/**
 * Tenure. Its sessions are shared by all elections of a client that have the same TTL, so each seat has another TTL, a
 * second longer than the one before.
 */
export const connectTenure: Connect = ({ endpoint, ttlSeconds, guard = false }) => {
  const client = connect({ endpoints: [endpoint], guard });
  return {
    seat: (index) => {
      const ttlMs = (ttlSeconds + index) * 1000;
      return {
        // A session lives for as long as something stands on it.
        ready: async () => void (await client.election(`ready/${process.pid}-${index}`, { ttlMs }).campaign("ready")),
        campaign: async (election, value) => {
          const term = await client.election(election, { ttlMs }).campaign(value);
          return {
            proclaim: (next) => term.proclaim(next),
            resign: () => term.resign({ timeoutMs: resignTimeoutMs }),
          };
        },
      };
    },
    observe: (election, onLeader) =>
      new Promise((resolve, reject) => {
        const look = async (): Promise<void> => {
          for await (const leader of client.election(election).observe()) {
            if (leader !== null) onLeader(leader.value);
            resolve();
          }
        };
        look().catch(reject);
      }),
    close: () => client.close(),
  };
};
