import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { EventLog } from "./event-log.ts";

function filled(count: number): EventLog {
  const log = new EventLog(new ManualClock());
  for (let n = 1; n <= count; n++) log.add({ type: "role", election: "job", data: { n } });
  return log;
}

describe("the log of events", () => {
  it("gives what came after a number, and tells when that is forgotten", () => {
    const log = filled(1030);
    expect(log.newest).toBe(1030);
    expect(log.after(1030)).toEqual([]);
    expect(log.after(1028)?.map(({ sequence, data }) => [sequence, data])).toMatchObject([
      [1029, { n: 1029 }],
      [1030, { n: 1030 }],
    ]);
    expect(log.after(6)).toHaveLength(1024);
    expect(log.after(5)).toBeUndefined();
  });

  it("knows its own ids, and none of another run, of the future, or made up", () => {
    const log = filled(3);
    expect(log.sequenceOf(log.idOf(2))).toBe(2);
    const [run] = log.idOf(2).split("-");
    for (const id of [`${run}x-2`, `${run}-4`, `${run}-`, `${run}--1`, "2", "", `${run}-${"9".repeat(400)}`]) {
      expect(log.sequenceOf(id)).toBeUndefined();
    }
  });
});
