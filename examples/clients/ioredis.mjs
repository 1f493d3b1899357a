// A shop's checkout with ioredis.
//
//     npm install ioredis
//     node ioredis.mjs 127.0.0.1:6379 3
//
// The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no
// other run has. An unexpected answer ends the program with an error. See docs/clients.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Redis, ReplyError } from "ioredis";

// Milliseconds before a connection that does not answer is abandoned. Short, so that the program ends soon; a shop uses
// 1000.
const TIMEOUT = 250;

// How often a call is sent in total.
const TRIES = 9;

// --- The part to copy ---

// One connection for the whole process. ioredis reopens a connection that is silent while answers are due, and repeats
// what was not answered. That is safe for commands with an id or ONCE, and for those that read.
async function connect(host, port, protocol) {
  const shop = new Redis({
    host,
    port,
    protocol,
    // Otherwise maps of RESP3 are flat arrays, as in RESP2.
    ...(protocol === 3 && { replyMapping: "resp3" }),
    lazyConnect: true,
    connectTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
    retryStrategy: (tries) => Math.min(20 * 2 ** tries, 500),
    maxRetriesPerRequest: TRIES - 1,
  });
  shop.on("error", (error) => console.log(`  connection: ${error.message}`));
  await shop.connect();
  return shop;
}

// Sends a command, and repeats it while the answer is TRYAGAIN.
async function ask(shop, ...words) {
  for (let tries = 1; ; tries++) {
    try {
      return await shop.call(...words);
    } catch (error) {
      if (code(error) !== "TRYAGAIN" || tries === TRIES) throw error;
    }
    await sleep(Math.min(20 * 2 ** tries, 500));
  }
}

// The first word of a refusal, to branch on.
function code(refusal) {
  return refusal.message.split(" ", 1)[0];
}

// A map is an object in RESP3, and an array of names and values in RESP2.
function asMap(reply) {
  if (!Array.isArray(reply)) return reply;
  const map = {};
  for (let i = 0; i < reply.length; i += 2) map[reply[i]] = reply[i + 1];
  return map;
}

// Holds all lines, or none, for this time.
async function reserve(shop, order, lines, holdMs) {
  const held = asMap(await ask(shop, "INV.RESERVE", order, "PX", holdMs, "ITEMS", ...Object.entries(lines).flat()));
  return { ...held, items: held.items.map(asMap) };
}

// Sells a reservation: the customer has paid.
async function commit(shop, order) {
  await ask(shop, "INV.COMMIT", order);
}

// Sells a reservation after its deadline, if the units are still free.
async function commitLate(shop, order) {
  await ask(shop, "INV.COMMIT", order, "LATE");
}

// Sells many reservations in one call, and returns why others could not be sold. An element of the answer that is an error is
// an object, and is not thrown.
async function commitAll(shop, orders) {
  const answers = await ask(shop, "INV.MCOMMIT", ...orders);
  const refused = orders.map((order, i) => [order, answers[i]]).filter(([, answer]) => answer instanceof ReplyError);
  return Object.fromEntries(refused.map(([order, refusal]) => [order, code(refusal)]));
}

// A reservation or its outcome; null if it is unknown.
async function find(shop, order) {
  return asMap(await ask(shop, "INV.GET", order));
}

// Adds a delivery, and returns the units that are then available. A sum has no id: without ONCE, each retry would add it
// again.
async function restock(shop, product, units, delivery) {
  return ask(shop, "INV.ADJUST", product, units, "ONCE", delivery);
}

// The stock of a product.
async function stockOf(shop, product) {
  const [stock] = await ask(shop, "INV.STOCK", product);
  return asMap(stock);
}

// --- The scenes ---

