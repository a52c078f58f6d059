import { create } from "@bufbuild/protobuf";
import { type AlarmMember, AlarmMemberSchema, AlarmType, type TxnRequest } from "@tenure/etcd/rpc";

import { refusal } from "./errors.ts";

/** The alarms that are up, and what they forbid. */
export class AlarmStore {
  readonly #active: AlarmMember[] = [];
  /** As etcd: the alarm that was raised last, until one of any kind is the last of its kind to go. */
  #effective: AlarmType = AlarmType.NONE;

  /** The alarms of one kind; all of them for NONE. */
  list(alarm: AlarmType = AlarmType.NONE): readonly AlarmMember[] {
    return this.#active.filter((each) => alarm === AlarmType.NONE || each.alarm === alarm);
  }

  /** Raises an alarm and returns it. */
  activate(memberID: bigint, alarm: AlarmType): AlarmMember {
    const known = this.#find(memberID, alarm);
    if (known !== undefined) return known;
    const raised = create(AlarmMemberSchema, { memberID, alarm });
    if (this.list(alarm).length === 0) this.#effective = alarm;
    this.#active.push(raised);
    return raised;
  }

  /** Ends an alarm and returns it; undefined when there was none. */
  deactivate(memberID: bigint, alarm: AlarmType): AlarmMember | undefined {
    const known = this.#find(memberID, alarm);
    if (known === undefined) return undefined;
    this.#active.splice(this.#active.indexOf(known), 1);
    if (this.list(alarm).length === 0) this.#effective = AlarmType.NONE;
    return known;
  }

  /** Takes back the alarms of an earlier store. As etcd after a restart: one for damage goes before one for space. */
  restore(alarms: readonly Pick<AlarmMember, "memberID" | "alarm">[]): void {
    this.#active.splice(0, this.#active.length, ...alarms.map((each) => create(AlarmMemberSchema, each)));
    const has = (alarm: AlarmType): boolean => this.list(alarm).length > 0;
    if (has(AlarmType.CORRUPT)) this.#effective = AlarmType.CORRUPT;
    else this.#effective = has(AlarmType.NOSPACE) ? AlarmType.NOSPACE : AlarmType.NONE;
  }

  /** Throws when an alarm forbids a change that takes more space. */
  checkGrowth(): void {
    if (this.#effective === AlarmType.NOSPACE) throw refusal("noSpace");
    this.checkChange();
  }

  /** Throws when an alarm forbids a transaction. */
  checkTxn(request: TxnRequest): void {
    if (this.#effective === AlarmType.NONE) return;
    if (has(request, "requestPut")) this.checkGrowth();
    if (has(request, "requestPut") || has(request, "requestDeleteRange")) this.checkChange();
  }

  /** Throws when an alarm forbids every change. */
  checkChange(): void {
    if (this.#effective === AlarmType.CORRUPT) throw refusal("corrupt");
  }

  #find(memberID: bigint, alarm: AlarmType): AlarmMember | undefined {
    return this.#active.find((each) => each.memberID === memberID && each.alarm === alarm);
  }
}

/** Whether a transaction may do something, in either branch or a nested one. */
function has({ success, failure }: TxnRequest, wanted: "requestPut" | "requestDeleteRange"): boolean {
  return [...success, ...failure].some(
    ({ request }) => request.case === wanted || (request.case === "requestTxn" && has(request.value, wanted)),
  );
}
