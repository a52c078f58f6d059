/**
 * Mends the `:authority` of clients that put a whole URL there.
 *
 * etcdctl 3.4 sends `http://host:port` as `:authority` for `endpoint status` and its like. etcd takes it, Node's
 * HTTP/2 refuses it before our code sees anything, so the scheme is cut off the first request of a connection, in its
 * bytes. The later requests of the connection refer to that header by its number in the compression table (RFC 7541,
 * 2.3.3).
 *
 * @module
 */

const FRAME_HEADER_BYTES = 9;
const TYPE_HEADERS = 1;
const TYPE_SETTINGS = 4;
const FLAG_ACK = 1;
const FLAG_END_HEADERS = 4;
/** A block with these flags begins with other fields; no client with the fault sets them. */
const FLAGS_PADDED_OR_PRIORITY = 0x28;
/** The number of `:authority` in HPACK's static table. */
const AUTHORITY = 1;

/** The client's preface: no frame, but what comes before the first. */
const PREFACE_BYTES = 24;
/** A frame of type SETTINGS that sets nothing. */
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, TYPE_SETTINGS, 0, 0, 0, 0, 0]);

/** What the start of a connection says so far. */
export type Opening =
  /** The first request is not complete yet. */
  | { readonly t: "partial" }
  /** It is: these are the bytes to go on with. */
  | { readonly t: "complete"; readonly bytes: Buffer };

/**
 * Reads the start of a connection up to its first request.
 *
 * @param bytes all that has arrived
 * @param settingsSent whether {@link EMPTY_SETTINGS} was sent: its acknowledgement is taken out then
 */
export function readOpening(bytes: Buffer, settingsSent: boolean): Opening {
  const frames: Buffer[] = [];
  let isRequested = false;
  // It comes after the request when the two have crossed, and would be one too many for who goes on.
  let isAcknowledged = !settingsSent;
  let at = PREFACE_BYTES;
  while (!(isRequested && isAcknowledged)) {
    if (at + FRAME_HEADER_BYTES > bytes.length) return { t: "partial" };
    const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.length) return { t: "partial" };
    const type = bytes.readUInt8(at + 3);
    const frame = bytes.subarray(at, end);
    if (!isAcknowledged && type === TYPE_SETTINGS && (bytes.readUInt8(at + 4) & FLAG_ACK) !== 0) {
      isAcknowledged = true;
    } else if (!isRequested && type === TYPE_HEADERS) {
      isRequested = true;
      frames.push(mendHeaders(frame));
    } else {
      frames.push(frame);
    }
    at = end;
  }
  return { t: "complete", bytes: Buffer.concat([bytes.subarray(0, PREFACE_BYTES), ...frames, bytes.subarray(at)]) };
}

/** For a client that waits for our settings before its first request. */
export function emptySettings(): Buffer {
  return EMPTY_SETTINGS;
}

/**
 * A HEADERS frame without a scheme in its `:authority`; the frame itself if there is none, or it is of another make.
 */
function mendHeaders(frame: Buffer): Buffer {
  const flags = frame.readUInt8(4);
  if ((flags & FLAG_END_HEADERS) === 0 || (flags & FLAGS_PADDED_OR_PRIORITY) !== 0) return frame;
  const block = frame.subarray(FRAME_HEADER_BYTES);
  const value = findAuthority(block);
  if (value === undefined) return frame;
  const text = block.subarray(value.textAt, value.end);
  const mended = value.huffman ? withoutSchemeHuffman(text) : withoutScheme(text);
  if (mended === undefined) return frame;
  const length = encodeLength(mended.length, value.huffman);
  const newBlock = Buffer.concat([block.subarray(0, value.at), length, mended, block.subarray(value.end)]);
  const header = Buffer.from(frame.subarray(0, FRAME_HEADER_BYTES));
  header.writeUIntBE(newBlock.length, 0, 3);
  return Buffer.concat([header, newBlock]);
}

