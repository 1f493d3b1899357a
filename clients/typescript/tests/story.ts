// What the package promises, told once for every client library: on a real server or cluster. Every name has the tag of the
// story, because a cluster needs it.

import assert from "node:assert/strict";

import {
  type Change,
  Committed,
  CrossSlot,
  Drift,
  Expired,
  type Feed,
  type FeedEntry,
  FeedTrimmed,
  Foreign,
  Insufficient,
  InvalidRequest,
  type Inventory,
  isReadable,
  LimitReached,
  Mismatch,
  newId,
  NotFound,
  Overcommitted,
  Refusal,
  Replaced,
  RolledBack,
  skuOf,
  tagged,
  WrongType,
} from "../src/index.js";
import { sleep } from "../src/retry.js";

// Names that a text has to quote, or that look like a part of it.
const NASTY = [
  "red shoes",
  "a,b;c",
  'size 8" \\ wide',
  "this and that",
  "P requested 1, available 2",
  "Größe 42\u00a0½ \ufeff👟",
  "EXPIRED",
  "was committed at 5: use a new id",
  "x".repeat(200),
];

/** Sends a command of the server itself for a key. */
type Plain = (words: string[], key?: string) => Promise<unknown>;

export class Story {
  readonly #shop: Inventory;
  readonly #plain: Plain;
  readonly #isCluster: boolean;
  readonly #tag = `t${Date.now()}${Math.floor(Math.random() * 1e6)}`;

  constructor(shop: Inventory, plain: Plain, isCluster: boolean) {
    this.#shop = shop;
    this.#plain = plain;
    this.#isCluster = isCluster;
  }

  async tell(): Promise<void> {
    await this.#aCheckout();
    await this.#textsAreTakenApart();
    await this.#everyCodeIsAnError();
    await this.#partsAndChanges();
    await this.#warehouses();
    await this.#limitsAndAlerts();
    await this.#manyAtOnce();
    await this.#walks();
    await this.#checks();
    await this.#theFeed();
  }

  #name(name: string): string {
    return tagged(this.#tag, name);
  }

  // --- the scenes ---

