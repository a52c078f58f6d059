import { describe, expect, it } from "vitest";
import { cleanEnvironment } from "./environment.ts";

describe("the environment of what a supervisor starts", () => {
  it("holds nothing of who may use etcd", () => {
    const secrets = ["USER", "PASSWORD", "PASSWORD_FILE"].flatMap((name) => [`TENURE_${name}`, `ETCDCTL_${name}`]);
    const env = Object.fromEntries([...secrets, "PATH", "TENURE_ENDPOINTS"].map((name) => [name, "x"]));
    expect(cleanEnvironment(env)).toEqual({ PATH: "x", TENURE_ENDPOINTS: "x" });
  });

  it("passes a --key that came as TENURE_KEY on by its other name: the first is the candidate's key", () => {
    expect(cleanEnvironment({ TENURE_KEY: "key.pem" })).toEqual({ ETCDCTL_KEY: "key.pem" });
    expect(cleanEnvironment({ TENURE_KEY: "a.pem", ETCDCTL_KEY: "b.pem" })).toEqual({ ETCDCTL_KEY: "b.pem" });
  });

  it("holds nothing of the term of a supervisor above, but what belongs to its tree", () => {
    const above = {
      TENURE_ELECTION: "e",
      TENURE_KEY: "e/1",
      TENURE_TOKEN: "7",
      TENURE_TREE: "1-2-3",
      ETCD_LOCK_REV: "7",
    };
    expect(cleanEnvironment(above)).toEqual({ TENURE_TREE: "1-2-3" });
  });
});
