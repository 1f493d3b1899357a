/**
 * What the commands answer. Later versions of the module may answer more fields; they are ignored until this package knows
 * them.
 */

import type { Refusal } from "./errors.js";

/** Skus and quantities: `{ SHOE: 2, "LACE@BERLIN": 1 }`, or pairs of them. */
export type Items = Readonly<Record<string, number>> | Iterable<readonly [string, number]>;

/** What has become of a reservation. */
export type State = "reserved" | "committed" | "rolled_back" | "expired" | "replaced";

/** How an item may be split over warehouses. */
export type Split = "priority" | "fewest" | "none";

/** What an alert says about a product. */
export type AlertType = "LOW_STOCK" | "OUT_OF_STOCK" | "BACK_IN_STOCK";

/** What caused a change of stock. */
export type Event =
  | "reserved"
  | "replaced"
  | "committed"
  | "committed_late"
  | "rolled_back"
  | "expired"
  | "repaired"
  | "adjusted"
  | "set"
  | "transferred";

/** A quantity of a sku. */
export interface Line {
  readonly product: string;
  readonly quantity: number;
  readonly warehouse?: string;
}

/** The sku of a line, as a command takes it. */
export function skuOf(line: Line): string {
  return line.warehouse === undefined ? line.product : `${line.product}@${line.warehouse}`;
}

/** What a RESERVE or REPLACE holds, and until when. */
export interface Held {
  readonly id: string;
  readonly expiresAt: Date;
  readonly items: readonly Line[];
  /** With `partial`: what was missing. */
  readonly short: readonly Line[];
}

/** A live reservation, or how one ended. */
export interface Reservation {
  readonly id: string;
  readonly state: State;
  readonly expiresAt: Date;
  readonly items: readonly Line[];
  readonly createdAt?: Date;
  readonly resolvedAt?: Date;
  readonly data?: string;
  readonly buyer?: string;
  readonly sold: readonly Line[];
  readonly returned: readonly Line[];
  readonly rolledBack: readonly Line[];
  readonly asked: readonly Line[];
  readonly short: readonly Line[];
  readonly replacedBy?: string;
}

/** Units of a product or of one of its warehouses. */
export interface Units {
  readonly available: number;
  readonly reserved: number;
  readonly onHand: number;
  readonly floor: number;
  /** What can be reserved: the number for a storefront. */
  readonly reservable: number;
}

/** The stock of a product in one warehouse. */
export interface Warehouse extends Units {
  readonly name: string;
  /** Infinity if the warehouse is closed. */
  readonly priority: number;
  readonly isClosed: boolean;
}

/** The stock of a product. */
export interface Stock extends Units {
  readonly product: string;
  /** The low-stock threshold; null if the alerts of the product are off. */
  readonly threshold: number | null;
  readonly warehouses: readonly Warehouse[];
}

/** A product whose keys cannot be read, because another client has written them. */
export interface Unreadable {
  readonly product: string;
  readonly error: Refusal;
}

/** Whether a product could be read. */
export function isReadable(stock: Stock | Unreadable): stock is Stock {
  return !("error" in stock);
}

/** What a buyer holds and has bought of a product. */
export interface Quota {
  readonly limit: number | null;
  readonly held: number;
  readonly bought: number;
  readonly left: number | null;
}

/** That a product was low, out of stock, or back in stock. */
export interface Alert {
  readonly product: string;
  readonly type: AlertType;
  /** The units that could be reserved. */
  readonly available: number;
  readonly threshold: number;
  readonly timestamp: Date;
}

/** The reserved counter of a sku, and what live reservations hold. */
export interface Audit {
  readonly sku: string;
  readonly reserved: number;
  readonly held: number;
  readonly drift: number;
  readonly stray: number;
}

/** An entry of the feed: a change of a sku, and its counters afterwards. */
export interface Change {
  /** The id of the entry in the stream. */
  readonly entry: string;
  readonly event: Event;
  readonly sku: string;
  readonly quantity: number;
  readonly available: number;
  readonly reserved: number;
  readonly timestamp: Date;
  readonly reservation?: string;
  readonly replaces?: string;
  readonly note?: string;
  readonly user?: string;
}

/** An entry of the feed: an alert. */
export interface AlertEntry {
  readonly entry: string;
  readonly event: "alert";
  readonly alert: Alert;
}

/** An entry of the feed. */
export type FeedEntry = Change | AlertEntry;
