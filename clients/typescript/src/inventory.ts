import { connect, type Client } from "./adapters/index.js";
import type { Connection, Node } from "./adapters/connection.js";
import { NoAnswer, refusal, type Refusal, TryAgain } from "./errors.js";
import { Feed, type FeedOptions } from "./feed.js";
import { tagOf } from "./names.js";
import { ServerError } from "./replies.js";
import * as requests from "./requests.js";
import type { Once, Order, Request, ReserveOptions, Until, Walk } from "./requests.js";
import type { Alert, Audit, Held, Items, Quota, Reservation, Stock, Unreadable } from "./results.js";
import { type RetryOptions, Tries } from "./retry.js";

export interface InventoryOptions {
  /** When a command is sent again. */
  readonly retry?: RetryOptions;
  /** Milliseconds for which one try waits for its answer: 1000 by default. */
  readonly timeout?: number;
}

/**
 * Stock and reservations, over the client that you have: one of node-redis, ioredis or GLIDE, for a single server or a cluster,
 * in either protocol.
 *
 * Every method throws a {@link Refusal} if the server refuses the command, and {@link NoAnswer} if there was no answer before
 * the deadline of `retry`.
 */
export class Inventory {
  readonly #connection: Connection;
  readonly #retry: RetryOptions;
  readonly #timeout: number;

  constructor(client: Client | Connection, { retry = {}, timeout = 1000 }: InventoryOptions = {}) {
    this.#connection = connect(client);
    this.#retry = retry;
    this.#timeout = timeout;
  }

  // --- reservations ---

  /**
   * Holds all items or none, until a deadline. With `partial`, holds what there is.
   *
   * The id is yours and makes it safe to send this again: an order number, or `newId()`. In a cluster it needs the tag of the
   * products: `tagged(tag, id)`.
   */
  reserve(id: string, items: Items, options: ReserveOptions & { readonly once?: string } = {}): Promise<Held> {
    return this.#run(() => requests.reserve(id, items, options));
  }

  /**
   * Makes `next` hold exactly these items in one step; the units of `old` are free for that. With the same id twice, a
   * reservation is changed in place.
   */
  replace(old: string, next: string, items: Items, options: ReserveOptions & Once = {}): Promise<Held> {
    return this.#run(() => requests.replace(old, next, items, options));
  }

  /** Sells a reservation, or with `items` a part of it. */
  commit(id: string, options: requests.CommitOptions = {}): Promise<void> {
    return this.#run(() => requests.commit(id, options));
  }

  /** Returns a reservation, or with `items` a part of it. */
  rollback(id: string, options: requests.RollbackOptions = {}): Promise<void> {
    return this.#run(() => requests.rollback(id, options));
  }

  /**
   * Makes many reservations. The result has the deadline of each, or why it was refused. In a cluster, there is a call for
   * each tag. Elements that are answered with TRYAGAIN are sent again.
   */
  mreserve(
    orders: Readonly<Record<string, Items>> | Iterable<Order>,
    options: Until = {},
  ): Promise<(Date | Refusal)[]> {
    const list = Symbol.iterator in orders ? [...(orders as Iterable<Order>)] : Object.entries(orders);
    return this.#batch(list, ([id]) => id, (some) => requests.mreserve(some, options));
  }

  /** Sells many reservations. The result has undefined for each, or why it could not be sold. */
  mcommit(ids: Iterable<string>): Promise<(void | Refusal)[]> {
    return this.#batch([...ids], (id) => id, requests.mcommit);
  }

  /** Returns many reservations. The result has undefined for each, or why it could not be returned. */
  mrollback(ids: Iterable<string>): Promise<(void | Refusal)[]> {
    return this.#batch([...ids], (id) => id, requests.mrollback);
  }

  /** Moves the deadline of a live reservation, and returns it. */
  extend(id: string, options: Until & Once): Promise<Date> {
    return this.#run(() => requests.extend(id, options));
  }

  /** A reservation, or how it ended; null if it is unknown. */
  get(id: string): Promise<Reservation | null> {
    return this.#run(() => requests.get(id));
  }

  /** The ids of live reservations, by deadline on each master. */
  scan(options: requests.ScanOptions = {}): AsyncGenerator<string, void, undefined> {
    return this.#walk(requests.scan(options));
  }

