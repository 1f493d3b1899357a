/**
 * Every command: its words, its key, and how its reply is read. A request is made once, and then sent as often as it takes.
 * Ids and tokens are therefore the same in each try, which makes it safe to send again.
 */

import { InvalidRequest, type Refusal } from "./errors.js";
import { newId } from "./names.js";
import * as replies from "./replies.js";
import type { Page, Position, Read, StreamEntry } from "./replies.js";
import type { Alert, AlertType, Audit, Held, Items, Quota, Reservation, Split, Stock, Unreadable } from "./results.js";

/** A command that can be sent. */
export interface Request<T> {
  readonly words: readonly string[];
  /** What decides to which node of a cluster it is sent; undefined if any master can answer. */
  readonly key: string | undefined;
  readonly read: Read<T>;
  /** Whether it may be sent again if there was no answer. */
  readonly canRepeat: boolean;
  /** Whether this refusal says that an earlier try, whose answer was lost, was carried out. */
  readonly isDone?: (refusal: Refusal) => boolean;
}

/** When a reservation ends: in so many seconds, or at a time. */
export type Until = { readonly ttl?: number; readonly deadline?: never } | { readonly ttl?: never; readonly deadline?: Date };

/**
 * A token of yours; true, the default, for a new one, so that the retries of this call are safe; false for none: then the
 * command is sent once.
 */
export interface Once {
  readonly once?: string | boolean;
}

/** Why stock changes: kept in the feed. */
export interface Note {
  readonly note?: string;
}

/** The options of reserve and replace. */
export type ReserveOptions = Until & {
  /** A text that is kept with the reservation. */
  readonly data?: string;
  readonly split?: Split;
  /** Holds what there is. */
  readonly partial?: boolean;
  readonly buyer?: string;
};

type Word = string | number;

function request<T>(
  words: readonly (Word | readonly Word[])[],
  read: Read<T>,
  more: Partial<Pick<Request<T>, "canRepeat" | "isDone">> = {},
): Request<T> {
  const flat = words.flat().map(String);
  return { words: flat, key: flat[1], read, canRepeat: true, ...more };
}

// --- options ---

const option = (name: string, value: Word | undefined): Word[] => (value === undefined ? [] : [name, value]);
const flag = (name: string, isSet: boolean | undefined): Word[] => (isSet ? [name] : []);
const token = ({ once = true }: Once): Word[] => (once === false ? [] : ["ONCE", once === true ? newId() : once]);

function until({ ttl, deadline }: Until): Word[] {
  if (deadline !== undefined) return ["PXAT", deadline.getTime()];
  return ttl === undefined ? [] : ["PX", Math.round(ttl * 1000)];
}

function pairs(items: Items): Word[] {
  return Symbol.iterator in items ? [...(items as Iterable<readonly [string, number]>)].flat() : Object.entries(items).flat();
}

const itemsOf = (items: Items | undefined): Word[] => (items === undefined ? [] : ["ITEMS", ...pairs(items)]);

function holding(options: ReserveOptions): Word[] {
  return [
    ...until(options),
    ...option("DATA", options.data),
    ...option("SPLIT", options.split),
    ...flag("PARTIAL", options.partial),
    ...option("BUYER", options.buyer),
  ];
}

// --- reservations ---

export function reserve(id: string, items: Items, options: ReserveOptions & { readonly once?: string }): Request<Held> {
  if (id.endsWith("*")) {
    throw new TypeError("make the id before the first try, with newId(): a retry of '*' would reserve twice");
  }
  return request(["INV.RESERVE", id, holding(options), option("ONCE", options.once), itemsOf(items)], replies.held);
}

export function replace(old: string, next: string, items: Items, options: ReserveOptions & Once): Request<Held> {
  return request(["INV.REPLACE", old, next, holding(options), token(options), itemsOf(items)], replies.held, {
    // Without a token, a delayed duplicate of a change in place undoes a later change.
    canRepeat: options.once !== false || old !== next,
  });
}

export interface PartOptions extends Once {
  /** Only these quantities; the rest stays reserved. */
  readonly items?: Items;
}

export interface CommitOptions extends PartOptions {
  /** Sells after the deadline, if the units are still available. */
  readonly late?: boolean;
}

export interface RollbackOptions extends PartOptions {
  /** Remembers an unknown id, so that a delayed RESERVE is refused. */
  readonly fence?: boolean;
}

// The id of a whole reservation is token enough, unless the caller has one.
const partToken = (options: PartOptions): Word[] =>
  options.items !== undefined || typeof options.once === "string" ? token(options) : [];
const canRepeatPart = (options: PartOptions): boolean => options.items === undefined || options.once !== false;

