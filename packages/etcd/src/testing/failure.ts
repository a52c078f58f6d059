import { EtcdError } from "../errors.ts";

/** The error of a call that must fail, which must be one of ours. */
export async function failure(call: Promise<unknown>): Promise<EtcdError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof EtcdError) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}
