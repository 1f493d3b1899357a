/**
 * Reads raw replies, which look different in each client library and protocol. A map is an object, a Map, an array of names
 * and values, or an array of pairs. A text is a string or bytes. A number may be text.
 */

import { refusal, type Refusal } from "./errors.js";
import type {
  Alert,
  AlertType,
  Audit,
  Event,
  FeedEntry,
  Held,
  Line,
  Quota,
  Reservation,
  State,
  Stock,
  Units,
  Unreadable,
  Warehouse,
} from "./results.js";

export type Read<T> = (value: unknown) => T;

/** An error reply. Adapters throw it, and put it in the place of an element that is an error. */
export class ServerError extends Error {
  readonly text: string;

  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.text = text;
  }
}

const decoder = new TextDecoder();

export function text(value: unknown): string {
  return value instanceof Uint8Array ? decoder.decode(value) : String(value);
}

export function number(value: unknown): number {
  if (typeof value === "number") return value;
  const word = text(value);
  return /^[+-]?inf(inity)?$/iu.test(word) ? (word.startsWith("-") ? -Infinity : Infinity) : Number(word);
}

export function time(value: unknown): Date {
  return new Date(number(value));
}

export function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (value instanceof Set) return [...value];
  throw new TypeError(`an array was expected, not ${typeof value}`);
}

/** A map. */
export function mapping(value: unknown): Map<string, unknown> {
  if (value instanceof Map) return new Map([...value].map(([name, field]) => [text(name), field]));
  if (!Array.isArray(value)) return new Map(Object.entries(value as object));
  const found = new Map<string, unknown>();
  if (isPair(value[0])) {
    for (const { key, value: field } of value as Pair[]) found.set(text(key), field);
  } else if (Array.isArray(value[0])) {
    for (const [name, field] of value) found.set(text(name), field);
  } else {
    for (let i = 0; i + 1 < value.length; i += 2) found.set(text(value[i]), value[i + 1]);
  }
  return found;
}

/** How GLIDE gives an entry of a map. */
interface Pair {
  readonly key: unknown;
  readonly value: unknown;
}

function isPair(value: unknown): value is Pair {
  return typeof value === "object" && value !== null && "key" in value && "value" in value;
}

export function nullable<T>(read: Read<T>): Read<T | null> {
  return (value) => (value === null || value === undefined ? null : read(value));
}

export const nothing: Read<void> = () => {};

export function each<T>(read: Read<T>): Read<T[]> {
  return (values) => list(values).map((value) => read(value));
}

/** Reads an array in which elements can be errors. */
export function outcomes<T>(read: Read<T>, words: readonly string[]): Read<(T | Refusal)[]> {
  return each((value) => (value instanceof ServerError ? refusal(value.text, words) : read(value)));
}

/** A page of a walk: the next cursor and the entries. */
export interface Page<T> {
  readonly cursor: string;
  readonly entries: readonly T[];
}

export function page<T>(read: Read<T>): Read<Page<T>> {
  return (value) => {
    const [cursor, entries] = list(value);
    return { cursor: text(cursor), entries: each(read)(entries) };
  };
}

/** A field of a map if it has a value, as a property. */
function optional<K extends string, T>(found: Map<string, unknown>, field: string, name: K, read: Read<T>): { [P in K]?: T } {
  const value = found.get(field);
  return value === null || value === undefined ? {} : ({ [name]: read(value) } as { [P in K]?: T });
}

function line(value: unknown): Line {
  const found = mapping(value);
  return {
    product: text(found.get("product_id")),
    quantity: number(found.get("quantity")),
    ...optional(found, "warehouse", "warehouse", text),
  };
}

const lines = (value: unknown): Line[] => each(line)(value ?? []);

export function held(value: unknown): Held {
  const found = mapping(value);
  return {
    id: text(found.get("reservation_id")),
    expiresAt: time(found.get("expires_at")),
    items: lines(found.get("items")),
    short: lines(found.get("short")),
  };
}

export function reservation(value: unknown): Reservation {
  const found = mapping(value);
  return {
    id: text(found.get("reservation_id")),
    state: text(found.get("state")) as State,
    expiresAt: time(found.get("expires_at")),
    items: lines(found.get("items")),
    ...optional(found, "created_at", "createdAt", time),
    ...optional(found, "resolved_at", "resolvedAt", time),
    ...optional(found, "data", "data", text),
    ...optional(found, "buyer", "buyer", text),
    sold: lines(found.get("sold")),
    returned: lines(found.get("returned")),
    rolledBack: lines(found.get("rolled_back")),
    asked: lines(found.get("asked")),
    short: lines(found.get("short")),
    ...optional(found, "replaced_by", "replacedBy", text),
  };
}