export function commit(id: string, options: CommitOptions): Request<void> {
  const words = ["INV.COMMIT", id, flag("LATE", options.late), partToken(options), itemsOf(options.items)];
  return request(words, replies.nothing, { canRepeat: canRepeatPart(options) });
}

export function rollback(id: string, options: RollbackOptions): Request<void> {
  const words = ["INV.ROLLBACK", id, flag("FENCE", options.fence), partToken(options), itemsOf(options.items)];
  return request(words, replies.nothing, { canRepeat: canRepeatPart(options) });
}

export function extend(id: string, options: Until & Once): Request<Date> {
  const words = until(options);
  if (words.length === 0) throw new TypeError("give ttl or deadline");
  return request(["INV.EXTEND", id, words, token(options)], replies.time, {
    // The same point in time can be set twice.
    canRepeat: options.once !== false || options.deadline !== undefined,
  });
}

export const get = (id: string): Request<Reservation | null> =>
  request(["INV.GET", id], replies.nullable(replies.reservation));

/** The id and the items of a reservation of a batch. */
export type Order = readonly [id: string, items: Items];

export function mreserve(orders: readonly Order[], options: Until): Request<(Date | Refusal)[]> {
  const words = ["INV.MRESERVE", ...until(options), orders.length].map(String);
  for (const [id, items] of orders) {
    const flat = pairs(items);
    words.push(id, String(flat.length / 2), ...flat.map(String));
  }
  return { words, key: orders[0]?.[0], read: replies.outcomes(replies.time, words), canRepeat: true };
}

export const mcommit = (ids: readonly string[]): Request<(void | Refusal)[]> => whole("INV.MCOMMIT", ids);
export const mrollback = (ids: readonly string[]): Request<(void | Refusal)[]> => whole("INV.MROLLBACK", ids);

function whole(name: string, ids: readonly string[]): Request<(void | Refusal)[]> {
  const words = [name, ...ids];
  return { words, key: ids[0], read: replies.outcomes(replies.nothing, words), canRepeat: true };
}

// --- stock ---

export const stocks = (products: readonly string[]): Request<(Stock | Unreadable | null)[]> =>
  request(["INV.STOCK", products], replies.each(replies.nullable(replies.stock)));

export interface AdjustOptions extends Once, Note {
  /** Lowers the stock even below what is promised. */
  readonly force?: boolean;
}

export function adjust(sku: string, delta: number, options: AdjustOptions): Request<number> {
  const words = ["INV.ADJUST", sku, delta, flag("FORCE", options.force), token(options), option("NOTE", options.note)];
  return request(words, replies.number, { canRepeat: options.once !== false });
}

export interface SetOptions extends AdjustOptions {
  /** Sets the count only if it is this now. */
  readonly expected?: number;
}

export function setCount(
  sku: string,
  what: "AVAILABLE" | "ONHAND",
  count: number,
  options: SetOptions,
): Request<number | null> {
  const { expected, force, note } = options;
  return request(
    ["INV.SET", sku, what, count, option("IFEQ", expected), flag("FORCE", force), token(options), option("NOTE", note)],
    replies.nullable(replies.number),
    { canRepeat: options.once !== false },
  );
}

export function transfer(
  product: string,
  source: string,
  target: string,
  quantity: number,
  options: Once & Note,
): Request<void> {
  const words = ["INV.TRANSFER", product, source, target, quantity, token(options), option("NOTE", options.note)];
  return request(words, replies.nothing, { canRepeat: options.once !== false });
}

export const setFloor = (sku: string, floor: number): Request<void> => request(["INV.FLOOR", sku, floor], replies.nothing);

export const setWarehouses = (product: string, priorities: Readonly<Record<string, number | "CLOSED">>): Request<void> =>
  request(["INV.WAREHOUSES", product, "SET", Object.entries(priorities).flat()], replies.nothing);

export const deleteWarehouse = (product: string, warehouse: string): Request<void> =>
  request(["INV.WAREHOUSES", product, "DEL", warehouse], replies.nothing, {
    isDone: (refusal) => refusal instanceof InvalidRequest && refusal.detail.includes(" has no warehouse "),
  });

export const setLimit = (product: string, limit: number | null): Request<void> =>
  request(["INV.LIMIT", product, limit ?? "OFF"], replies.nothing);

export const quota = (product: string, buyer: string): Request<Quota> =>
  request(["INV.QUOTA", product, buyer], replies.quota);

export const setThreshold = (product: string, threshold: number | "OFF" | "DEFAULT"): Request<void> =>
  request(["INV.THRESHOLD", product, threshold], replies.nothing);

