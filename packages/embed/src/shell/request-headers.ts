import type { IncomingHttpHeaders } from "node:http2";

import { parseGrpcTimeout } from "@tenure/etcd/rpc";

import type { Caller } from "../core/auth-store.ts";
import { EtcdServerError, GrpcCode } from "../core/errors.ts";

/** Why a request cannot be served, as etcd says it: a status of HTTP and one of gRPC. */
export interface RequestProblem {
  readonly http: number;
  readonly error: EtcdServerError;
}

/** `application/grpc`, with or without the name of an encoding or a parameter. */
const GRPC_CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/;

/** What is wrong with the headers of a request; undefined when it is a call. */
export function problemOf(headers: IncomingHttpHeaders): RequestProblem | "not gRPC" | undefined {
  const { ":method": method = "", "content-type": contentType = "", "grpc-timeout": timeout } = headers;
  const isGrpc = GRPC_CONTENT_TYPE.test(contentType);
  if (method !== "POST") {
    if (!isGrpc) return "not gRPC";
    const text = `Received a HEADERS frame with :method "${method}" which should be POST`;
    return { http: 405, error: new EtcdServerError(GrpcCode.internal, text) };
  }
  // A person with curl gets an answer to read.
  if (!contentType.startsWith("application/grpc")) return "not gRPC";
  if (!isGrpc) {
    const text = `invalid gRPC request content-type "${contentType}"`;
    return { http: 415, error: new EtcdServerError(GrpcCode.invalidArgument, text) };
  }
  if (timeout !== undefined && parseGrpcTimeout(String(timeout)) === undefined) {
    const text = `malformed grpc-timeout: "${String(timeout)}"`;
    return { http: 400, error: new EtcdServerError(GrpcCode.internal, text) };
  }
  return undefined;
}

/**
 * Who a call is from, as far as its headers say: etcd's clients send their token under one of two names.
 *
 * @param commonName what the client's certificate says
 */
export function callerOf({ token, authorization }: IncomingHttpHeaders, commonName?: string): Caller {
  return { token: (Array.isArray(token) ? token[0] : token) ?? authorization, commonName };
}
