import { create } from "@bufbuild/protobuf";
import {
  type Member,
  type MemberAddRequest,
  type MemberAddResponse,
  type MemberListResponse,
  MemberListResponseSchema,
  type MemberPromoteRequest,
  type MemberPromoteResponse,
  type MemberRemoveRequest,
  type MemberRemoveResponse,
  MemberSchema,
  type MemberUpdateRequest,
  type MemberUpdateResponse,
  MemberUpdateResponseSchema,
  type ResponseHeader,
} from "@tenure/etcd/rpc";

import { ANONYMOUS, type AuthStore, type Caller } from "./auth-store.ts";
import { refusal, unsupported } from "./errors.ts";

/** The name of the one member, by which tools know that this is not etcd. */
export const MEMBER_NAME = "tenure-embed";
/** etcd's default. Nothing listens there: a cluster of one has no peers. */
const PEER_URL = "http://localhost:2380";
const SCHEMES = new Set(["http:", "https:"]);

/** What the Cluster service is made of. */
export interface ClusterServiceOptions {
  readonly auth: AuthStore;
  readonly memberId: bigint;
  /** Where clients reach the server. */
  readonly clientUrls: readonly string[];
  /** The header of an answer. As etcd's, those about members have no revision. */
  readonly header: () => ResponseHeader;
  /** Hears of the addresses that the member was given for its peers. */
  readonly onPeerUrls: (peerUrls: readonly string[]) => void;
}

/** The Cluster service of a cluster that has one member and can have no other. */
export class ClusterService {
  readonly #options: ClusterServiceOptions;
  #peerUrls: readonly string[] = [PEER_URL];

  constructor(options: ClusterServiceOptions) {
    this.#options = options;
  }

  /** Where peers would find the member. */
  get peerUrls(): readonly string[] {
    return this.#peerUrls;
  }

  /** Takes back what an earlier server was told. */
  restore(peerUrls: readonly string[]): void {
    this.#peerUrls = peerUrls;
  }

  /** Cluster.MemberList: this server alone. */
  memberList(caller: Caller = ANONYMOUS): MemberListResponse {
    this.#options.auth.checkCaller(caller);
    return create(MemberListResponseSchema, { header: this.#options.header(), members: [this.#member()] });
  }

  /** Cluster.MemberAdd: refused, since there can be no other member. */
  memberAdd(request: MemberAddRequest, caller: Caller = ANONYMOUS): MemberAddResponse {
    if (!areUrls(request.peerURLs)) throw refusal("memberBadUrls");
    this.#checkAdmin(caller);
    throw unsupported("MemberAdd");
  }

  /** Cluster.MemberRemove: refused, since the last member cannot go. */
  memberRemove(request: MemberRemoveRequest, caller: Caller = ANONYMOUS): MemberRemoveResponse {
    this.#checkMember(request.ID, caller);
    throw refusal("memberNotEnoughStarted");
  }

  /** Cluster.MemberUpdate: changes what the list shows, and nothing else. */
  memberUpdate(request: MemberUpdateRequest, caller: Caller = ANONYMOUS): MemberUpdateResponse {
    this.#checkMember(request.ID, caller);
    this.#peerUrls = request.peerURLs;
    this.#options.onPeerUrls(request.peerURLs);
    return create(MemberUpdateResponseSchema, { header: this.#options.header(), members: [this.#member()] });
  }

  /** Cluster.MemberPromote: refused, since there is no learner. */
  memberPromote(request: MemberPromoteRequest, caller: Caller = ANONYMOUS): MemberPromoteResponse {
    this.#checkMember(request.ID, caller);
    throw refusal("memberNotLearner");
  }

  #checkMember(id: bigint, caller: Caller): void {
    this.#checkAdmin(caller);
    if (id !== this.#options.memberId) throw refusal("memberNotFound");
  }

  #checkAdmin(caller: Caller): void {
    const { auth } = this.#options;
    auth.checkAdmin(auth.infoOf(caller));
  }

  #member(): Member {
    return create(MemberSchema, {
      ID: this.#options.memberId,
      name: MEMBER_NAME,
      peerURLs: [...this.#peerUrls],
      clientURLs: [...this.#options.clientUrls],
    });
  }
}

/** Whether these are URLs of peers: some, each of a scheme, a host and a port. */
function areUrls(texts: readonly string[]): boolean {
  return texts.length > 0 && texts.every((text) => isUrl(text.trim()));
}

function isUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname } = new URL(text);
  return SCHEMES.has(protocol) && pathname === "/" && /:\d+$/.test(text);
}
