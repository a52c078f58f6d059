import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeGrpcMessage, encodeGrpcMessage } from "./status.ts";

describe("the text of a status", () => {
  it("is the same after encoding and decoding", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(decodeGrpcMessage(encodeGrpcMessage(text))).toBe(text);
      }),
    );
  });

  it("travels as printable ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(encodeGrpcMessage(text)).toMatch(/^[ -~]*$/);
      }),
    );
  });

  it.each([
    ["plain text: 'a' & \"b\"", "plain text: 'a' & \"b\""],
    ["100%", "100%25"],
    ["a\r\nb\u007f", "a%0D%0Ab%7F"],
    ["é€😀", "%C3%A9%E2%82%AC%F0%9F%98%80"],
  ])("encodes %j as gRPC does", (text, encoded) => {
    expect(encodeGrpcMessage(text)).toBe(encoded);
  });

  it("is decoded from lower-case digits too", () => {
    expect(decodeGrpcMessage("%c3%a9")).toBe("é");
  });

  it("is passed on as it is when it was not well encoded", () => {
    for (const text of ["100% sure", "%", "%zz", "%C3"]) expect(decodeGrpcMessage(text)).toBe(text);
  });
});
