// Tells story.ts with each client library, in both protocols, on a server and on a cluster.
//
//     node build/tests/live.js --server 127.0.0.1:6379 --cluster 127.0.0.1:7001 [NAME ...]
//
// It wants servers that keep a change feed (inv.feed-maxlen), and writes products of its own.
// scripts/test-client-packages.sh starts them.

import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { parseArgs } from "node:util";

import { GlideClient, GlideClusterClient, ProtocolVersion } from "@valkey/valkey-glide";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";

import { connect, type Client } from "../src/adapters/index.js";
import { Inventory, newId, NoAnswer, tagged } from "../src/index.js";
import { list, number, text } from "../src/replies.js";
import { Proxy } from "./proxy.js";
import { Story, until } from "./story.js";

// Milliseconds for which a client waits for an answer. The machine may be busy.
const TIMEOUT = 5_000;

interface Opened {
  readonly client: Client;
  close(): unknown;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

type Open = (address: Address, protocol: 2 | 3, isCluster: boolean) => Promise<Opened>;

const quiet = (): void => undefined;

const CLIENTS: Readonly<Record<string, Open>> = {
  "node-redis": async ({ host, port }, RESP, isCluster) => {
    const socket = { host, port };
    const client = isCluster ? createCluster({ RESP, rootNodes: [{ socket }] }) : createClient({ RESP, socket });
    client.on("error", quiet);
    await client.connect();
    return { client, close: () => client.destroy() };
  },
  ioredis: async ({ host, port }, protocol, isCluster) => {
    const client = isCluster ? new Cluster([{ host, port }], { redisOptions: { protocol } }) : new Redis({ host, port, protocol });
    client.on("error", quiet);
    return { client, close: () => client.disconnect() };
  },
  // Otherwise, maps of RESP3 are arrays as in RESP2.
  "ioredis-maps": async ({ host, port }, protocol, isCluster) => {
    const options = { protocol, ...(protocol === 3 && { replyMapping: "resp3" as const }) };
    const client = isCluster ? new Cluster([{ host, port }], { redisOptions: options }) : new Redis({ host, port, ...options });
    client.on("error", quiet);
    return { client, close: () => client.disconnect() };
  },
  glide: async (address, protocol, isCluster) => {
    const options = {
      addresses: [address],
      protocol: protocol === 2 ? ProtocolVersion.RESP2 : ProtocolVersion.RESP3,
      requestTimeout: TIMEOUT,
    };
    const client = await (isCluster ? GlideClusterClient : GlideClient).createClient(options);
    return { client, close: () => client.close() };
  },
};

async function tell(open: Open, address: Address, protocol: 2 | 3, isCluster: boolean): Promise<void> {
  const { client, close } = await open(address, protocol, isCluster);
  try {
    const connection = connect(client);
    assert.equal(connection.isCluster, isCluster);
    const plain = (words: string[], key = words[1]): Promise<unknown> => connection.ask(words, key, undefined);
    const shop = new Inventory(client, { timeout: TIMEOUT });
    await new Story(shop, plain, isCluster).tell();
    if (isCluster) await aFailover(shop, plain);
  } finally {
    await close();
  }
  if (!isCluster) await lostAnswers(open, address, protocol);
}

/** A replica takes over while orders are sold: none is lost, and none is sold twice. */
async function aFailover(shop: Inventory, plain: (words: string[], key?: string) => Promise<unknown>): Promise<void> {
  const tag = newId();
  const p = tagged(tag, "P");
  await shop.setAvailable(p, 100_000);
  const slot = number(await plain(["CLUSTER", "KEYSLOT", tag], tag));
  const shards = list(await plain(["CLUSTER", "SLOTS"], tag)).map(list);
  const shard = shards.find(([first, last]) => number(first) <= slot && slot <= number(last));
  const [host, port] = list(shard?.[3]);
  const replica = { host: text(host), port: number(port) };
  assert.equal(await tellNode(replica, "CLUSTER FAILOVER"), "+OK");
  const end = Date.now() + 30_000;
  let sold = 0;
  // Some more after it has happened.
  for (let after = 50; after > 0; sold++) {
    assert.ok(Date.now() < end, "the replica does not take over");
    await shop.reserve(tagged(tag, `R${sold}`), { [p]: 1 });
    await shop.commit(tagged(tag, `R${sold}`));
    if (after < 50 || (sold % 10 === 0 && (await tellNode(replica, "INFO replication")).includes("role:master"))) after--;
  }
  const stock = await shop.stock(p);
  assert.deepEqual([stock?.available, stock?.reserved], [100_000 - sold, 0]);
}

/** What a node answers. */
function tellNode({ host, port }: Address, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = createConnection(port, host, () => socket.write(`${line}\r\nQUIT\r\n`));
    socket.on("data", (data) => (answer += data));
    socket.on("close", () => resolve(answer.replace(/\+OK\r\n$/u, "").trim()));
    socket.on("error", reject);
  });
}

