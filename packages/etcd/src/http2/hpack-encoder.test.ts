import { describe, expect, it } from "vitest";
import { type Random, seededRandom } from "../runtime/random.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { type HeaderField, HpackEncoder } from "./hpack-encoder.ts";
import { STATIC_TABLE } from "./hpack-tables.ts";

const SECRETS = ["token", "authorization", "cookie"];
const REQUEST: readonly HeaderField[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/etcdserverpb.KV/Range"],
  [":authority", "127.0.0.1:2379"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
  ["user-agent", "tenure/0.1.0"],
  ["hasleader", "true"],
];

function hex(block: Uint8Array): string {
  return Buffer.from(block).toString("hex");
}

function ascii(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}

/** What a decoder has of fields, in the order of their names' first coming. */
function joined(fields: readonly HeaderField[]): [string, string][] {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) values.set(name, [...(values.get(name) ?? []), value]);
  return [...values].map(([name, all]) => [name, all.join(", ")]);
}

function decode(decoder: HpackDecoder, block: Uint8Array): [string, string][] {
  return [...decoder.decode(block, 1 << 20)];
}

describe("a field", () => {
  it("of the static table takes its index", () => {
    for (const [place, { name, value }] of STATIC_TABLE.entries()) {
      if (SECRETS.includes(name)) continue;
      expect(hex(new HpackEncoder().encode([[name, value]]))).toBe((0x81 + place).toString(16));
    }
  });

  it("takes its name from the first entry that has it", () => {
    expect(hex(new HpackEncoder().encode([[":status", "999"]]))).toBe(`4803${ascii("999")}`);
    expect(hex(new HpackEncoder().encode([["www-authenticate", "x"]]))).toBe(`7d01${ascii("x")}`);
  });

  it("takes its name from the newest entry of the table that has it", () => {
    const encoder = new HpackEncoder();
    encoder.encode([
      ["name", "1"],
      ["other", "1"],
    ]);
    expect(hex(encoder.encode([["name", "2"]]))).toBe(`7f0001${ascii("2")}`);
    expect(hex(encoder.encode([["name", "3"]]))).toBe(`7e01${ascii("3")}`);
  });

  it("takes one byte when it comes again", () => {
    const encoder = new HpackEncoder();
    encoder.encode(REQUEST);
    // Numbers go back from the newest entry, 62.
    expect(hex(encoder.encode(REQUEST))).toBe("8386c3c2c1c0bfbe");
    expect(hex(encoder.encode(REQUEST))).toBe("8386c3c2c1c0bfbe");
  });

  it.each([
    ["grpc-timeout", "5000m", `000c${ascii("grpc-timeout")}05${ascii("5000m")}`],
    ["content-length", "17", `0f0d02${ascii("17")}`],
  ])("%s varies, so that it is not added to the table", (name, value, block) => {
    const encoder = new HpackEncoder();
    expect(hex(encoder.encode([[name, value]]))).toBe(block);
    expect(hex(encoder.encode([[name, value]]))).toBe(block);
  });

  it.each([
    ["token", "s.1", `1005${ascii("token")}03${ascii("s.1")}`],
    ["authorization", "s.1", `1f0803${ascii("s.1")}`],
    ["authorization", "", "1f0800"],
    ["cookie", "s.1", `1f1103${ascii("s.1")}`],
  ])("%s is secret, so that nobody may add it to a table", (name, value, block) => {
    const encoder = new HpackEncoder();
    expect(hex(encoder.encode([[name, value]]))).toBe(block);
    expect(hex(encoder.encode([[name, value]]))).toBe(block);
  });

  it("that is larger than the table is not added, and displaces nothing", () => {
    const encoder = new HpackEncoder();
    const fits = "v".repeat(4096 - 32 - 4);
    encoder.encode([["a", "1"]]);
    expect(encoder.encode([["name", `${fits}v`]])[0]).toBe(0x00);
    expect(hex(encoder.encode([["a", "1"]]))).toBe("be");
    expect(encoder.encode([["name", fits]])[0]).toBe(0x40);
    expect(hex(encoder.encode([["name", fits]]))).toBe("be");
    expect(hex(encoder.encode([["a", "1"]]))).toBe(`4001${ascii("a")}01${ascii("1")}`);
  });

  it("may have any latin1 value, of any length", () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1");
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder()];
    for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 16_000, 70_000]) {
      const fields: HeaderField[] = [["name", value.repeat(300).slice(0, length)]];
      expect(decode(decoder, encoder.encode(fields))).toEqual(fields);
    }
  });
});

