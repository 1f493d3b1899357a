import type { Connection } from "./connection.js";
import { Glide, type GlideLike } from "./glide.js";
import { IoRedis, type IoRedisClient, type IoRedisCluster } from "./ioredis.js";
import { NodeRedis, type NodeRedisClient, type NodeRedisCluster } from "./node-redis.js";

/** A client of node-redis, ioredis or GLIDE, for a single server or a cluster. */
export type Client = NodeRedisClient | NodeRedisCluster | IoRedisClient | IoRedisCluster | GlideLike;

/** The adapter for a client, or a connection of the caller's own. */
export function connect(client: Client | Connection): Connection {
  if ("ask" in client) return client;
  if ("customCommand" in client) return new Glide(client);
  if ("call" in client) return new IoRedis(client);
  if ("sendCommand" in client) return new NodeRedis(client);
  throw new TypeError("this is no client of node-redis, ioredis or GLIDE: pass a Connection of your own");
}
