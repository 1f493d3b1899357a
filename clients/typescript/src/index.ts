/**
 * Stock and reservations in Redis or Valkey, with the module redis-inventory.
 *
 * ```ts
 * import { Insufficient, Inventory } from "redis-inventory";
 * import { createClient } from "redis";
 *
 * const shop = new Inventory(await createClient().connect());
 * try {
 *   await shop.reserve("order-1", { SHOE: 2 }, { ttl: 900 });
 * } catch (refusal) {
 *   if (!(refusal instanceof Insufficient)) throw refusal;
 *   console.log(refusal.shortages);
 * }
 * ```
 *
 * What the commands do is described in the documentation of the module.
 */

export type { Connection, Node } from "./adapters/connection.js";
export type { Client } from "./adapters/index.js";
export {
  Committed,
  CrossSlot,
  Drift,
  Ended,
  Expired,
  FeedTrimmed,
  Foreign,
  Insufficient,
  InvalidRequest,
  InventoryError,
  LimitReached,
  Mismatch,
  NoAnswer,
  NotFound,
  Overcommitted,
  type Quantity,
  Refusal,
  refusal,
  Replaced,
  RolledBack,
  ServerRefusal,
  type Shortage,
  TryAgain,
  WrongType,
} from "./errors.js";
export { Feed, type FeedOptions } from "./feed.js";
export { Inventory, type InventoryOptions } from "./inventory.js";
export { newId, tagged, tagOf } from "./names.js";
export { ServerError } from "./replies.js";
export type {
  AdjustOptions,
  AlertOptions,
  CommitOptions,
  Note,
  Once,
  Order,
  ReserveOptions,
  RollbackOptions,
  ScanOptions,
  SetOptions,
  StockScanOptions,
  Until,
  WalkOptions,
} from "./requests.js";
export * from "./results.js";
export type { RetryOptions } from "./retry.js";
