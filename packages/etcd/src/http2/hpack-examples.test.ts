// The examples of RFC 7541, appendix C.
import { describe, expect, it } from "vitest";
import { ErrorCode } from "./frames.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { Http2Error } from "./http2-error.ts";

type Fields = readonly (readonly [name: string, value: string])[];

const DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const LATER = "Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
/** What announces a table of 256 bytes. */
const SIZE_256 = "3fe101";

const REQUESTS: readonly Fields[] = [
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
  ],
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
    ["cache-control", "no-cache"],
  ],
  [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ],
];
const REQUEST_TABLE: Fields = [
  ["custom-key", "custom-value"],
  ["cache-control", "no-cache"],
  [":authority", "www.example.com"],
];
const RESPONSES: readonly Fields[] = [
  [
    [":status", "302"],
    ["cache-control", "private"],
    ["date", DATE],
    ["location", "https://www.example.com"],
  ],
  [
    [":status", "307"],
    ["cache-control", "private"],
    ["date", DATE],
    ["location", "https://www.example.com"],
  ],
  [
    [":status", "200"],
    ["cache-control", "private"],
    ["date", LATER],
    ["location", "https://www.example.com"],
    ["content-encoding", "gzip"],
    ["set-cookie", COOKIE],
  ],
];
const RESPONSE_TABLES: readonly Fields[] = [
  [
    ["location", "https://www.example.com"],
    ["date", DATE],
    ["cache-control", "private"],
    [":status", "302"],
  ],
  [
    [":status", "307"],
    ["location", "https://www.example.com"],
    ["date", DATE],
    ["cache-control", "private"],
  ],
  [
    ["set-cookie", COOKIE],
    ["content-encoding", "gzip"],
    ["date", LATER],
  ],
];
const REQUEST_BLOCKS: readonly string[] = [
  "828684410f7777772e6578616d706c652e636f6d",
  "828684be58086e6f2d6361636865",
  "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
];
const RESPONSE_BLOCKS: readonly string[] = [
  "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
    "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
  "4803333037c1c0bf",
  "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b42" +
    "5a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
];

/** The decoder's table, the newest entry first: asked for one by one until there is no more. */
function tableOf(decoder: HpackDecoder): [string, string][] {
  const entries: [string, string][] = [];
  for (;;) {
    try {
      entries.push(...decoder.decode(Buffer.of(0x80 | (62 + entries.length)), 1 << 20));
    } catch (error) {
      if (error instanceof Http2Error && error.code === ErrorCode.compressionError) return entries;
      throw error;
    }
  }
}

function decode(decoder: HpackDecoder, block: string): [string, string][] {
  return [...decoder.decode(Buffer.from(block, "hex"), 1 << 20)];
}

function encode(encoder: HpackEncoder, fields: Fields): string {
  return Buffer.from(encoder.encode(fields)).toString("hex");
}

describe("the examples of the standard are decoded", () => {
  it.each([
    ["C.2.1", "400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key", "custom-header", true],
    ["C.2.2", "040c2f73616d706c652f70617468", ":path", "/sample/path", false],
    ["C.2.3", "100870617373776f726406736563726574", "password", "secret", false],
    ["C.2.4", "82", ":method", "GET", false],
  ])("%s: one field", (_section, block, name, value, isAdded) => {
    const decoder = new HpackDecoder();
    expect(decode(decoder, block)).toEqual([[name, value]]);
    expect(tableOf(decoder)).toEqual(isAdded ? [[name, value]] : []);
  });

  it.each([
    ["C.3", REQUEST_BLOCKS],
    [
      "C.4",
      [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
      ],
    ],
  ])("%s: requests", (_section, blocks) => {
    const decoder = new HpackDecoder();
    expect(blocks.map((block) => decode(decoder, block))).toEqual(REQUESTS);
    expect(tableOf(decoder)).toEqual(REQUEST_TABLE);
  });

  it.each([
    ["C.5", RESPONSE_BLOCKS],
    [
      "C.6",
      [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af2708" +
          "7f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
      ],
    ],
  ])("%s: responses, with a table that is too small for them", (_section, blocks) => {
    const decoder = new HpackDecoder(256);
    for (const [round, block] of blocks.entries()) {
      expect(decode(decoder, `${round === 0 ? SIZE_256 : ""}${block}`)).toEqual(RESPONSES[round]);
      expect(tableOf(decoder)).toEqual(RESPONSE_TABLES[round]);
    }
  });
});

describe("the examples of the standard are what is encoded", () => {
  it("C.3: requests", () => {
    const encoder = new HpackEncoder();
    expect(REQUESTS.map((fields) => encode(encoder, fields))).toEqual(REQUEST_BLOCKS);
  });

  it("C.5: responses, with a table that is too small for them", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxTableBytes(256);
    const [first, ...others] = RESPONSE_BLOCKS;
    expect(RESPONSES.map((fields) => encode(encoder, fields))).toEqual([`${SIZE_256}${first}`, ...others]);
  });
});
