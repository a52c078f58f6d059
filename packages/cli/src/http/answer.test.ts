import { describe, expect, it } from "vitest";
import { headerText } from "./answer.ts";

describe("text in a header", () => {
  it.each([
    ["10.0.0.5:80", "10.0.0.5:80"],
    ["a b\r\nSet-Cookie: x", "a%20b%0D%0ASet-Cookie:%20x"],
    ["100%", "100%25"],
    ["ü€😀", "%C3%BC%E2%82%AC%F0%9F%98%80"],
    ["\0\u007f", "%00%7F"],
    ["\ud800", "%EF%BF%BD"],
    ["", ""],
  ])("of %j is %s", (text, shown) => expect(headerText(text)).toBe(shown));

  it("ends after 256 characters, never within one", () => {
    expect(headerText("x".repeat(10_000))).toBe("x".repeat(256));
    expect(headerText("😀".repeat(10_000))).toBe("%F0%9F%98%80".repeat(256));
  });
});