/** Where a literal string stands in a header block. */
interface Literal {
  /** Of its length. */
  readonly at: number;
  readonly textAt: number;
  readonly end: number;
  readonly huffman: boolean;
}

/** The literal value of `:authority`, as HPACK's representations are read (RFC 7541, 6). */
function findAuthority(block: Buffer): Literal | undefined {
  for (let at = 0; at < block.length;) {
    const first = block.readUInt8(at);
    if (first >= 0x80) {
      at = readInteger(block, at, 7).end;
    } else if ((first & 0xe0) === 0x20) {
      at = readInteger(block, at, 5).end;
    } else {
      const name = readInteger(block, at, first >= 0x40 ? 6 : 4);
      const value = readLiteral(block, name.value === 0 ? readLiteral(block, name.end).end : name.end);
      if (name.value === AUTHORITY) return value;
      at = value.end;
    }
  }
  return undefined;
}

function readLiteral(block: Buffer, at: number): Literal {
  const huffman = (block[at] ?? 0) >= 0x80;
  const length = readInteger(block, at, 7);
  return { at, textAt: length.end, end: length.end + length.value, huffman };
}

/** An integer with a prefix of so many bits (RFC 7541, 5.1). */
function readInteger(block: Buffer, at: number, prefixBits: number): { readonly value: number; readonly end: number } {
  const max = 2 ** prefixBits - 1;
  let value = (block[at] ?? 0) & max;
  let end = at + 1;
  if (value < max) return { value, end };
  for (let factor = 1; ; factor *= 128) {
    const byte = block[end++] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end };
  }
}

/** The length of a literal of less than 127 bytes and more, with its Huffman bit. */
function encodeLength(length: number, huffman: boolean): Buffer {
  const flag = huffman ? 0x80 : 0;
  if (length < 127) return Buffer.from([flag | length]);
  const bytes = [flag | 127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function withoutScheme(text: Buffer): Buffer | undefined {
  const scheme = /^https?:\/\//.exec(text.toString("latin1"))?.[0];
  return scheme === undefined ? undefined : text.subarray(scheme.length);
}

/** The Huffman codes of the letters of a scheme (RFC 7541, appendix B). */
const CODES: Readonly<Record<string, string>> = {
  "/": "011000",
  ":": "1011100",
  h: "100111",
  p: "101011",
  s: "01000",
  t: "01001",
};
const SCHEMES = ["http://", "https://"].map((scheme) => Array.from(scheme, (letter) => CODES[letter] ?? "").join(""));

/** The same on compressed text: no code is the start of another, so the scheme is cut off as bits. */
function withoutSchemeHuffman(text: Buffer): Buffer | undefined {
  const bits = [...text].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const scheme = SCHEMES.find((codes) => bits.startsWith(codes));
  if (scheme === undefined) return undefined;
  const kept = bits.slice(scheme.length);
  const length = textLength(kept);
  if (length === undefined) return undefined;
  // Filled up with ones to whole bytes, and no further: eight of them would be a fault.
  const padded = kept.slice(0, length).padEnd(Math.ceil(length / 8) * 8, "1");
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

/**
 * Bits of the text before what fills up its last byte. The codes of letters, digits and what else a host and a port are
 * made of have five to eight bits, and their first bits tell how many; undefined where there is any other.
 */
function textLength(bits: string): number | undefined {
  const SHORT_CODES = [
    { length: 5, below: 0b01010 },
    { length: 6, below: 0b101110 },
    { length: 7, below: 0b1111100 },
    { length: 8, below: 0b11111110 },
  ];
  let at = 0;
  while (bits.slice(at).includes("0")) {
    const start = at;
    const code = SHORT_CODES.find(({ length, below }) => {
      const next = bits.slice(start, start + length);
      return next.length === length && Number.parseInt(next, 2) < below;
    });
    if (code === undefined) return undefined;
    at += code.length;
  }
  return at;
}
