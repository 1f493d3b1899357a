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

export type { Connection, Node } from "./adapters/connection.ts";
export type { Client } from "./adapters/index.ts";
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
} from "./errors.ts";
export { Feed, type FeedOptions } from "./feed.ts";
export { Inventory, type InventoryOptions } from "./inventory.ts";
export { newId, tagged, tagOf } from "./names.ts";
export { ServerError } from "./replies.ts";
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
} from "./requests.ts";
export * from "./results.ts";
export type { RetryOptions } from "./retry.ts";
