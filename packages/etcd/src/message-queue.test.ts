import { describe, expect, it, vi } from "vitest";
import { EtcdError } from "./errors.ts";
import { MessageQueue } from "./message-queue.ts";

const HIGH_WATER = 256;

async function readAll<T>(queue: MessageQueue<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of queue) items.push(item);
  return items;
}

function fill(queue: MessageQueue<number>, count: number): void {
  for (let item = 0; item < count; item++) queue.push(item);
}

describe("a message queue", () => {
  it("gives its messages in order, those before and those after the reader came", async () => {
    const queue = new MessageQueue<number>();
    queue.push(1);
    queue.push(2);
    const read = readAll(queue);
    await Promise.resolve();
    queue.push(3);
    queue.push(4);
    queue.end();
    expect(await read).toEqual([1, 2, 3, 4]);
  });

  it("wakes a reader that waits", async () => {
    const queue = new MessageQueue<string>();
    const next = queue.next();
    queue.push("late");
    expect(await next).toEqual({ done: false, value: "late" });
  });

  it("ends after what is queued was read, and stays ended", async () => {
    const queue = new MessageQueue<number>();
    queue.push(1);
    queue.end();
    queue.push(2);
    expect(await queue.next()).toEqual({ done: false, value: 1 });
    expect(await queue.next()).toEqual({ done: true, value: undefined });
    expect(await queue.next()).toEqual({ done: true, value: undefined });
  });

  it("throws its error only after what is queued was read", async () => {
    const queue = new MessageQueue<number>();
    const error = new EtcdError("unavailable", "the connection was lost");
    queue.push(1);
    queue.end(error);
    expect(await queue.next()).toEqual({ done: false, value: 1 });
    await expect(queue.next()).rejects.toBe(error);
  });

  it("wakes a reader that waits when it ends, and when it fails", async () => {
    const ended = new MessageQueue<number>();
    const end = ended.next();
    ended.end();
    expect(await end).toEqual({ done: true, value: undefined });
    const failed = new MessageQueue<number>();
    const failure = failed.next();
    failed.end(new EtcdError("internal", "broken"));
    await expect(failure).rejects.toThrow("broken");
  });

  it("answers those who ask too early in the order in which they did, and tells all of the end", async () => {
    const ended = new MessageQueue<number>();
    const asked = [1, 2, 3, 4].map(() => ended.next());
    ended.push(1);
    ended.push(2);
    ended.end();
    expect((await Promise.all(asked)).map(({ value }) => value)).toEqual([1, 2, undefined, undefined]);
    const failed = new MessageQueue<number>();
    const failures = [1, 2].map(() => failed.next());
    failed.end(new EtcdError("internal", "broken"));
    for (const failure of failures) await expect(failure).rejects.toThrow("broken");
  });

  it("keeps to its first end", async () => {
    const queue = new MessageQueue<number>();
    queue.end();
    queue.end(new EtcdError("internal", "too late"));
    expect(await queue.next()).toEqual({ done: true, value: undefined });
  });

  it("tells once that its reader left the loop, and drops what was queued", async () => {
    const onAbandoned = vi.fn<() => void>();
    const queue = new MessageQueue<number>({ onAbandoned });
    fill(queue, 3);
    for await (const item of queue) if (item === 0) break;
    expect(onAbandoned).toHaveBeenCalledTimes(1);
    await queue.return();
    expect(onAbandoned).toHaveBeenCalledTimes(1);
    expect(await queue.next()).toEqual({ done: true, value: undefined });
  });

  it("does not call a reader gone who read to the end", async () => {
    const onAbandoned = vi.fn<() => void>();
    const queue = new MessageQueue<number>({ onAbandoned });
    queue.end();
    await readAll(queue);
    await queue.return();
    expect(onAbandoned).not.toHaveBeenCalled();
  });

  it("says when it is full, and when half of that has been read", async () => {
    const onFull = vi.fn<() => void>();
    const onDrained = vi.fn<() => void>();
    const queue = new MessageQueue<number>({ onFull, onDrained });
    fill(queue, HIGH_WATER - 1);
    expect(onFull).not.toHaveBeenCalled();
    fill(queue, 5);
    expect(onFull).toHaveBeenCalledTimes(1);
    for (let left = HIGH_WATER + 4; left > HIGH_WATER / 2 + 1; left--) await queue.next();
    expect(onDrained).not.toHaveBeenCalled();
    await queue.next();
    expect(onDrained).toHaveBeenCalledTimes(1);
    fill(queue, HIGH_WATER / 2);
    expect(onFull).toHaveBeenCalledTimes(2);
  });

  it("counts what its messages weigh, too", async () => {
    const onFull = vi.fn<() => void>();
    const onDrained = vi.fn<() => void>();
    const queue = new MessageQueue<number>({ onFull, onDrained });
    for (let item = 0; item < 7; item++) queue.push(item, 1024 * 1024);
    expect(onFull).not.toHaveBeenCalled();
    queue.push(7, 1024 * 1024);
    expect(onFull).toHaveBeenCalledTimes(1);
    for (let left = 8; left > 5; left--) await queue.next();
    expect(onDrained).not.toHaveBeenCalled();
    await queue.next();
    expect(onDrained).toHaveBeenCalledTimes(1);
  });

  it("is not drained if it was never full", async () => {
    const onDrained = vi.fn<() => void>();
    const queue = new MessageQueue<number>({ onDrained });
    fill(queue, 10);
    queue.end();
    await readAll(queue);
    expect(onDrained).not.toHaveBeenCalled();
  });
});