  /** The live reservations, by deadline on each master. */
  scanFull(options: requests.ScanOptions = {}): AsyncGenerator<Reservation, void, undefined> {
    return this.#walk(requests.scanFull(options));
  }

  // --- stock ---

  /** The stock of a product; null if it is unknown. */
  async stock(product: string): Promise<Stock | null> {
    const [found = null] = await this.#run(() => requests.stocks([product]));
    if (found !== null && "error" in found) throw found.error;
    return found;
  }

  /** The stock of products, in their order. In a cluster, there is a call for each tag. */
  stocks(products: Iterable<string>): Promise<(Stock | Unreadable | null)[]> {
    return this.#inGroups([...products], (product) => product, requests.stocks);
  }

  /** The stock of all products, or of those that are `low`. One may come twice. */
  stockScan(options: requests.StockScanOptions = {}): AsyncGenerator<Stock | Unreadable, void, undefined> {
    return this.#walk(requests.stockScan(options));
  }

  /**
   * Adds units, or removes them, and returns how many are then available. Use the number of the delivery as `once` if it can be
   * booked by two processes, or again after a crash.
   */
  adjust(sku: string, delta: number, options: requests.AdjustOptions = {}): Promise<number> {
    return this.#run(() => requests.adjust(sku, delta, options));
  }

  /** Sets the available units, and returns them; null if they are not `expected`. */
  setAvailable(sku: string, count: number, options: requests.SetOptions = {}): Promise<number | null> {
    return this.#run(() => requests.setCount(sku, "AVAILABLE", count, options));
  }

  /**
   * Sets the available and reserved units together, and returns the available ones; null if the units on hand are not
   * `expected`.
   */
  setOnHand(sku: string, count: number, options: requests.SetOptions = {}): Promise<number | null> {
    return this.#run(() => requests.setCount(sku, "ONHAND", count, options));
  }

  /** Keeps safety stock (above 0), or promises units before they arrive (below 0). */
  setFloor(sku: string, floor: number): Promise<void> {
    return this.#run(() => requests.setFloor(sku, floor));
  }

  /** Adds warehouses to a product, or changes their priorities; the lowest is used first. */
  setWarehouses(product: string, priorities: Readonly<Record<string, number | "CLOSED">>): Promise<void> {
    return this.#run(() => requests.setWarehouses(product, priorities));
  }

  /** Removes a warehouse that has no units. */
  deleteWarehouse(product: string, warehouse: string): Promise<void> {
    return this.#run(() => requests.deleteWarehouse(product, warehouse));
  }

  /** Moves available units from one warehouse to another. */
  transfer(
    product: string,
    source: string,
    target: string,
    quantity: number,
    options: Once & requests.Note = {},
  ): Promise<void> {
    return this.#run(() => requests.transfer(product, source, target, quantity, options));
  }

  // --- limits and alerts ---

  /** Limits the units that each buyer may hold and have bought; null is no limit. */
  setLimit(product: string, limit: number | null): Promise<void> {
    return this.#run(() => requests.setLimit(product, limit));
  }

  /** What a buyer holds and has bought of a product, and what is left. */
  quota(product: string, buyer: string): Promise<Quota> {
    return this.#run(() => requests.quota(product, buyer));
  }

  /** Sets the low-stock threshold of a product, or turns its alerts off. */
  setThreshold(product: string, threshold: number | "OFF" | "DEFAULT"): Promise<void> {
    return this.#run(() => requests.setThreshold(product, threshold));
  }

