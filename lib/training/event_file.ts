/**
 * Event files of TensorBoard: a TFRecord file of `Event` protocol buffers (tensorflow/core/util/
 * event.proto and tensorflow/core/framework/summary.proto), of which scalars need a handful of
 * fields. All numbers are little-endian.
 */

/** A scalar at a step of training. */
export interface ScalarEvent {
  tag: string;
  /** Stored as a 32-bit float. */
  value: number;
  /** A whole number from 0. */
  step: number;
  /** Seconds since 1970. */
  wallTime: number;
}

/**
 * What a file begins with: its version, and the message that a new session starts, on which a
 * TensorBoard that is open forgets what an earlier file of the same run said.
 *
 * @param wallTime Seconds since 1970.
 */
export function fileHeader(wallTime: number): Uint8Array<ArrayBuffer> {
  const START = 1; // SessionLog.SessionStatus
  return concat([
    record(concat([double(1, wallTime), text(3, "brain.Event:2")])),
    record(concat([double(1, wallTime), integer(2, 0), message(7, integer(1, START))])),
  ]);
}

/** Scalars as records, one each, to be put after a {@linkcode fileHeader}. */
export function scalarRecords(events: Iterable<ScalarEvent>): Uint8Array<ArrayBuffer> {
  const records: Uint8Array[] = [];
  for (const { tag, value, step, wallTime } of events) {
    const summary = message(1, concat([text(1, tag), float(2, value)]));
    records.push(record(concat([double(1, wallTime), integer(2, step), message(5, summary)])));
  }
  return concat(records);
}

/** TFRecord: length (8 bytes), its checksum (4), the data, their checksum (4). */
function record(data: Uint8Array): Uint8Array {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(data.length), true);
  return concat([length, checksum(length), data, checksum(data)]);
}

/** CRC-32C, rotated and offset as TFRecord does, so that checksums of checksums stay useful. */
function checksum(data: Uint8Array): Uint8Array {
  const crc = crc32c(data);
  const masked = ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
  return bytes(4, (view) => view.setUint32(0, masked, true));
}

const CASTAGNOLI = 0x82f63b78; // reflected

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ CASTAGNOLI : value >>> 1;
  return value;
});

/** CRC-32C (Castagnoli, RFC 3720): of "123456789" it is 0xe3069283. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = table[(crc ^ byte) & 0xff]! ^ crc >>> 8;
  return ~crc >>> 0;
}

// Fields of a protocol buffer: the number of the field with its wire type, then the value.

function double(field: number, value: number): Uint8Array {
  return concat([varint(field << 3 | 1), bytes(8, (view) => view.setFloat64(0, value, true))]);
}

function float(field: number, value: number): Uint8Array {
  return concat([varint(field << 3 | 5), bytes(4, (view) => view.setFloat32(0, value, true))]);
}

function integer(field: number, value: number): Uint8Array {
  return concat([varint(field << 3), varint(value)]);
}

function text(field: number, value: string): Uint8Array {
  return message(field, new TextEncoder().encode(value));
}

function message(field: number, content: Uint8Array): Uint8Array {
  return concat([varint(field << 3 | 2), varint(content.length), content]);
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
function varint(value: number): Uint8Array {
  const parts: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) parts.push(value % 128 | 128);
  return Uint8Array.of(...parts, value);
}

function bytes(length: number, fill: (view: DataView) => void): Uint8Array {
  const result = new Uint8Array(length);
  fill(new DataView(result.buffer));
  return result;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
