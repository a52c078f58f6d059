import { create } from "@bufbuild/protobuf";
import { PermissionSchema, Permission_Type as PermissionType } from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";

import { bytes } from "../testing/test-server.ts";
import { AuthStore } from "./auth-store.ts";
import { inRange, type KeyRange } from "./key-range.ts";
import { RangePermissions } from "./range-permissions.ts";

describe("a token", () => {
  const clock = new ManualClock();
  let store: AuthStore;
  beforeEach(() => {
    store = new AuthStore({ clock, random: seededRandom(1), tokenTtlMs: 300_000 });
    store.userAdd("root", "hash", false);
    store.userGrantRole("root", "root");
    store.enable();
  });

  it("is letters and the index of its request", () => {
    expect(store.authenticate("root", 42n)).toMatch(/^[a-zA-Z]{16}\.42$/);
    expect(store.authenticate("root", 42n)).not.toBe(store.authenticate("root", 42n));
  });

  it("lives on with each use, and ends when it was not used for its TTL", () => {
    const token = store.authenticate("root", 1n);
    for (let use = 0; use < 5; use += 1) {
      clock.advance(299_000);
      expect(store.infoOf({ token })?.user).toBe("root");
    }
    clock.advance(300_001);
    expect(() => store.infoOf({ token })).toThrow("etcdserver: invalid auth token");
    store.tick();
    expect(() => store.infoOf({ token })).toThrow("etcdserver: invalid auth token");
  });

  it("is kept by a tick before its end", () => {
    const token = store.authenticate("root", 1n);
    clock.advance(300_000);
    store.tick();
    expect(store.infoOf({ token })?.user).toBe("root");
  });

  it("ends when authentication is turned off, and is not wanted then", () => {
    const token = store.authenticate("root", 1n);
    store.disable();
    expect(store.infoOf({ token })).toBeUndefined();
    store.enable();
    expect(() => store.infoOf({ token })).toThrow("etcdserver: invalid auth token");
  });
});

describe("who somebody was at an older revision", () => {
  it("is not taken for granted", () => {
    const store = new AuthStore({ clock: new ManualClock(), random: seededRandom(1) });
    store.userAdd("root", "hash", false);
    store.userGrantRole("root", "root");
    store.userAdd("ann", "hash", false);
    store.enable();
    const info = store.infoOf({ commonName: "ann" });
    store.roleAdd("r");
    expect(() => store.checkRange(info, { kind: "key", key: "a" })).toThrow(
      "etcdserver: revision of auth store is old",
    );
  });
});

describe("permissions of roles", () => {
  it("change for the user at once when a role does", () => {
    const store = new AuthStore({ clock: new ManualClock(), random: seededRandom(1) });
    store.userAdd("root", "hash", false);
    store.userGrantRole("root", "root");
    store.userAdd("ann", "hash", false);
    store.roleAdd("r");
    store.userGrantRole("ann", "r");
    store.enable();
    const read = (): void => store.checkRange(store.infoOf({ commonName: "ann" }), { kind: "key", key: "a" });
    expect(read).toThrow("etcdserver: permission denied");
    store.roleGrantPermission("r", create(PermissionSchema, { key: bytes("a"), permType: PermissionType.READ }));
    expect(read).not.toThrow();
    store.roleRevokePermission("r", { key: bytes("a"), rangeEnd: bytes("") });
    expect(read).toThrow("etcdserver: permission denied");
  });

  it("contain a range exactly when they contain each of its keys", () => {
    const letters = ["a", "b", "c", "d", "e", "f"];
    const range: fc.Arbitrary<KeyRange> = fc
      .tuple(fc.constantFrom(...letters), fc.option(fc.constantFrom(...letters, "g"), { nil: undefined }), fc.boolean())
      .filter(([start, end]) => end === undefined || start < end)
      .map(([start, end, single]) => (single ? { kind: "key", key: start } : { kind: "range", start, end }));
    // Between two letters there are keys as well, and after the last one.
    const keys = [...letters, "g"].flatMap((letter) => [letter, `${letter}\0`, `${letter}z`]);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 5 }), range, (permitted, wanted) => {
        const all = keys
          .filter((key) => inRange(wanted, key))
          .every((key) => permitted.some((each) => inRange(each, key)));
        expect(new RangePermissions(permitted).contains(wanted)).toBe(all);
      }),
    );
  });
});
