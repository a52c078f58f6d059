import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

import { EtcdServerError, GrpcCode } from "../core/errors.ts";

const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** What etcd's bcrypt takes. */
const MAX_PASSWORD_BYTES = 72;

const derive = promisify<string, Uint8Array, number, Buffer>(scrypt);

/**
 * Hashes a password, off the thread that serves: with scrypt, which Node brings and which is as slow to guess as the
 * bcrypt of etcd. The hash never leaves this process.
 *
 * @throws EtcdServerError for more than 72 bytes, as etcd refuses it.
 */
export async function hashPassword(password: string): Promise<string> {
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new EtcdServerError(GrpcCode.unknown, "bcrypt: password length exceeds 72 bytes");
  }
  const salt = randomBytes(SALT_BYTES);
  return Buffer.concat([salt, await derive(password, salt, KEY_BYTES)]).toString("base64");
}

/** Whether a password is the one of a hash. False for what is no hash of {@link hashPassword}. */
export async function isPassword(password: string, hash: string): Promise<boolean> {
  const bytes = Buffer.from(hash, "base64");
  if (bytes.byteLength !== SALT_BYTES + KEY_BYTES) return false;
  const key = await derive(password, bytes.subarray(0, SALT_BYTES), KEY_BYTES);
  return timingSafeEqual(key, bytes.subarray(SALT_BYTES));
}
