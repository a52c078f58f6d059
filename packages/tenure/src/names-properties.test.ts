// What holds for every name, namespace and lease id. What the keys must be byte for byte is written down here once
// more, by other means: Go's client puts `fmt.Sprintf("%s%x", name+"/", leaseID)`.
import { seededRandom } from "@tenure/etcd/runtime";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TenureError } from "./errors.ts";
import { candidateKey, electionPrefix, isCandidate, isTenureLease, newLeaseId } from "./names.ts";
import { propertyRuns } from "./testing/property-runs.ts";

const runs = propertyRuns(1000);

const isControl = (code: number): boolean => code < 0x20 || (code >= 0x7f && code <= 0x9f);
const isSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdfff;

/** Any character a name may hold; often those that keys are made of, so that names run into one another. */
const someCharacter = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("/", "/", "-", "0", "7", "a", "f", "x") },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 0, max: 0x10_ff_ff })
      .filter((code) => !isControl(code) && !isSurrogate(code))
      .map((code) => String.fromCodePoint(code)),
  },
);
const someText = fc.string({ unit: someCharacter, maxLength: 8 });
const someName = fc.string({ unit: someCharacter, minLength: 1, maxLength: 8 });
const someNamespace = fc.oneof(fc.constant(""), someText);
const someLeaseId = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const someControl = fc.oneof(fc.integer({ min: 0, max: 0x1f }), fc.integer({ min: 0x7f, max: 0x9f }));
const someLoneSurrogate = fc.integer({ min: 0xd800, max: 0xdfff });

/** Whether a name has something left when it is put into a namespace. */
function isName(name: string, namespace: string): boolean {
  return namespace === "" ? name !== "" : /[^/]/.test(name);
}

/** A name in its namespace, where it is one. */
const somePlace = fc
  .record({ name: someName, namespace: someNamespace })
  .filter(({ name, namespace }) => isName(name, namespace));

/** The digits of Go's `%x` of a whole number, from its bytes: a sign, and no zero in front. */
function goHex(value: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value < 0n ? -value : value);
  const digits = bytes.toString("hex").replace(/^0{1,15}/, "");
  return value < 0n ? `-${digits}` : digits;
}