  async #aCheckout(): Promise<void> {
    const [shop, shoe, order] = [this.#shop, this.#name("SHOE"), this.#name("A1")];
    assert.equal(await shop.setAvailable(shoe, 10), 10);
    assert.equal(await shop.setAvailable(shoe, 5, { expected: 9 }), null);
    assert.equal(await shop.setOnHand(shoe, 10, { expected: 10 }), 10);
    const before = Date.now();
    const held = await shop.reserve(order, { [shoe]: 2 }, { ttl: 900, data: "cart 7" });
    assert.equal(held.id, order);
    assert.deepEqual(held.items, [{ product: shoe, quantity: 2 }]);
    assert.ok(Math.abs(held.expiresAt.getTime() - before - 900_000) < 10_000);
    assert.deepEqual(await shop.reserve(order, { [shoe]: 2 }, { ttl: 60 }), held);
    let found = await shop.get(order);
    assert.deepEqual([found?.state, found?.data, found?.expiresAt], ["reserved", "cart 7", held.expiresAt]);
    const deadline = new Date(before + 3_600_000);
    assert.deepEqual(await shop.extend(order, { deadline }), deadline);
    await shop.commit(order);
    await shop.commit(order);
    found = await shop.get(order);
    assert.equal(found?.state, "committed");
    assert.ok(found.resolvedAt!.getTime() >= before - 5_000);
    assert.equal(await shop.get(this.#name("A2")), null);
    const stock = await shop.stock(shoe);
    assert.deepEqual([stock?.available, stock?.reserved, stock?.onHand, stock?.warehouses], [8, 0, 8, []]);
    assert.equal(await shop.stock(this.#name("NONE")), null);
    const stocks = await shop.stocks([shoe, this.#name("NONE"), shoe]);
    assert.deepEqual(
      stocks.map((part) => part !== null),
      [true, false, true],
    );
  }

  async #textsAreTakenApart(): Promise<void> {
    const shop = this.#shop;
    const names = NASTY.map((name) => this.#name(name));
    await shop.setAvailable(names[0]!, 3);
    const short = await thrown(Insufficient, shop.reserve(this.#name("B1"), names.map((name) => [name, 5] as const)));
    assert.deepEqual(
      short.shortages,
      names.map((sku, i) => ({ sku, requested: 5, available: i === 0 ? 3 : 0, isUnknown: i > 0 })),
    );
    for (const name of names) {
      await shop.setAvailable(name, 10);
      // The same text as an id.
      await shop.reserve(name, { [name]: 1 });
      const mismatch = await thrown(Mismatch, shop.reserve(name, { [name]: 2 }));
      assert.deepEqual([mismatch.reservation, mismatch.held], [name, [{ sku: name, quantity: 1 }]]);
      await shop.replace(name, `${name}+`, { [name]: 1 });
      const replaced = await thrown(Replaced, shop.commit(name));
      assert.deepEqual([replaced.reservation, replaced.successor], [name, `${name}+`]);
      await shop.commit(`${name}+`);
      const committed = await thrown(Committed, shop.rollback(`${name}+`));
      assert.deepEqual([committed.reservation, committed.code], [`${name}+`, "COMMITTED"]);
      assert.ok(Math.abs(committed.at!.getTime() - Date.now()) < 60_000);
      assert.equal((await thrown(NotFound, shop.commit(`${name}?`))).reservation, `${name}?`);
      await shop.setLimit(name, 1);
      const limit = await thrown(LimitReached, shop.reserve(this.#name("B2"), { [name]: 2 }, { buyer: name }));
      assert.deepEqual([limit.product, limit.buyer, limit.requested, limit.left, limit.limit], [name, name, 2, 1, 1]);
      await shop.setLimit(name, null);
    }
  }

  async #everyCodeIsAnError(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("CODES")];
    await shop.setAvailable(p, 100);
    assert.equal((await thrown(InvalidRequest, shop.reserve(this.#name("C0"), { [p]: 0 }))).code, "ERR");
    await shop.setLimit(p, 5);
    await thrown(InvalidRequest, shop.reserve(this.#name("C0"), { [p]: 1 }));
    await shop.setLimit(p, null);

    await shop.reserve(this.#name("C1"), { [p]: 1 }, { ttl: 900, data: "x" });
    const other = await thrown(Mismatch, shop.reserve(this.#name("C1"), { [p]: 1 }, { buyer: "somebody" }));
    assert.deepEqual([other.reservation, other.option], [this.#name("C1"), "BUYER"]);
    await shop.extend(this.#name("C1"), { ttl: 0.05 });
    await until(async () => (await shop.get(this.#name("C1")))?.state !== "reserved");
    assert.equal((await thrown(Expired, shop.commit(this.#name("C1")))).reservation, this.#name("C1"));
    await shop.commit(this.#name("C1"), { late: true });

    await shop.rollback(this.#name("C2"), { fence: true });
    assert.equal((await thrown(RolledBack, shop.reserve(this.#name("C2"), { [p]: 1 }))).reservation, this.#name("C2"));

    const held = await shop.reserve(this.#name("C3"), { [p]: 500 }, { partial: true });
    assert.deepEqual([held.items, held.short], [[{ product: p, quantity: 99 }], [{ product: p, quantity: 401 }]]);
    const partial = await thrown(Mismatch, shop.reserve(this.#name("C3"), { [p]: 500 }));
    assert.deepEqual(partial.short, [{ sku: p, quantity: 401 }]);
    const over = await thrown(Overcommitted, shop.setOnHand(p, 3));
    assert.deepEqual([over.sku, over.onHand, over.reserved], [p, 3, 99]);
    assert.equal(await shop.adjust(p, 1, { once: "C-delivery" }), 1);
    const token = await thrown(Mismatch, shop.adjust(p, 2, { once: "C-delivery" }));
    assert.match(token.asked!, /1/u);

    await this.#plain(["SET", `stock:reserved:${p}`, "7"]);
    const drift = await thrown(Drift, shop.commit(this.#name("C3")));
    assert.deepEqual([drift.sku, drift.held, drift.reserved], [p, 99, 7]);
    assert.equal((await shop.audit(p))?.drift, 7 - 99);
    await shop.repair(p);
    await shop.commit(this.#name("C3"));

    await this.#plain(["SET", `reservation:${this.#name("C4")}`, "somebody's"]);
    assert.equal((await thrown(Foreign, shop.commit(this.#name("C4")))).reservation, this.#name("C4"));
    await this.#plain(["DEL", `reservation:${this.#name("C4")}`]);

    const broken = this.#name("BROKEN");
    await this.#plain(["SET", `stock:available:${broken}`, "many"]);
    const wrong = await thrown(WrongType, shop.reserve(this.#name("C5"), { [broken]: 1 }));
    assert.equal(wrong.key, `stock:available:${broken}`);
    await thrown(WrongType, shop.stock(broken));
    const [unreadable] = await shop.stocks([broken]);
    assert.ok(unreadable && !isReadable(unreadable) && unreadable.error instanceof WrongType);
    await this.#plain(["DEL", `stock:available:${broken}`]);

    if (this.#isCluster) {
      const elsewhere = tagged(`${this.#tag}+`, "SHOE");
      const cross = await thrown(CrossSlot, shop.reserve(this.#name("C6"), { [elsewhere]: 1 }));
      assert.deepEqual(cross.names, [this.#name("C6"), elsewhere]);
    }
  }

  async #partsAndChanges(): Promise<void> {
    const [shop, p, q] = [this.#shop, this.#name("P"), this.#name("Q")];
    await shop.setAvailable(p, 10);
    await shop.setAvailable(q, 10);
    const [cart, order] = [this.#name("cart"), this.#name("order")];
    await shop.reserve(cart, { [p]: 4, [q]: 2 }, { ttl: 900 });
    assert.deepEqual((await shop.replace(cart, cart, { [p]: 5 })).items, [{ product: p, quantity: 5 }]);
    const lines = [
      { product: p, quantity: 3 },
      { product: q, quantity: 1 },
    ];
    const held = await shop.replace(
      cart,
      order,
      lines.map((line) => [skuOf(line), line.quantity] as const),
      { ttl: 900, data: "two lines" },
    );
    assert.deepEqual(held.items, lines);
    assert.equal((await shop.get(cart))?.replacedBy, order);
    await shop.commit(order, { items: { [p]: 1 } });
    await shop.rollback(order, { items: { [p]: 1 }, once: newId() });
    const found = await shop.get(order);
    const one = [{ product: p, quantity: 1 }];
    assert.deepEqual([found?.items, found?.sold, found?.returned], [[...one, { product: q, quantity: 1 }], one, one]);
    await shop.rollback(order);
    assert.equal((await shop.stock(p))?.available, 9);
    assert.equal((await shop.stock(q))?.available, 10);
  }

  async #warehouses(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("CHAIR")];
    await shop.setWarehouses(p, { A: 1, B: 2, RETURNS: "CLOSED" });
    for (const warehouse of ["A", "B", "RETURNS"]) await shop.adjust(`${p}@${warehouse}`, 5);
    await shop.setFloor(`${p}@B`, 1);
    const held = await shop.reserve(this.#name("W1"), { [p]: 7 }, { split: "priority" });
    assert.deepEqual(held.items, [
      { product: p, warehouse: "A", quantity: 5 },
      { product: p, warehouse: "B", quantity: 2 },
    ]);
    assert.deepEqual(held.items.map(skuOf), [`${p}@A`, `${p}@B`]);
    assert.deepEqual((await shop.get(this.#name("W1")))?.asked, [{ product: p, quantity: 7 }]);
    await shop.transfer(p, "RETURNS", "A", 2);
    const stock = await shop.stock(p);
    const byName = Object.fromEntries(stock!.warehouses.map((warehouse) => [warehouse.name, warehouse]));
    const [a, b, returns] = [byName["A"]!, byName["B"]!, byName["RETURNS"]!];
    assert.deepEqual([a.available, b.available, returns.available], [2, 3, 3]);
    assert.deepEqual([b.floor, b.reservable, a.priority], [1, 2, 1]);
    assert.deepEqual([returns.isClosed, returns.priority], [true, Infinity]);
    await shop.setWarehouses(p, { C: 7 });
    await shop.deleteWarehouse(p, "C");
    await thrown(InvalidRequest, shop.deleteWarehouse(p, "C"));
  }

  async #limitsAndAlerts(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("PS5")];
    await shop.setThreshold(p, 3);
    await shop.setAvailable(p, 5);
    await shop.setLimit(p, 2);
    await shop.reserve(this.#name("L1"), { [p]: 2 }, { buyer: "cust7" });
    assert.deepEqual(await shop.quota(p, "cust7"), { limit: 2, held: 2, bought: 0, left: 0 });
    await shop.setLimit(p, null);
    const { limit, left } = await shop.quota(p, "cust7");
    assert.deepEqual([limit, left], [null, null]);
    const [alert] = await shop.alerts({ product: p, type: "LOW_STOCK" });
    assert.deepEqual([alert?.product, alert?.type, alert?.available, alert?.threshold], [p, "LOW_STOCK", 3, 3]);
    assert.deepEqual(await shop.alerts({ product: p, before: alert!.timestamp }), []);
    const all = await shop.alerts({ since: alert!.timestamp });
    assert.ok(all.some(({ product }) => product === p));
    await shop.setThreshold(p, "OFF");
    assert.equal((await shop.stock(p))?.threshold, null);
  }

  async #manyAtOnce(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("MANY")];
    await shop.setAvailable(p, 3000);
    const ids = [0, 1, 2, 3].map((number) => this.#name(`M${number}`)) as [string, string, string, string];
    const made = await shop.mreserve({ [ids[0]]: { [p]: 1 }, [ids[1]]: { [p]: 5000 }, [ids[2]]: { [p]: 2 } }, { ttl: 900 });
    assert.deepEqual(kinds(made), [Date, Insufficient, Date]);
    assert.ok(made[1] instanceof Insufficient);
    assert.deepEqual(made[1].shortages, [{ sku: p, requested: 5000, available: 2999, isUnknown: false }]);
    const sold = await shop.mcommit([ids[0], ids[3], ids[0]]);
    assert.deepEqual(kinds(sold), [undefined, NotFound, undefined]);
    assert.ok(sold[1] instanceof NotFound && sold[1].reservation === ids[3]);
    assert.deepEqual(kinds(await shop.mrollback([ids[2], ids[0]])), [undefined, Committed]);
    assert.deepEqual(await shop.mcommit([]), []);
    // More lines than one call may end: what is answered with TRYAGAIN is sent again.
    const lines = Array.from({ length: 100 }, (_, number) => [this.#name(`LINE${number}`), 1] as const);
    await Promise.all(lines.map(([sku]) => shop.setAvailable(sku, 20, { once: false })));
    const large = Array.from({ length: 11 }, (_, number) => this.#name(`LARGE${number}`));
    await Promise.all(large.map((id) => shop.reserve(id, lines)));
    assert.deepEqual(await shop.mcommit(large), large.map(() => undefined));
    assert.equal((await shop.stock(lines[0]![0]))?.onHand, 9);
    if (this.#isCluster) {
      const answers = await shop.mcommit([ids[0], tagged(`${this.#tag}+`, "M"), ids[0]]);
      assert.deepEqual(kinds(answers), [undefined, NotFound, undefined]);
    }
  }

  async #walks(): Promise<void> {
    const shop = this.#shop;
    // In a cluster, these are on several masters.
    const tags = Array.from({ length: 12 }, (_, number) => `${this.#tag}-${number}`);
    const products = tags.map((tag) => tagged(tag, "WALK"));
    const ids = tags.map((tag) => tagged(tag, "R"));
    for (const [i, product] of products.entries()) {
      await shop.setAvailable(product, 20);
      await shop.reserve(ids[i]!, { [product]: 15 }, { data: "walk" });
    }
    const match = `*${this.#tag}-*`;
    assert.deepEqual((await every(shop.scan({ match, count: 2 }))).sort(), [...ids].sort());
    assert.deepEqual(await every(shop.scan({ product: products[3]! })), [ids[3]]);
    const full = await every(shop.scanFull({ match, count: 5 }));
    assert.deepEqual(full.map(({ id }) => id).sort(), [...ids].sort());
    assert.ok(full.every(({ data }) => data === "walk"));
    const found = await every(shop.stockScan({ match, count: 3 }));
    assert.deepEqual(new Set(found.map(({ product }) => product)), new Set(products));
    await shop.setThreshold(products[0]!, 5);
    const low = await every(shop.stockScan({ match: `{${tags[0]}}*`, low: true }));
    assert.deepEqual(new Set(low.map(({ product }) => product)), new Set([products[0]]));
  }

  async #checks(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("DRIFT")];
    await shop.setAvailable(p, 5);
    await this.#plain(["INCRBY", `stock:reserved:${p}`, "2"]);
    const found = await every(shop.auditScan({ count: 50 }));
    assert.equal(found.find(({ sku }) => sku === p)?.drift, 2);
    const repaired = await shop.repair(p, { force: true });
    assert.deepEqual(repaired, { sku: p, reserved: 2, held: 0, drift: 2, stray: 0 });
    assert.equal((await shop.audit(p))?.drift, 0);
    assert.equal(await shop.audit(this.#name("NONE")), null);
  }

  async #theFeed(): Promise<void> {
    const [shop, p] = [this.#shop, this.#name("FED")];
    const group = `g-${this.#tag}`;
    const key = this.#isCluster ? `inventory:feed:{${this.#tag}}` : "inventory:feed";
    const feed = (): Feed =>
      shop.feed(group, "one", { count: 3, interval: 10, ...(this.#isCluster && { tag: this.#tag }) });

    // The group begins with what comes next, so the reader has to be there first.
    const reader = feed()[Symbol.asyncIterator]();
    const first = reader.next();
    const isThere = async (name: string, ...words: string[]): Promise<boolean> => {
      // There may be no stream yet.
      const found = await this.#plain(["XINFO", ...words], key).catch(() => []);
      return JSON.stringify(found).includes(name);
    };
    await until(() => isThere(group, "GROUPS", key));
    await shop.adjust(p, 10, { note: "a delivery" });
    const change = (await first).value as Change;
    assert.deepEqual([change.event, change.sku, change.quantity, change.note], ["adjusted", p, 10, "a delivery"]);
    assert.deepEqual([change.available, change.reserved, typeof change.user], [10, 0, "string"]);
    await shop.reserve(this.#name("F1"), { [p]: 2 });
    await shop.replace(this.#name("F1"), this.#name("F2"), { [p]: 3 });
    await shop.commit(this.#name("F2"));
    await shop.adjust(p, -7);
    await reader.return(undefined);
    // The loop was left at the first entry, which therefore comes again.
    const entries = await take(feed(), 6);
    assert.deepEqual(entries[0], change);
    const changes = entries.filter((entry): entry is Change => entry.event !== "alert");
    assert.deepEqual(
      changes.slice(0, 4).map(({ event }) => event),
      ["adjusted", "reserved", "replaced", "committed"],
    );
    assert.deepEqual([changes[1]?.reservation, changes[2]?.replaces], [this.#name("F1"), this.#name("F1")]);
    const alert = entries.find((entry) => entry.event === "alert");
    assert.ok(alert?.event === "alert" && alert.alert.product === p && alert.alert.type === "OUT_OF_STOCK");

    // Read on to the end, and then let everything be trimmed that comes.
    await this.#drain(feed(), key, group);
    await shop.setThreshold(p, "OFF");
    for (let i = 0; i < 5; i++) await shop.adjust(p, 1);
    await this.#plain(["XTRIM", key, "MAXLEN", "2"], key);
    assert.equal((await thrown(FeedTrimmed, take(feed(), 1))).missed, 3);
    const rest = await take(feed(), 2);
    assert.deepEqual(
      rest.map((entry) => entry.event !== "alert" && entry.available),
      [4, 5],
    );
    // Entries that were fetched and not acknowledged.
    await this.#plain(["XTRIM", key, "MAXLEN", "0"], key);
    assert.equal((await thrown(FeedTrimmed, take(feed(), 1))).missed, 1);
    // All that has come since.
    await shop.adjust(p, 1);
    await this.#plain(["XTRIM", key, "MAXLEN", "0"], key);
    assert.equal((await thrown(FeedTrimmed, take(feed(), 1))).missed, 1);
    await shop.adjust(p, 1);
    const [last] = await take(feed(), 1);
    assert.ok(last && last.event !== "alert" && last.available === 7);
    // The group is deleted while somebody reads.
    await this.#plain(["XGROUP", "DELCONSUMER", key, group, "one"], key);
    const reading = thrown(FeedTrimmed, take(feed(), 1));
    await until(() => isThere("one", "CONSUMERS", key, group));
    await this.#plain(["XGROUP", "DESTROY", key, group], key);
    assert.equal((await reading).missed, undefined);
  }

  /** Reads until nothing is left: an entry of its own comes last. */
  async #drain(feed: Feed, key: string, group: string): Promise<void> {
    const marker = this.#name("MARKER");
    await this.#shop.adjust(marker, 1);
    for await (const entry of feed) if (entry.event !== "alert" && entry.sku === marker) break;
    // The entry at which the loop was left is not acknowledged.
    await this.#plain(["XGROUP", "DELCONSUMER", key, group, "one"], key);
  }
}

// --- helpers ---

/** The error with which a step has to end. */
async function thrown<E extends Error>(kind: abstract new (...words: never[]) => E, step: Promise<unknown>): Promise<E> {
  const answer = await step.catch((error: unknown) => error);
  if (!(answer instanceof kind)) throw new assert.AssertionError({ message: `no ${kind.name} but ${answer}` });
  if (answer instanceof Refusal) assert.ok(answer.message.startsWith(`${answer.code} `), answer.message);
  return answer;
}

const kinds = (values: readonly unknown[]): unknown[] => values.map((value) => value?.constructor);

async function every<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const entry of entries) found.push(entry);
  return found;
}

/** The next entries of a feed. */
async function take(feed: Feed, count: number): Promise<FeedEntry[]> {
  const found: FeedEntry[] = [];
  for await (const entry of feed) if (found.push(entry) === count) break;
  return found;
}

/** Waits until a condition holds. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, "it does not become true");
    await sleep(10);
  }
}