export function stock(value: unknown): Stock | Unreadable {
  const found = mapping(value);
  const product = text(found.get("product_id"));
  if (found.has("error")) return { product, error: refusal(text(found.get("error")), [product]) };
  const threshold = number(found.get("threshold"));
  return {
    product,
    ...units(found),
    threshold: threshold < 0 ? null : threshold,
    warehouses: each(warehouse)(found.get("warehouses")),
  };
}

function warehouse(value: unknown): Warehouse {
  const found = mapping(value);
  return {
    name: text(found.get("warehouse")),
    priority: number(found.get("priority")),
    isClosed: number(found.get("closed")) === 1,
    ...units(found),
  };
}

function units(found: Map<string, unknown>): Units {
  return {
    available: number(found.get("available")),
    reserved: number(found.get("reserved")),
    onHand: number(found.get("on_hand")),
    floor: number(found.get("floor")),
    reservable: number(found.get("reservable")),
  };
}

export function quota(value: unknown): Quota {
  const found = mapping(value);
  return {
    limit: nullable(number)(found.get("limit")),
    held: number(found.get("held")),
    bought: number(found.get("bought")),
    left: nullable(number)(found.get("left")),
  };
}

export function alert(value: unknown): Alert {
  const found = mapping(value);
  return {
    product: text(found.get("product_id")),
    type: text(found.get("type")) as AlertType,
    available: number(found.get("available")),
    threshold: number(found.get("threshold")),
    timestamp: time(found.get("timestamp")),
  };
}

export function audit(value: unknown): Audit {
  const found = mapping(value);
  return {
    sku: text(found.get("sku")),
    reserved: number(found.get("reserved")),
    held: number(found.get("held")),
    drift: number(found.get("drift")),
    stray: number(found.get("stray") ?? 0),
  };
}

// --- the feed ---

/** An entry of a stream; its fields are null if it was trimmed. */
export type StreamEntry = readonly [id: string, fields: unknown];

const isEntry = (value: unknown): boolean =>
  (typeof value === "string" || value instanceof Uint8Array) && /^\d+-\d+$/u.test(text(value));

/**
 * The entries of XREADGROUP of one stream. Client libraries convert this reply in ways of their own, so entries are found by
 * their ids.
 */
export function entries(value: unknown): StreamEntry[] {
  if (Array.isArray(value)) {
    return value.length === 2 && isEntry(value[0]) ? entry(value[0], value[1]) : value.flatMap(entries);
  }
  if (isPair(value)) return entry(value.key, value.value);
  if (value instanceof Map) return [...value].flatMap(([name, part]) => entry(name, part));
  if (value !== null && typeof value === "object" && !(value instanceof Uint8Array)) {
    return Object.entries(value).flatMap(([name, part]) => entry(name, part));
  }
  return [];
}

function entry(name: unknown, part: unknown): StreamEntry[] {
  return isEntry(name) ? [[text(name), part ?? null]] : entries(part);
}

export function feedEntry(id: string, fields: unknown): FeedEntry {
  const found = mapping(fields);
  const event = text(found.get("event"));
  if (event === "alert") return { entry: id, event, alert: alert(fields) };
  return {
    entry: id,
    event: event as Event,
    sku: text(found.get("sku")),
    quantity: number(found.get("quantity")),
    available: number(found.get("available")),
    reserved: number(found.get("reserved")),
    timestamp: time(found.get("timestamp")),
    ...optional(found, "reservation_id", "reservation", text),
    ...optional(found, "replaces", "replaces", text),
    ...optional(found, "note", "note", text),
    ...optional(found, "user", "user", text),
  };
}

/** How far a group has read a stream. */
export interface Position {
  /** How many entries there have ever been. */
  readonly added: number;
  /** The id of the newest entry that there has ever been. */
  readonly newest: string;
  /** How many entries were trimmed before the group has read them; undefined if the server does not know. */
  readonly missed: number | undefined;
}

/**
 * Reads XINFO STREAM FULL. The server trims the oldest entries. So if the oldest one that is left was delivered, or the newest
 * that there has ever been, none is missing.
 */
export function position(value: unknown, group: string): Position {
  const found = mapping(value);
  const added = number(found.get("entries-added"));
  const gone = added - number(found.get("length"));
  const newest = text(found.get("last-generated-id"));
  const first = entries(found.get("entries"))[0]?.[0];
  const mine = list(found.get("groups"))
    .map(mapping)
    .find((part) => text(part.get("name")) === group);
  const last = mine ? text(mine.get("last-delivered-id")) : newest;
  const read = nullable(number)(mine?.get("entries-read"));
  const isPast = (first !== undefined && !isAfter(first, last)) || !isAfter(newest, last);
  const missed = gone === 0 || isPast ? 0 : read === null ? undefined : Math.max(gone - read, 0);
  return { added, newest, missed };
}

function isAfter(one: string, other: string): boolean {
  const [at = 0, count = 0] = one.split("-").map(Number);
  const [otherAt = 0, otherCount = 0] = other.split("-").map(Number);
  return at > otherAt || (at === otherAt && count > otherCount);
}
