import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";

/** A way to sign a token, by its name in JWT (RFC 7518, 3.1 and RFC 8037, 3.1). */
export type JwtMethod = `${"RS" | "PS" | "ES" | "HS"}${256 | 384 | 512}` | "EdDSA";

/** Every {@link JwtMethod}. */
const JWT_METHODS: readonly string[] = [
  ...["RS", "PS", "ES", "HS"].flatMap((family) => [256, 384, 512].map((bits) => `${family}${bits}`)),
  "EdDSA",
];

/** The keys that tokens are signed with and checked by. */
export interface JwtKeyOptions {
  /** How tokens are signed; one that is signed in another way is not good. */
  readonly signMethod: JwtMethod;
  /** Signs tokens, in PEM; for HS256 and its like the secret itself. Without it tokens come from somebody else. */
  readonly privateKey?: string | Uint8Array | undefined;
  /** Checks tokens, in PEM. Default: what belongs to the private key. Not for HS256 and its like. */
  readonly publicKey?: string | Uint8Array | undefined;
}

/** What the first letters of a method say. */
type Family = "RS" | "PS" | "ES" | "HS" | "Ed";

const KEY_TYPES: Readonly<Record<Exclude<Family, "HS">, string>> = { RS: "rsa", PS: "rsa", ES: "ec", Ed: "ed25519" };
const CURVES: Readonly<Record<string, string>> = { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" };

/** Signs bytes and checks signatures by one method. */
export class JwtKey {
  readonly method: JwtMethod;
  readonly #family: Family;
  readonly #digest: string;
  readonly #private: KeyObject | Buffer | undefined;
  readonly #public: KeyObject | undefined;

  /** Throws an Error that says in one line which key cannot be used and why; its `code` is INVALID_JWT_KEY. */
  constructor({ signMethod, privateKey, publicKey }: JwtKeyOptions) {
    if (!JWT_METHODS.includes(signMethod)) {
      throw unusable(`the sign method "${signMethod}" is none of ${JWT_METHODS.join(", ")}`);
    }
    this.method = signMethod;
    this.#family = signMethod.slice(0, 2) as Family;
    this.#digest = `sha${signMethod.slice(2)}`;
    if (this.#family === "HS") {
      if (privateKey === undefined || privateKey.length === 0) throw unusable(`${signMethod} needs a private key`);
      this.#private = bytesOf(privateKey);
      return;
    }
    if (privateKey === undefined && publicKey === undefined) {
      throw unusable(`${signMethod} needs a private key, or a public one to check tokens of others`);
    }
    const own = privateKey === undefined ? undefined : this.#read("private", createPrivateKey, privateKey);
    const given = publicKey === undefined ? undefined : this.#read("public", createPublicKey, publicKey);
    this.#private = own;
    this.#public = own === undefined ? given : createPublicKey(own);
    if (own !== undefined && given !== undefined && this.#public?.equals(given) !== true) {
      throw unusable("the public key and the private key do not belong together");
    }
  }

  /** Whether there is more than a public key. */
  get canSign(): boolean {
    return this.#private !== undefined;
  }

  /** The signature of a text. Only where {@link canSign} says so. */
  sign(text: string): Buffer {
    const key = this.#private;
    if (key === undefined) throw new TypeError("there is no private key");
    if (Buffer.isBuffer(key)) return createHmac(this.#digest, key).update(text).digest();
    return sign(this.#algorithm(), Buffer.from(text), { key, ...this.#padding(constants.RSA_PSS_SALTLEN_DIGEST) });
  }

  verify(text: string, signature: Buffer): boolean {
    if (this.#public !== undefined) {
      const key = { key: this.#public, ...this.#padding(constants.RSA_PSS_SALTLEN_AUTO) };
      return verify(this.#algorithm(), Buffer.from(text), key, signature);
    }
    const expected = this.sign(text);
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }

  /** Ed25519 has its own digest. */
  #algorithm(): string | null {
    return this.#family === "Ed" ? null : this.#digest;
  }

  #padding(saltLength: number): { readonly padding?: number; readonly saltLength?: number; dsaEncoding: "ieee-p1363" } {
    const dsaEncoding = "ieee-p1363";
    return this.#family === "PS"
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength, dsaEncoding }
      : { dsaEncoding };
  }

  #read(kind: string, parse: (pem: Buffer) => KeyObject, pem: string | Uint8Array): KeyObject {
    const key = parsed(kind, parse, pem);
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
    const wanted = KEY_TYPES[this.#family as Exclude<Family, "HS">];
    if (type !== wanted) throw unusable(`the ${kind} key is of type ${type}, and ${this.method} needs ${wanted}`);
    const curve = CURVES[this.method];
    if (curve !== undefined && details?.namedCurve !== curve) {
      throw unusable(`the ${kind} key is on the curve ${details?.namedCurve}, and ${this.method} needs ${curve}`);
    }
    return key;
  }
}

function parsed(kind: string, parse: (pem: Buffer) => KeyObject, pem: string | Uint8Array): KeyObject {
  try {
    return parse(bytesOf(pem));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^error:[0-9A-F]*:/, "") : String(cause);
    throw unusable(`the ${kind} key cannot be used: ${reason}`, cause);
  }
}

function bytesOf(text: string | Uint8Array): Buffer {
  return typeof text === "string" ? Buffer.from(text) : Buffer.from(text);
}

function unusable(message: string, cause?: unknown): Error {
  return Object.assign(new Error(`jwt: ${message}`, { cause }), { code: "INVALID_JWT_KEY" });
}