describe("a block", () => {
  it("stays as it is when another is made", () => {
    const encoder = new HpackEncoder();
    const first = encoder.encode([["name", "1"]]);
    const before = hex(first);
    encoder.encode([["other", "2"]]);
    expect(hex(first)).toBe(before);
  });
});

describe("the size of the table", () => {
  const sizes = (...setTo: number[]): string => {
    const encoder = new HpackEncoder();
    for (const bytes of setTo) encoder.setMaxTableBytes(bytes);
    const block = hex(encoder.encode([[":method", "GET"]]));
    // It is said once.
    expect(hex(encoder.encode([[":method", "GET"]]))).toBe("82");
    return block;
  };

  it("is announced where it changes", () => {
    expect(sizes()).toBe("82");
    expect(sizes(0)).toBe("2082");
    expect(sizes(30)).toBe("3e82");
    expect(sizes(256)).toBe("3fe10182");
    expect(sizes(4095)).toBe("3fe01f82");
  });

  it("is never more than the usual one", () => {
    expect(sizes(4096)).toBe("82");
    expect(sizes(65_536)).toBe("82");
    expect(sizes(0, 65_536)).toBe("203fe11f82");
  });

  it("is announced twice where it was smaller in between", () => {
    expect(sizes(100, 0, 256)).toBe("203fe10182");
    expect(sizes(256, 100, 100)).toBe("3f4582");
    expect(sizes(100, 4096)).toBe("3f453fe11f82");
  });

  it("is announced once where it only grows", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxTableBytes(0);
    encoder.encode([]);
    encoder.setMaxTableBytes(100);
    encoder.setMaxTableBytes(256);
    expect(hex(encoder.encode([]))).toBe("3fe101");
  });

  it("that was smaller in between has cost the entries", () => {
    const encoder = new HpackEncoder();
    const fields: readonly HeaderField[] = [
      ["a", "1"],
      ["b", "2"],
    ];
    encoder.encode(fields);
    encoder.setMaxTableBytes(40);
    encoder.setMaxTableBytes(4096);
    expect(hex(encoder.encode(fields))).toBe(`3f093fe11f4001${ascii("a")}01${ascii("1")}bf`);
  });

  it("may be nothing", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxTableBytes(0);
    encoder.encode([["a", "1"]]);
    expect(hex(encoder.encode([["a", "1"]]))).toBe(`0001${ascii("a")}01${ascii("1")}`);
  });
});

const NAMES = [":path", ":status", "content-type", "te", "a", "bb", "__proto__", "token", "grpc-timeout", "cookie"];

function randomFields(random: Random): HeaderField[] {
  return Array.from({ length: Number(random.bits(4)) }, (): HeaderField => {
    const name = NAMES[Math.floor(random.fraction() * NAMES.length)] ?? "a";
    // Small values that come again, and now and then one that displaces many.
    const length = random.fraction() < 0.05 ? Math.floor(random.fraction() * 5000) : Number(random.bits(2));
    return [name, String.fromCharCode(Number(random.bits(3)) * 36).repeat(length)];
  });
}

describe("what was encoded", () => {
  it("is decoded to the same, with a table that changes its size", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = seededRandom(seed);
      const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder()];
      for (let block = 0; block < 100; block++) {
        for (let change = Number(random.bits(4)); change >= 13; change--) {
          encoder.setMaxTableBytes(Math.floor(random.fraction() ** 3 * 5000));
        }
        const fields = randomFields(random);
        const read = decode(decoder, encoder.encode(fields));
        expect({ seed, block, read }).toEqual({ seed, block, read: joined(fields) });
      }
    }
  });
});
