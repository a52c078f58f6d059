import { createHash } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { Maintenance, type SnapshotResponse, SnapshotResponseSchema } from "@tenure/etcd/rpc";

import type { MaintenanceService } from "../core/maintenance.ts";
import type { GrpcRouter } from "./grpc-service.ts";

const PIECE_BYTES = 32 * 1024;

/** Serves the Maintenance service. */
export function addMaintenance(router: GrpcRouter, maintenance: MaintenanceService): void {
  router.add(Maintenance, {
    alarm: (request, caller) => maintenance.alarm(request, caller),
    status: (_request, caller) => maintenance.status(caller),
    defragment: (_request, caller) => maintenance.defragment(caller),
    hash: (_request, caller) => maintenance.hash(caller),
    hashKV: (request, caller) => maintenance.hashKV(request, caller),
    snapshot: (_request, caller) => pieces(maintenance.snapshot(caller)),
    moveLeader: (request, caller) => maintenance.moveLeader(request, caller),
    downgrade: (request, caller) => maintenance.downgrade(request, caller),
  });
}

/** A file in pieces, and then its SHA-256, by which whoever restores it knows that it is whole. */
async function* pieces(file: Buffer): AsyncGenerator<SnapshotResponse> {
  for (let at = 0; at < file.byteLength; at += PIECE_BYTES) {
    const blob = file.subarray(at, at + PIECE_BYTES);
    yield create(SnapshotResponseSchema, { blob, remainingBytes: BigInt(file.byteLength - at - blob.byteLength) });
  }
  yield create(SnapshotResponseSchema, { blob: createHash("sha256").update(file).digest() });
}
