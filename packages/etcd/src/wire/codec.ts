import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { WireReader, WireType } from "./reader.ts";
import { WireWriter } from "./writer.ts";

/** What a message is made of: fields may be left out. */
export type Init<M extends Message> = MessageInitShape<GenMessage<M>>;

/** How the values of one kind of field are written and read. */
export interface Kind<T> {
  readonly wireType: number;
  /** What a field has that is not on the wire; undefined for a message, which is left out then. */
  readonly zero: () => T | undefined;
  /** Whether a field with this value is left out. */
  readonly isZero: (value: T) => boolean;
  readonly write: (writer: WireWriter, value: T) => void;
  readonly read: (reader: WireReader) => T;
}

/** A field with one value. */
export type One<T> = readonly [number: number, kind: Kind<T>];
/** A field with any number of values. */
export interface Many<T> {
  readonly many: One<T>;
}
/** Fields of which at most one has a value. */
export interface OneOf<U extends Union> {
  readonly oneOf: { readonly [C in NonNullable<U["case"]>]: One<ValueOf<U, C>> };
}

interface Union {
  readonly case: string | undefined;
  readonly value?: unknown;
}

type ValueOf<U extends Union, C> = Extract<U, { readonly case: C }>["value"];
type FieldOf<T> = [T] extends [Union] ? OneOf<T> : [T] extends [readonly (infer E)[]] ? Many<E> : One<T>;
type Names<M> = Exclude<keyof M, "$typeName" | "$unknown">;
/** The fields of a message, each in its own way: what has to be said of one is derived from its type. */
export type Fields<M extends Message> = {
  readonly [N in Names<M>]-?: FieldOf<NonNullable<M[N]>>;
};

/** A type of messages. It is one kind of value of a field, too. */
export interface MessageType<M extends Message> extends Kind<M> {
  readonly typeName: M["$typeName"];
  /** Throws `invalid-argument` for a number that is too large. */
  readonly encode: (message: Init<M>) => Uint8Array;
  /** Fields that are not known are left out. Throws `internal` for bytes that are no such message. */
  readonly decode: (bytes: Uint8Array) => M;
}

/** One field as the loops below use it. */
interface Slot {
  readonly name: string;
  readonly tag: number;
  readonly kind: Kind<unknown>;
  /** Whether it has a list of values. */
  readonly many: boolean;
  /** The field that stands for the choice which this one is part of. */
  readonly choice: string | undefined;
}

/** What the types above come to once it is not known any more whose fields they are. */
type AnyField = One<unknown> | Many<unknown> | { readonly oneOf: Readonly<Record<string, One<unknown>>> };
type Fieldset = Record<string, unknown>;

/** There is one at a time: nothing else runs while a message is written. */
const writer = new WireWriter();

/** Describes a type of messages by its fields; a function of these where it contains itself. */
export function message<M extends Message>(
  typeName: M["$typeName"],
  fields: Fields<M> | (() => Fields<M>),
): MessageType<M> {
  let known: Layout | undefined;
  const layout = (): Layout => (known ??= new Layout(typeName, typeof fields === "function" ? fields() : fields));
  return {
    typeName,
    wireType: WireType.delimited,
    zero: () => undefined,
    isZero: () => false,
    write: (to, value) => {
      const start = to.begin();
      layout().write(to, value as Fieldset);
      to.end(start);
    },
    read: (from) => {
      const outer = from.enter();
      const value = layout().read(from);
      from.leave(outer);
      return value as M;
    },
    encode: (value) => {
      writer.clear();
      layout().write(writer, value as Fieldset);
      return writer.take();
    },
    decode: (bytes) => layout().read(new WireReader(bytes)) as M,
  };
}

/** The fields of one type of messages, in the order of their numbers. */
class Layout {
  readonly #slots: readonly Slot[];
  readonly #byNumber: readonly (Slot | undefined)[];
  /** What a message has before anything was read: copied at once, which is faster than name by name. */
  readonly #blank: Fieldset;
  /** The same of fields that each message needs one of its own for. */
  readonly #zeros: readonly (readonly [name: string, zero: () => unknown])[];