  /**
   * Alerts, newest first. In a cluster, those of all masters are merged. To page back, continue with `before` and the
   * timestamp of the last alert.
   */
  async alerts(options: requests.AlertOptions = {}): Promise<Alert[]> {
    const request = requests.alerts(options);
    const found: Alert[] = [];
    for (const node of await this.#nodes(request.key)) found.push(...(await this.#send(request, node)));
    found.sort((one, other) => other.timestamp.getTime() - one.timestamp.getTime());
    // A page back always has all alerts of its last millisecond.
    return options.before === undefined ? found.slice(0, options.count) : found;
  }

  // --- checks ---

  /** Compares a reserved counter with what reservations hold; null if the sku is unknown. */
  audit(sku: string): Promise<Audit | null> {
    return this.#run(() => requests.audit(sku));
  }

  /** All skus whose counters do not match. */
  auditScan(options: requests.WalkOptions = {}): AsyncGenerator<Audit, void, undefined> {
    return this.#walk(requests.auditScan(options));
  }

  /** Corrects the counters of a sku, and returns what the audit showed before. */
  repair(sku: string, options: { readonly force?: boolean } = {}): Promise<Audit | null> {
    return this.#run(() => requests.repair(sku, options));
  }

  // --- the feed ---

  /**
   * A reader of the change feed, as one consumer of a group. The group is made if it does not exist: it begins with what comes
   * next, or with `fromStart` with the oldest entry.
   */
  feed(group: string, consumer: string, options: FeedOptions = {}): Feed {
    return new Feed((request, retry) => this.#send(request, undefined, retry), group, consumer, options);
  }

  // --- how a request is sent ---

  /** The request is made inside, so that a mistake in its arguments rejects the promise. */
  async #run<T>(make: () => Request<T>): Promise<T> {
    return this.#send(make(), undefined);
  }

  async #send<T>(request: Request<T>, node: Node, retry: RetryOptions = this.#retry): Promise<T> {
    const tries = new Tries(retry);
    for (;;) {
      try {
        return request.read(await this.#inTime(this.#connection.ask(request.words, request.key, node)));
      } catch (error) {
        if (error instanceof NoAnswer) {
          if (!request.canRepeat || !(await tries.again())) throw error;
          tries.lostAnswer = true;
        } else if (error instanceof ServerError) {
          const refused = refusal(error.text, request.words);
          if (tries.lostAnswer && request.isDone?.(refused)) return request.read(undefined);
          if (!refused.isTemporary || !(await tries.again())) throw refused;
        } else {
          throw error;
        }
      }
    }
  }

  /** Most libraries wait forever. A late answer is discarded. */
  #inTime(answer: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const end = (): void => reject(new NoAnswer(`no answer in ${this.#timeout} ms`));
      const timer = setTimeout(end, this.#timeout);
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  /** The nodes to which a command is sent: all masters of a cluster, if it has no key. */
  async #nodes(key: string | undefined): Promise<readonly Node[]> {
    return this.#connection.isCluster && key === undefined ? this.#connection.masters() : [undefined];
  }

  async *#walk<T>(walk: Walk<T>): AsyncGenerator<T, void, undefined> {
    for (const node of await this.#nodes(walk.key)) {
      for (let cursor = "0"; ; ) {
        const page = await this.#send(walk.page(cursor), node);
        yield* page.entries;
        cursor = page.cursor;
        if (cursor === "0") break;
      }
    }
  }

  /** Sends one call, or in a cluster one for each tag, and returns the results in order. */
  async #inGroups<E, T>(
    elements: readonly E[],
    name: (element: E) => string,
    make: (some: readonly E[]) => Request<T[]>,
  ): Promise<T[]> {
    const groups = new Map<string, number[]>();
    elements.forEach((element, place) => {
      const tag = this.#connection.isCluster ? tagOf(name(element)) : "";
      groups.set(tag, [...(groups.get(tag) ?? []), place]);
    });
    const found = new Array<T>(elements.length);
    for (const places of groups.values()) {
      const answers = await this.#run(() => make(places.map((place) => elements[place]!)));
      places.forEach((place, i) => (found[place] = answers[i]!));
    }
    return found;
  }

  async #batch<E, T>(
    elements: readonly E[],
    name: (element: E) => string,
    make: (some: readonly E[]) => Request<(T | Refusal)[]>,
  ): Promise<(T | Refusal)[]> {
    const tries = new Tries(this.#retry);
    const found = await this.#inGroups(elements, name, make);
    for (;;) {
      const later = [...found.keys()].filter((place) => found[place] instanceof TryAgain);
      if (later.length === 0 || !(await tries.again())) return found;
      const answers = await this.#inGroups(later.map((place) => elements[place]!), name, make);
      later.forEach((place, i) => (found[place] = answers[i]!));
    }
  }
}

