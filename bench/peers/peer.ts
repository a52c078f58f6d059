import type { PeerConfig } from "./protocol.ts";

/** A library that elects in etcd, as the benchmark uses it. */
export type Connect = (config: PeerConfig) => PeerClient;

/** A connection to etcd. */
export interface PeerClient {
  /** A candidate with a session of its own; the same one for the same number. */
  seat(index: number): Seat;
  /** Tells of each leader, until the process ends. Resolves when it has begun to look. */
  observe(election: string, onLeader: (value: string) => void): Promise<void>;
  close(): Promise<void>;
}

export interface Seat {
  /** Makes the session, so that a campaign finds it. */
  ready(): Promise<void>;
  campaign(election: string, value: string): Promise<Held>;
}

/** A leadership. */
export interface Held {
  proclaim(value: string): Promise<void>;
  resign(): Promise<void>;
}