async function tell(host, port, protocol) {
  const shop = await connect(host, port, protocol);
  // Without a timeout; otherwise the command that keeps the server busy below would be repeated as well.
  const neighbour = new Redis({ host, port });
  await neighbour.ping();
  const run = Date.now();
  const [shoe, lace] = [`SHOE-${run}`, `LACE-${run}`];
  // Many commands in one round trip.
  const shelves = shop.pipeline();
  shelves.call("INV.SET", shoe, "AVAILABLE", 10, "ONCE", `${shoe}-opens`);
  shelves.call("INV.SET", lace, "AVAILABLE", 50, "ONCE", `${lace}-opens`);
  const filled = await shelves.exec();
  assert.deepEqual(filled, [[null, 10], [null, 50]]);
  assert.match(await ask(shop, "CLIENT", "INFO"), new RegExp(` resp=${protocol} `));

  console.log("\nreserve, pay, commit");
  const sold = `ORDER-${run}-1`;
  const held = await reserve(shop, sold, { [shoe]: 2, [lace]: 4 }, 900_000);
  assert.equal(held.reservation_id, sold);
  assert.deepEqual({ ...held.items[0] }, { product_id: shoe, quantity: 2 });
  assert.ok(held.expires_at > run, "a deadline in Unix ms");
  await show(shop, shoe, { available: 8, reserved: 2 });
  console.log("  ... the customer pays");
  await commit(shop, sold);
  await show(shop, shoe, { available: 8, reserved: 0 });
  assert.equal((await find(shop, sold)).state, "committed");
  assert.equal(await find(shop, `${sold}-not`), null);

  console.log("\na retry after a timeout");
  const slow = `ORDER-${run}-2`;
  await whenTheAnswerIsLost(shop, neighbour, "INV.RESERVE", () => reserve(shop, slow, { [shoe]: 2 }, 900_000));
  await show(shop, shoe, { available: 6, reserved: 2 });
  await whenTheAnswerIsLost(shop, neighbour, "INV.COMMIT", () => commit(shop, slow));
  await show(shop, shoe, { available: 6, reserved: 0 });
  await whenTheAnswerIsLost(shop, neighbour, "INV.ADJUST", () => restock(shop, shoe, 40, `delivery-${run}`));
  await show(shop, shoe, { available: 46, reserved: 0 });

  console.log("\nnot enough");
  try {
    await reserve(shop, `ORDER-${run}-3`, { [lace]: 1, [shoe]: 47 }, 900_000);
    assert.fail("47 of 46 were reserved");
  } catch (refusal) {
    if (!(refusal instanceof ReplyError) || code(refusal) !== "INSUFFICIENT") throw refusal;
    console.log(`  ${refusal.message}`);
  }
  // All or nothing: no lace is held either.
  await show(shop, lace, { available: 46, reserved: 0 });

  console.log("\nthe deadline");
  const late = `ORDER-${run}-4`;
  await reserve(shop, late, { [shoe]: 6 }, 1_000);
  await show(shop, shoe, { available: 40, reserved: 6 });
  console.log("  ... the customer is away");
  await untilFree(shop, shoe);
  await show(shop, shoe, { available: 46, reserved: 0 });
  try {
    await commit(shop, late);
    assert.fail("what was held until the deadline was sold behind it");
  } catch (refusal) {
    if (!(refusal instanceof ReplyError) || code(refusal) !== "EXPIRED") throw refusal;
    console.log(`  ${refusal.message}`);
  }
  console.log("  ... he has paid all the same, and nobody else has taken them");
  await commitLate(shop, late);
  await show(shop, shoe, { available: 40, reserved: 0 });

  console.log("\nmany at once");
  const orders = [5, 6, 3].map((number) => `ORDER-${run}-${number}`);
  for (const order of orders.slice(0, 2)) await reserve(shop, order, { [shoe]: 1 }, 900_000);
  // The third order was refused, so nothing is known of it.
  const refused = await commitAll(shop, orders);
  assert.deepEqual(refused, { [orders[2]]: "NOTFOUND" });
  console.log(`  ${JSON.stringify(refused)}`);
  await show(shop, shoe, { available: 38, reserved: 0 });

  shop.disconnect();
  neighbour.disconnect();
}

// Prints the stock of a product, and checks it.
async function show(shop, product, expected) {
  const { available, reserved } = await stockOf(shop, product);
  assert.deepEqual({ available, reserved }, expected, product);
  console.log(`  ${product}: ${available} available, ${reserved} reserved`);
}

// Waits until no units of a product are held.
async function untilFree(shop, product) {
  for (let tries = 0; (await stockOf(shop, product)).reserved !== 0; tries++) {
    assert.ok(tries < 500, `${product} is still held`);
    await sleep(10);
  }
}

// Keeps the server busy for this many seconds.
const BUSY = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])";

// A call that waits for a busy server longer than its client waits. The server carries it out nevertheless, so the second
// try is carried out too.
async function whenTheAnswerIsLost(shop, other, command, call) {
  const before = await calls(shop, command);
  const busy = other.eval(BUSY, 0, (1.5 * TIMEOUT) / 1000);
  await call();
  await busy;
  const times = (await calls(shop, command)) - before;
  assert.ok(times > 1, `${command} was carried out ${times} times`);
  console.log(`  ${command} was carried out ${times} times`);
}

// The number of times that the server has carried out a command.
async function calls(shop, command) {
  const counted = await ask(shop, "INFO", "commandstats");
  return Number(counted.match(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m"))?.[1] ?? 0);
}

const [address = "", protocol] = process.argv.slice(2);
const [, host, port] = address.match(/^(.+):(\d+)$/) ?? [];
if (!host || !["2", "3"].includes(protocol)) {
  console.error("usage: node ioredis.mjs host:port 2|3");
  process.exit(2);
}
const library = JSON.parse(readFileSync(new URL(import.meta.resolve("ioredis/package.json"))));
console.log(`ioredis ${library.version}, RESP${protocol}`);
await tell(host, Number(port), Number(protocol));
