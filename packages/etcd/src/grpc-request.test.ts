import { describe, expect, it } from "vitest";
import { Connection } from "./connection.ts";
import { parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import { requestHeaders } from "./grpc-request.ts";
import { systemClock } from "./runtime/clock.ts";
import * as methods from "./wire/methods.ts";

const connection = new Connection(parseEndpoint("http://[::1]:2379"), { clock: systemClock, connectTimeoutMs: 1000 });

function headersWith(token: string): readonly (readonly [string, string])[] {
  return requestHeaders(connection, methods.range, { token }, undefined);
}

describe("the headers of a request", () => {
  it("are those of its method, and what a call brings along", () => {
    expect(Object.fromEntries(headersWith("a b.~"))).toMatchObject({
      ":authority": "[::1]:2379",
      ":path": "/etcdserverpb.KV/Range",
      hasleader: "true",
      token: "a b.~",
    });
  });

  it("are nobody else's", () => {
    headersWith("first");
    expect(requestHeaders(connection, methods.range, undefined, undefined).map(([name]) => name)).not.toContain(
      "token",
    );
  });

  it.each(["a\r\nb: c", "a\nb", "\0", "\x7f", "\u00e9", "\u010d", "\ud83d\ude00"])(
    "hold no %j, nor does the error",
    (bad) => {
      const send = (): unknown => headersWith(`secret${bad}`);
      expect(send).toThrow(EtcdError);
      expect(send).toThrow(/^the value of the header "token" has characters that cannot be sent$/);
    },
  );
});
