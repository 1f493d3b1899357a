// A shop's checkout with GLIDE for Node.js.
//
//     npm install @valkey/valkey-glide
//     node glide-node.mjs 127.0.0.1:6379 3
//
// The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no
// other run has. An unexpected answer ends the program with an error. See docs/clients.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Batch, GlideClient, ProtocolVersion, RequestError } from "@valkey/valkey-glide";

// Milliseconds before a call is abandoned. Short, so that the program ends soon; a shop uses 1000.
const TIMEOUT = 250;

// How often a call is sent in total.
const TRIES = 9;

// --- The part to copy ---

// One client for the whole process. GLIDE reconnects by itself.
function connect(host, port, protocol, requestTimeout = TIMEOUT) {
  return GlideClient.createClient({
    addresses: [{ host, port }],
    protocol: protocol === 2 ? ProtocolVersion.RESP2 : ProtocolVersion.RESP3,
    requestTimeout,
  });
}

// An answer that says no: the text as the server sent it, and its code.
class Refusal extends Error {
  constructor(text) {
    super(text);
    this.code = text.split(" ", 1)[0];
  }
}

// What the server has refused; undefined if it has not answered. GLIDE rewrites the texts: `INSUFFICIENT SHOE …` becomes
// `INSUFFICIENT: SHOE …`, and `ERR …` becomes `An error was signalled by the server: - ResponseError: …`.
function refusal({ message }) {
  const signalled = /^An error was signalled by the server.*?- (\w+): (.*)$/s.exec(message);
  const codes = { ResponseError: "ERR", TryAgain: "TRYAGAIN" };
  if (signalled) return new Refusal(`${codes[signalled[1]] ?? signalled[1]} ${signalled[2]}`);
  const coded = /^([A-Z]+): (.*)$/s.exec(message);
  return coded ? new Refusal(`${coded[1]} ${coded[2]}`) : undefined;
}

// Sends a command until it is answered.
function ask(shop, ...words) {
  return untilAnswered(() => shop.customCommand(words.map(String)));
}

// Sends something until it is answered. A refusal is an answer too. Only for commands that are safe to repeat: by their id, by
// ONCE, or because they read.
async function untilAnswered(send) {
  for (let tries = 1; ; tries++) {
    try {
      return await send();
    } catch (error) {
      const refused = error instanceof RequestError ? refusal(error) : error;
      if (refused && refused.code !== "TRYAGAIN") throw refused;
      if (tries === TRIES) throw error;
      console.log(`  sent again: ${error.message}`);
    }
    await sleep(Math.min(10 * 2 ** tries, 500));
  }
}

// A map is an array of pairs in RESP3, [{ key, value }, …], and an array of names and values in RESP2.
function asMap(reply) {
  if (reply === null) return null;
  if (reply[0]?.key !== undefined) return Object.fromEntries(reply.map(({ key, value }) => [key, value]));
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

// Sells many reservations in one call, and returns why others could not be sold. If an element of the answer is an error,
// customCommand throws it, and the other answers are lost. In a batch that does not throw, it is an Error, but no RequestError.
async function commitAll(shop, orders) {
  const batch = new Batch(false);
  batch.customCommand(["INV.MCOMMIT", ...orders]);
  const [answers] = await untilAnswered(() => shop.exec(batch, false));
  if (answers instanceof Error) throw refusal(answers) ?? answers;
  const refused = orders.map((order, i) => [order, answers[i]]).filter(([, answer]) => answer instanceof Error);
  return Object.fromEntries(refused.map(([order, error]) => [order, refusal(error)?.code ?? error.message]));
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
  // Without a timeout.
  const neighbour = await connect(host, port, protocol, 60_000);
  const run = Date.now();
  const [shoe, lace] = [`SHOE-${run}`, `LACE-${run}`];
  // Many commands in one round trip.
  const shelves = new Batch(false);
  shelves.customCommand(["INV.SET", shoe, "AVAILABLE", "10"]);
  shelves.customCommand(["INV.SET", lace, "AVAILABLE", "50"]);
  const filled = await shop.exec(shelves, true);
  assert.deepEqual(filled, [10, 50]);
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
    if (refusal.code !== "INSUFFICIENT") throw refusal;
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
    if (refusal.code !== "EXPIRED") throw refusal;
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

  shop.close();
  neighbour.close();
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
  const busy = other.customCommand(["EVAL", BUSY, "0", String((1.5 * TIMEOUT) / 1000)]);
  // The other connection's command has to arrive first.
  await sleep(20);
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
  console.error("usage: node glide-node.mjs host:port 2|3");
  process.exit(2);
}
const library = JSON.parse(readFileSync(new URL("../package.json", import.meta.resolve("@valkey/valkey-glide"))));
console.log(`glide-node ${library.version}, RESP${protocol}`);
await tell(host, Number(port), Number(protocol));