function refusalOf(name: string, namespace: string): TenureError {
  try {
    electionPrefix(name, namespace);
  } catch (error) {
    if (error instanceof TenureError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("an election's prefix", () => {
  it("is the name's bytes and a slash, as Go puts it", () => {
    fc.assert(
      fc.property(someName, (name) => {
        const expected = Buffer.concat([new TextEncoder().encode(name), Buffer.from("/")]);
        expect(Buffer.from(electionPrefix(name))).toEqual(expected);
      }),
      runs,
    );
  });

  it("in a namespace is the namespace as it is, and the name without leading slashes and nothing else changed", () => {
    fc.assert(
      fc.property(someText, someName, fc.nat(3), (namespace, name, slashes) => {
        fc.pre(namespace !== "" && !name.startsWith("/"));
        expect(electionPrefix("/".repeat(slashes) + name, namespace)).toBe(`${namespace}${name}/`);
      }),
      runs,
    );
  });

  it("of only slashes is one without a namespace and none in one, and of nothing is none in either", () => {
    fc.assert(
      fc.property(fc.string({ unit: someCharacter, minLength: 1 }), fc.nat(5), (namespace, more) => {
        const slashes = "/".repeat(1 + more);
        expect(electionPrefix(slashes)).toBe(`${slashes}/`);
        for (const [name, place] of [[slashes, namespace] as const, ["", namespace] as const, ["", ""] as const]) {
          expect(refusalOf(name, place)).toMatchObject({
            code: "invalid-argument",
            message: "the election's name is empty",
          });
        }
      }),
      runs,
    );
  });

  // Not for any two places: the name `b/c` in the namespace `a/` is the name `c` in the namespace `a/b/`.
  it("tells the names of one namespace apart, but for their leading slashes", () => {
    fc.assert(
      fc.property(someNamespace, someName, someName, (namespace, one, other) => {
        fc.pre(isName(one, namespace) && isName(other, namespace));
        const same = namespace === "" ? one === other : one.replace(/^\/*/, "") === other.replace(/^\/*/, "");
        expect(electionPrefix(one, namespace) === electionPrefix(other, namespace)).toBe(same);
      }),
      runs,
    );
  });

  it("tells namespaces apart that are one segment and a slash", () => {
    const someSegment = fc.constantFrom("a/", "b/", "ab/", "7/", "-/");
    fc.assert(
      fc.property(someSegment, someSegment, someName, someName, (namespace, another, one, other) => {
        fc.pre(isName(one, namespace) && isName(other, another) && namespace !== another);
        expect(electionPrefix(one, namespace)).not.toBe(electionPrefix(other, another));
      }),
      runs,
    );
  });
});

describe("a name or namespace", () => {
  it.each([
    ["a control character", someControl],
    ["half of a surrogate pair", someLoneSurrogate],
  ])("with %s in it is refused wherever it is, and the message is safe to print", (_what, someBad) => {
    fc.assert(
      fc.property(someText, someBad, someText, someName, fc.boolean(), (before, bad, after, fine, inName) => {
        const text = before + String.fromCharCode(bad) + after;
        const refusal = inName ? refusalOf(text, fine) : refusalOf(fine, text);
        expect(refusal.code).toBe("invalid-argument");
        expect(refusal.message.isWellFormed()).toBe(true);
        const controls = Array.from(refusal.message, (character) => character.charCodeAt(0)).filter(isControl);
        expect(controls).toEqual([]);
      }),
      runs,
    );
  });

  it("does not become whole by halves of a surrogate pair that meet", () => {
    fc.assert(
      fc.property(someText, fc.integer({ min: 0x1_00_00, max: 0x10_ff_ff }), someText, (before, code, after) => {
        const [high = "", low = ""] = String.fromCodePoint(code).split("");
        expect(refusalOf(low + after, before + high).code).toBe("invalid-argument");
      }),
      runs,
    );
  });
});

describe("a candidate's key", () => {
  it("is the prefix and the lease id as Go writes it, negative ones too", () => {
    fc.assert(
      fc.property(someName, someLeaseId, (name, leaseId) => {
        expect(candidateKey(electionPrefix(name), leaseId)).toBe(`${name}/${goHex(leaseId)}`);
      }),
      runs,
    );
  });

  it("gives the lease id back, so that no two leases share a key", () => {
    fc.assert(
      fc.property(somePlace, someLeaseId, ({ name, namespace }, leaseId) => {
        const prefix = electionPrefix(name, namespace);
        const digits = candidateKey(prefix, leaseId).slice(prefix.length);
        const magnitude = BigInt(`0x${digits.replace("-", "")}`);
        expect(digits.startsWith("-") ? -magnitude : magnitude).toBe(leaseId);
      }),
      runs,
    );
  });

  it("is a candidate's under the prefix of its own election and under no other, nested or not", () => {
    fc.assert(
      fc.property(somePlace, somePlace, someLeaseId, (place, { name, namespace }, leaseId) => {
        fc.pre(leaseId !== 0n);
        const outer = electionPrefix(place.name, place.namespace);
        for (const other of [outer, electionPrefix(name, namespace), electionPrefix(outer + name)]) {
          expect(isCandidate(outer, candidateKey(other, leaseId), leaseId)).toBe(other === outer);
          expect(isCandidate(other, candidateKey(outer, leaseId), leaseId)).toBe(other === outer);
        }
      }),
      runs,
    );
  });

  it("lies in the range of another election only if that one's prefix begins its own", () => {
    fc.assert(
      fc.property(somePlace, somePlace, someLeaseId, (one, other, leaseId) => {
        const prefix = electionPrefix(one.name, one.namespace);
        const another = electionPrefix(other.name, other.namespace);
        expect(candidateKey(prefix, leaseId).startsWith(another)).toBe(prefix.startsWith(another));
      }),
      runs,
    );
  });
});

describe("any key under a prefix", () => {
  const someRest = fc.string({ unit: fc.constantFrom(..."-/0179afgAF ".split("")), maxLength: 5 });

  it("is taken for a candidate's exactly if it is one segment of hexadecimal digits and on a lease", () => {
    fc.assert(
      fc.property(someName, someRest, fc.oneof(fc.constant(0n), someLeaseId), (name, rest, leaseId) => {
        const prefix = electionPrefix(name);
        const digits = rest.slice(rest.startsWith("-") ? 1 : 0).split("");
        const hexadecimal = digits.length > 0 && digits.every((digit) => "0123456789abcdef".includes(digit));
        expect(isCandidate(prefix, prefix + rest, leaseId)).toBe(hexadecimal && leaseId !== 0n);
      }),
      runs,
    );
  });
});

describe("a new lease id", () => {
  it("is one etcd takes, is told to be ours by the id and by the key, and keeps all of its chance", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (chance) => {
        const leaseId = newLeaseId({ fraction: () => 0, bits: (count) => BigInt.asUintN(count, chance) });
        expect(leaseId).toBeGreaterThan(0n);
        expect(BigInt.asIntN(64, leaseId)).toBe(leaseId);
        expect(isTenureLease(leaseId)).toBe(true);
        expect(candidateKey("e/", leaseId)).toMatch(/7e9e7e$/);
        expect(leaseId >> 24n).toBe(BigInt.asUintN(39, chance));
      }),
      runs,
    );
  });

  it("is ours no more when any bit of the tag is another", () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(23), (seed, bit) => {
        expect(isTenureLease(newLeaseId(seededRandom(seed)) ^ (1n << BigInt(bit)))).toBe(false);
      }),
      runs,
    );
  });

  it("is told by its last six digits as etcd keeps them, whoever chose it", () => {
    fc.assert(
      fc.property(someLeaseId, fc.boolean(), (leaseId, tagged) => {
        const id = tagged ? BigInt.asIntN(64, ((leaseId >> 24n) << 24n) + 0x7e_9e_7en) : leaseId;
        const bytes = Buffer.alloc(8);
        bytes.writeBigInt64BE(id);
        expect(isTenureLease(id)).toBe(bytes.toString("hex").endsWith("7e9e7e"));
      }),
      runs,
    );
  });
});
