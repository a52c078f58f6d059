/** Where all chance comes from. Tests and the simulation bring their own, seeded. */
export interface Random {
  /** A number in [0, 1). */
  fraction(): number;
  /** A whole number of the given number of random bits, 0 included. */
  bits(count: number): bigint;
}

/** Bits are unpredictable, from the operating system; fractions, which pauses are stretched by, need not be. */
export const systemRandom: Random = {
  fraction: () => Math.random(),
  bits: (count) => BigInt.asUintN(count, BigInt(`0x0${randomBytes(Math.ceil(count / 8)).toString("hex")}`)),
};

/** Node's cryptography takes milliseconds to load, and who only looks on needs none. */
function randomBytes(count: number): Buffer {
  return process.getBuiltinModule("node:crypto").randomBytes(count);
}

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
