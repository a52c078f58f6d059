/** Who asks, and the revision of the auth store at which that was true. */
export interface AuthInfo {
  readonly user: string;
  readonly revision: bigint;
}

/** What a token is made for. */
export interface TokenSubject {
  readonly user: string;
  /** Of the auth store. */
  readonly revision: bigint;
  /** Of the log: tells the simple tokens of one user apart. */
  readonly index: bigint;
}

/** Makes tokens of one kind, and knows whose they are. */
export interface AuthTokens {
  /** Makes a token. Throws `EtcdServerError` where it can only read them. */
  assign(subject: TokenSubject): string;
  /**
   * Whose token this is; undefined for one that is not good.
   *
   * @param revision of the auth store, for tokens that do not carry one of their own
   */
  infoOf(token: string, revision: bigint): AuthInfo | undefined;
  /** To be called when a user is deleted, or has another password. */
  invalidateUser(user: string): void;
  /** To be called when authentication is turned off. */
  disable(): void;
  /** Ends all tokens as if their time were over: for the test kit. */
  expireAll(): void;
  /** Forgets the tokens that have run out. */
  tick(): void;
}
