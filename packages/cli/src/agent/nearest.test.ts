import { expect, it } from "vitest";
import { nearest } from "./nearest.ts";

const words = ["command", "contain", "stop-timeout", "value"];

it.each([
  ["comand", "command"],
  ["Command", "command"],
  ["stop-timout", "stop-timeout"],
  ["stop_timeout", "stop-timeout"],
  ["valeu", "value"],
  ["cmd", undefined],
  ["retries", undefined],
  ["", undefined],
])("%j is taken for %j", (word, meant) => {
  expect(nearest(word, words)).toBe(meant);
});
