import { randomBytes } from "node:crypto";

/** Where all chance comes from. Tests and the simulation bring their own, seeded. */
export interface Random {
  /** A number in [0, 1). */
  fraction(): number;
  /** A whole number of the given number of random bits, 0 included. */
  bits(count: number): bigint;
}

/** Unpredictable: from the operating system. */
export const systemRandom: Random = {
  fraction: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bits: (count) => BigInt.asUintN(count, BigInt(`0x0${randomBytes(Math.ceil(count / 8)).toString("hex")}`)),
};

/** The same numbers for the same seed (the mulberry32 generator). For tests only: it is predictable. */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  const next32 = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return {
    fraction: () => next32() / 2 ** 32,
    bits: (count) => {
      let value = 0n;
      for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(next32());
      return BigInt.asUintN(count, value);
    },
  };
}