export interface AlertOptions {
  readonly product?: string;
  readonly type?: AlertType;
  readonly since?: Date;
  readonly before?: Date;
  readonly count?: number;
}

export function alerts({ product, type, since, before, count }: AlertOptions): Request<Alert[]> {
  const words = [
    ...option("PRODUCT", product),
    ...option("TYPE", type),
    ...option("SINCE", since?.getTime()),
    ...option("BEFORE", before?.getTime()),
    ...option("COUNT", count),
  ];
  return { ...request(["INV.ALERTS", words], replies.each(replies.alert)), key: product };
}

export const audit = (sku: string): Request<Audit | null> => request(["INV.AUDIT", sku], replies.nullable(replies.audit));

export const repair = (sku: string, options: { readonly force?: boolean }): Request<Audit | null> =>
  request(["INV.REPAIR", sku, flag("FORCE", options.force)], replies.nullable(replies.audit));

// --- walks: the request for the page at a cursor ---

export interface Walk<T> {
  readonly key: string | undefined;
  page(cursor: string): Request<Page<T>>;
}

function walk<T>(name: string, key: string | undefined, options: readonly Word[], read: Read<T>): Walk<T> {
  return { key, page: (cursor) => ({ ...request([name, cursor, options], replies.page(read)), key }) };
}

export interface WalkOptions {
  /** The size of a page. */
  readonly count?: number;
}

export interface ScanOptions extends WalkOptions {
  /** Only ids that match this pattern. */
  readonly match?: string;
  /** Only reservations that hold units of this product. */
  readonly product?: string;
}

const scanWords = ({ match, product, count }: ScanOptions): Word[] => [
  ...option("MATCH", match),
  ...option("PRODUCT", product),
  ...option("COUNT", count),
];

export const scan = (options: ScanOptions): Walk<string> =>
  walk("INV.SCAN", options.product, scanWords(options), replies.text);

export const scanFull = (options: ScanOptions): Walk<Reservation> =>
  walk("INV.SCAN", options.product, [...scanWords(options), "FULL"], replies.reservation);

export interface StockScanOptions extends WalkOptions {
  /** Only products that match this pattern. */
  readonly match?: string;
  /** Only products that are at or below their threshold. */
  readonly low?: boolean;
}

export const stockScan = ({ match, low, count }: StockScanOptions): Walk<Stock | Unreadable> =>
  walk("INV.STOCKSCAN", undefined, [...option("MATCH", match), ...option("COUNT", count), ...flag("LOW", low)], replies.stock);

export const auditScan = ({ count }: WalkOptions): Walk<Audit> =>
  walk("INV.AUDITSCAN", undefined, option("COUNT", count), replies.audit);

// --- the feed ---

/** A consumer of a group. */
export interface Reader {
  readonly key: string;
  readonly group: string;
  readonly consumer: string;
  readonly count: number;
}

function streamRequest<T>(key: string, words: readonly Word[], read: Read<T>): Request<T> {
  return { ...request(words, read), key };
}

export const createGroup = ({ key, group }: Reader, fromStart: boolean): Request<void> =>
  // With ENTRIESREAD, the server knows from the beginning how many entries the group has not read.
  streamRequest(
    key,
    ["XGROUP", "CREATE", key, group, ...(fromStart ? ["0", "MKSTREAM", "ENTRIESREAD", 0] : ["$", "MKSTREAM"])],
    replies.nothing,
  );

export const position = ({ key, group }: Reader): Request<Position> =>
  streamRequest(key, ["XINFO", "STREAM", key, "FULL", "COUNT", 1], (value) => replies.position(value, group));

/** Moves a group to the end of a stream as it was at this position. */
export const moveGroup = ({ key, group }: Reader, { newest, added }: Position): Request<void> =>
  streamRequest(key, ["XGROUP", "SETID", key, group, newest, "ENTRIESREAD", added], replies.nothing);

const readGroup = ({ key, group, consumer, count }: Reader, from: string): Word[] => [
  ...["XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", key, from],
];

/** Moves new entries into the consumer's list of entries that it has not acknowledged. */
export const fetch = (reader: Reader): Request<boolean> =>
  // What was fetched without an answer is in that list too.
  streamRequest(reader.key, readGroup(reader, ">"), (value) => replies.entries(value).length > 0);

/** Reads that list. */
export const fetched = (reader: Reader): Request<StreamEntry[]> =>
  streamRequest(reader.key, readGroup(reader, "0"), replies.entries);

export const acknowledge = ({ key, group }: Reader, entries: readonly string[]): Request<void> =>
  streamRequest(key, ["XACK", key, group, ...entries], replies.nothing);
