/** Milliseconds of each unit of the `grpc-timeout` header. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
const MAX_VALUE = 99_999_999;

/** A `grpc-timeout` header for a timeout in milliseconds, at most eight digits as the protocol asks. */
export function formatGrpcTimeout(timeoutMs: number): string {
  const value = Math.max(0, Math.ceil(timeoutMs));
  if (value <= MAX_VALUE) return `${value}m`;
  return `${Math.min(MAX_VALUE, Math.ceil(value / 1000))}S`;
}

/** Milliseconds of a `grpc-timeout` header; undefined when there is none or it cannot be read. */
export function parseGrpcTimeout(header: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header ?? "");
  if (match === null) return undefined;
  return Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
}
