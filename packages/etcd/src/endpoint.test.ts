import { describe, expect, it } from "vitest";
import { parseEndpoint, parseEndpoints } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";

function errorOf(action: () => unknown): EtcdError {
  try {
    action();
  } catch (error) {
    if (error instanceof EtcdError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("an endpoint", () => {
  it.each([
    ["http://10.0.0.1:2379", "http://10.0.0.1:2379", "10.0.0.1", 2379, false],
    ["https://etcd.example:4001", "https://etcd.example:4001", "etcd.example", 4001, true],
    ["http://10.0.0.1", "http://10.0.0.1:2379", "10.0.0.1", 2379, false],
    ["https://etcd.example", "https://etcd.example:2379", "etcd.example", 2379, true],
    ["http://h:80", "http://h:80", "h", 80, false],
    ["https://h:443", "https://h:443", "h", 443, true],
    ["localhost", "http://localhost:2379", "localhost", 2379, false],
    ["localhost:1234", "http://localhost:1234", "localhost", 1234, false],
    ["http://h:65535/", "http://h:65535", "h", 65_535, false],
    ["HTTPS://Etcd.Example:1", "https://etcd.example:1", "etcd.example", 1, true],
    ["http://[::1]", "http://[::1]:2379", "::1", 2379, false],
    ["http://[::1]:4001", "http://[::1]:4001", "::1", 4001, false],
    ["[fe80::1]:4001", "http://[fe80::1]:4001", "fe80::1", 4001, false],
    ["https://[2001:db8::2379]", "https://[2001:db8::2379]:2379", "2001:db8::2379", 2379, true],
    ["  http://h:1\n", "http://h:1", "h", 1, false],
  ])("is read from %j", (text, url, host, port, secure) => {
    expect(parseEndpoint(text)).toEqual({ url, host, port, secure });
  });

  it.each([
    ["", "endpoint is empty"],
    ["   ", "endpoint is empty"],
    ["http://h:65536", "port 65536 is above 65535"],
    ["h:99999", "port 99999 is above 65535"],
    ["[::1]:70000/", "port 70000 is above 65535"],
    ["http://h:0", "port 0"],
    ["http://h:port", '"http://h:port" is malformed'],
    ["http://", '"http://" is malformed'],
    [":2379", '":2379" is malformed'],
    ["::1", '"::1" is malformed'],
    ["http://[::1", '"http://[::1" is malformed'],
    ["http://a b:2379", "white space"],
    ["http://h: 2379", "white space"],
    ["ftp://h:21", "the scheme ftp:// but must be http:// or https://"],
    ["unix:///run/etcd.sock", "the scheme unix://"],
    ["http://h:2379/v3", "must end after the port"],
    ["http://h:2379?x=1", "must end after the port"],
    ["http://h:2379#x", "must end after the port"],
    ["http://h:9999?", "must end after the port"],
    ["http://h:9999#", "must end after the port"],
    ["http://h:9999/.", "must end after the port"],
    ["http://h:9999\\", "must end after the port"],
    ["http://h:0/", "port 0"],
    ["h:00", "port 0"],
    ["http://a:1,http://b:2", "malformed"],
    ["a,b", '"a,b" is malformed'],
    ["2379", '"2379" is malformed'],
  ])("is refused when it is %j, saying what is wrong", (text, what) => {
    const error = errorOf(() => parseEndpoint(text));
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain(what);
    expect(error.message).not.toContain("\n");
  });

  it.each([
    "http://root:S3cret@h:2379",
    "https://root:S3cret@[::1]:2379",
    "root:S3cret@h",
    "http://S3cret@h",
    "http://root:S3cret@h:99999",
    "http://root:S3cret@a b",
    "http://root:S3cret@h/path",
    "ftp://root:S3cret@h",
    "http://ro@ot:S3cret@h",
    "http://root:S3/cret@h:2379",
    "http:/root:S3cret@h",
    "https:///root:S3cret@h:1",
  ])("that holds a user is refused without being repeated: %s", (text) => {
    const error = errorOf(() => parseEndpoint(text));
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain("user or a password");
    expect(JSON.stringify([error.message, String(error.cause)])).not.toContain("S3cret");
  });
});

describe("a list of endpoints", () => {
  it("keeps its order and holds each one once", () => {
    const endpoints = parseEndpoints(["http://b", "a:2379", "http://b:2379/", "c"]);
    expect(endpoints.map(({ host }) => host)).toEqual(["b", "a", "c"]);
  });

  it("must not be empty", () => {
    expect(errorOf(() => parseEndpoints([]))).toMatchObject({ code: "invalid-argument" });
    expect(errorOf(() => parseEndpoints([])).message).toContain("no endpoint given");
  });

  it("must not mix http and https, and the message names one of each", () => {
    const { code, message } = errorOf(() => parseEndpoints(["http://a", "http://b", "https://c"]));
    expect(code).toBe("invalid-argument");
    expect(message).toContain("mix http and https");
    expect(message).toContain("http://a:2379");
    expect(message).toContain("https://c:2379");
  });

  it("that ends with a comma holds an empty endpoint, which is refused", () => {
    expect(errorOf(() => parseEndpoints("http://a:1,http://b:2,".split(","))).message).toContain("endpoint is empty");
  });

  it("is refused for one bad member", () => {
    expect(errorOf(() => parseEndpoints(["http://a", "http://b:70000"])).message).toContain("70000");
  });
});
