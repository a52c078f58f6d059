/**
 * HTTP servers that answer while they lead: for `node:http`, Express and Fastify.
 *
 * @module
 */
export { type FastifyReplyLike, type FastifyRequestLike, LeaderGate, type LeaderGateOptions } from "./leader-gate.ts";
