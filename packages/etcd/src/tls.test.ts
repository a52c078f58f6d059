import { describe, expect, it } from "vitest";
import { EtcdClient } from "./client.ts";
import { parseEndpoint } from "./endpoint.ts";
import { describeTlsAlert, describeTlsError, type TlsOptions } from "./tls.ts";

const endpoint = parseEndpoint("https://10.0.0.1:2379");
const mine = { certFile: "/etc/mine.pem", keyFile: "/etc/mine.key" };

describe("options of TLS that cannot be meant so", () => {
  it.each<[string, string, TlsOptions, RegExp]>([
    ["a text and a file", "https://a:1", { ca: "x", caFile: "y" }, /^ca and caFile are both given/],
    ["a key alone", "https://a:1", { keyFile: "k" }, /^a key is given without its certificate$/],
    ["a certificate alone", "https://a:1", { cert: "c" }, /^a certificate is given without its key$/],
    [
      "an authority for http",
      "http://a:1",
      { caFile: "c" },
      /^options of TLS are given, but http:\/\/a:1 is not https/,
    ],
    ["a server name for http", "http://a:1", { serverName: "b" }, /^options of TLS are given, but http:\/\/a:1/],
  ])("%s: refused before anything is sent", (_, url, tls, says) => {
    const prepare = (): EtcdClient => new EtcdClient({ endpoints: [url], tls });
    expect(prepare).toThrow(
      expect.objectContaining({ code: "invalid-argument", message: expect.stringMatching(says) }),
    );
  });

  it("none at all are fine for http", async () => {
    await using client = new EtcdClient({ endpoints: ["http://a:1"], tls: { caFile: undefined } });
    expect(client.closed.aborted).toBe(false);
  });
});

describe("what an operator hears of a handshake that failed", () => {
  const openssl = (reason: string, alert: number): string =>
    `807C:error:0A00:SSL routines:ssl3_read_bytes:${reason}:../rec_layer_s3.c:1601:SSL alert number ${alert}\n`;
  const alert = (reason: string, number: number): Error =>
    Object.assign(new Error(openssl(reason, number)), { code: "ERR_SSL_ANY", reason });

  it.each<[string, number, TlsOptions, RegExp]>([
    ["tlsv13 alert certificate required", 116, {}, /it wants a client certificate$/],
    ["sslv3 alert handshake failure", 40, {}, /it wants a client certificate$/],
    ["sslv3 alert bad certificate", 42, {}, /it wants a client certificate$/],
    ["sslv3 alert handshake failure", 40, mine, /^TLS failed: sslv3 alert handshake failure$/],
    ["sslv3 alert bad certificate", 42, mine, /refuses the certificate \/etc\/mine\.pem: sslv3 alert bad certificate$/],
    ["sslv3 alert certificate expired", 45, mine, /refuses the certificate \/etc\/mine\.pem: it has expired$/],
    ["sslv3 alert certificate expired", 45, { cert: "x", key: "y" }, /refuses the certificate: it has expired$/],
    ["tlsv1 alert unknown ca", 48, mine, /no authority that it trusts has signed it$/],
    ["tlsv1 alert protocol version", 70, mine, /^TLS failed: tlsv1 alert protocol version$/],
  ])("%s (%i)", (reason, number, options, says) => {
    expect(describeTlsError(alert(reason, number), endpoint, options)).toMatch(says);
    expect(describeTlsAlert(alert(reason, number), options)).toMatch(says);
  });

  it.each<[string, Error, RegExp]>([
    ["CERT_NOT_YET_VALID", new Error("x"), /not valid yet: is the clock of this machine right\?$/],
    ["EPROTO", new Error("E: wrong version number: x\n"), /does not speak TLS: is it an http:\/\/ endpoint\?$/],
    ["EPROTO", new Error(openssl("unexpected message", 10)), /^TLS failed: .*unexpected message[^\n]*$/],
    ["ECONNRESET", new Error("x"), /closed during the TLS handshake: is it an http:\/\/ endpoint\?$/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", new Error("x"), /for another name: it carries none, not 10\.0\.0\.1$/],
  ])("%s", (code, error, says) => {
    expect(describeTlsError(Object.assign(error, { code }), endpoint, {})).toMatch(says);
  });

  it("nothing, where it was no handshake", () => {
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    expect([describeTlsError(refused, endpoint, {}), describeTlsAlert(refused, {})]).toEqual([undefined, undefined]);
  });
});
