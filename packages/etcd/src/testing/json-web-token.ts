/** A token as etcd gives it with `--auth-token jwt`, but for its signature, which only etcd can check. */
export function jsonWebToken(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.c2lnbmF0dXJl`;
}