  constructor(typeName: string, fields: object) {
    const named = Object.entries(fields as Record<string, AnyField>);
    this.#slots = named.flatMap(([name, field]) => slotsOf(name, field)).toSorted((a, b) => a.tag - b.tag);
    const byNumber: (Slot | undefined)[] = [];
    for (const slot of this.#slots) byNumber[slot.tag >>> 3] = slot;
    this.#byNumber = byNumber;
    const zeros = named.map(([name, field]) => [name, zeroOf(field)()] as const);
    this.#blank = { $typeName: typeName, ...Object.fromEntries(zeros.filter(([, zero]) => zero !== undefined)) };
    const own = named.filter(([, field]) => "oneOf" in field || "many" in field);
    this.#zeros = own.map(([name, field]) => [name, zeroOf(field)]);
  }

  write(to: WireWriter, message: Fieldset): void {
    for (const slot of this.#slots) {
      const { name, choice } = slot;
      if (choice !== undefined) {
        const chosen = message[choice] as Union | undefined;
        if (chosen?.case === name) writeValue(to, slot, chosen.value);
        continue;
      }
      const value = message[name];
      if (value === undefined) continue;
      if (slot.many) writeMany(to, slot, value as readonly unknown[]);
      else if (!slot.kind.isZero(value)) writeValue(to, slot, value);
    }
  }

  read(from: WireReader): Fieldset {
    const message: Fieldset = { ...this.#blank };
    for (const [name, zero] of this.#zeros) message[name] = zero();
    while (!from.done) {
      const tag = from.uint32();
      const slot = this.#byNumber[tag >>> 3];
      // Not known, or not of the kind that is: a newer etcd's, which says nothing to us.
      if (slot === undefined || !fits(slot, tag & 7)) from.skip(tag & 7);
      else readInto(message, slot, from, tag & 7);
    }
    return message;
  }
}

function slotsOf(name: string, field: AnyField): Slot[] {
  if ("oneOf" in field) {
    const choices = Object.entries(field.oneOf);
    return choices.map(([each, one]) => slot(each, one, false, name));
  }
  return "many" in field ? [slot(name, field.many, true, undefined)] : [slot(name, field, false, undefined)];
}

function slot(name: string, [number, kind]: One<unknown>, many: boolean, choice: string | undefined): Slot {
  return { name, tag: (number << 3) | kind.wireType, kind, many, choice };
}

function zeroOf(field: AnyField): () => unknown {
  if ("oneOf" in field) return () => ({ case: undefined });
  return "many" in field ? () => [] : field[1].zero;
}

function writeValue(to: WireWriter, { tag, kind }: Slot, value: unknown): void {
  to.uint32(tag);
  kind.write(to, value);
}

function writeMany(to: WireWriter, slot: Slot, values: readonly unknown[]): void {
  const { tag, kind } = slot;
  if (values.length === 0) return;
  if (kind.wireType === WireType.delimited) {
    for (const value of values) writeValue(to, slot, value);
    return;
  }
  // Numbers stand side by side behind one tag.
  to.uint32((tag & ~7) | WireType.delimited);
  const start = to.begin();
  for (const value of values) kind.write(to, value);
  to.end(start);
}

/** A list of numbers may stand side by side, or each on its own. */
function fits({ tag, many }: Slot, wireType: number): boolean {
  return (tag & 7) === wireType || (many && wireType === WireType.delimited);
}

function readInto(message: Fieldset, { name, kind, many, choice }: Slot, from: WireReader, wireType: number): void {
  if (choice !== undefined) {
    message[choice] = { case: name, value: kind.read(from) };
  } else if (!many) {
    message[name] = kind.read(from);
  } else if (wireType === kind.wireType) {
    (message[name] as unknown[]).push(kind.read(from));
  } else {
    const outer = from.enter();
    while (!from.done) (message[name] as unknown[]).push(kind.read(from));
    from.leave(outer);
  }
}