/** Entries whose answer is lost come nevertheless, and in order. */
async function theFeedThrough(proxy: Proxy, shop: Inventory, p: string): Promise<void> {
  const reader = shop.feed(newId(), "one", { count: 2, interval: 10 })[Symbol.asyncIterator]();
  const reading = reader.next();
  // The reader makes its group, and then waits. The first entries that it sees are those that come now.
  const before = proxy.lost;
  proxy.lose("XREADGROUP", 1);
  await until(async () => proxy.lost > before);
  for (let units = 1; units <= 5; units++) await shop.adjust(p, units);
  proxy.lose("XREADGROUP", 4);
  const found = [(await reading).value];
  while (found.length < 5) found.push((await reader.next()).value);
  await reader.return(undefined);
  assert.deepEqual(
    found.map((entry) => entry && entry.event !== "alert" && entry.quantity),
    [1, 2, 3, 4, 5],
  );
}

/** Commands whose answers are lost are carried out once, however often they are sent. */
async function lostAnswers(open: Open, { host, port }: Address, protocol: 2 | 3): Promise<void> {
  const proxy = new Proxy(host, port);
  const { client, close } = await open({ host: "127.0.0.1", port: await proxy.open() }, protocol, false);
  try {
    const shop = new Inventory(client, { timeout: TIMEOUT });
    const [p, order] = [newId(), newId()];
    await shop.setAvailable(p, 10);
    proxy.lose("INV.ADJUST", 2);
    assert.equal(await shop.adjust(p, 5), 15);
    assert.equal(proxy.lost, 2);
    proxy.lose("INV.RESERVE", 1);
    await shop.reserve(order, { [p]: 3 });
    proxy.lose("INV.COMMIT", 1);
    await shop.commit(order, { items: { [p]: 1 } });
    proxy.lose("INV.MCOMMIT", 1);
    assert.deepEqual(await shop.mcommit([order]), [undefined]);
    proxy.lose("INV.WAREHOUSES", 1);
    await shop.setWarehouses(`${p}-W`, { A: 1, B: 2 });
    const stock = await shop.stock(p);
    assert.deepEqual([stock?.available, stock?.reserved], [12, 0]);
    assert.equal(proxy.lost, 6);
    await theFeedThrough(proxy, shop, p);
    // A library that repeats commands by itself ends this as well.
    proxy.lose("INV.ADJUST", 1000);
    const impatient = new Inventory(client, { timeout: 200, retry: { deadline: 0 } });
    await assert.rejects(impatient.adjust(p, 1), NoAnswer);
    proxy.lose("", 0);
  } finally {
    await close();
    proxy.close();
  }
}

function addressOf(text: string): Address {
  const [host = "", port] = text.split(":");
  return { host, port: Number(port) };
}

const { values, positionals } = parseArgs({
  options: { server: { type: "string" }, cluster: { type: "string" } },
  allowPositionals: true,
});
let failures = 0;
for (const [name, open] of Object.entries(CLIENTS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  for (const place of ["server", "cluster"] as const) {
    for (const protocol of [2, 3] as const) {
      const address = values[place];
      if (address === undefined) continue;
      const start = Date.now();
      let result = "passed";
      try {
        await tell(open, addressOf(address), protocol, place === "cluster");
      } catch (error) {
        console.error(error);
        result = "FAILED";
        failures++;
      }
      const seconds = ((Date.now() - start) / 1000).toFixed(1);
      console.log(`${name.padEnd(18)} ${place.padEnd(8)} RESP${protocol} ${result} ${seconds} s`);
    }
  }
}
process.exit(failures > 0 ? 1 : 0);
