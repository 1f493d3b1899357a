import { type Connection, elements, isA, type Node, translated } from "./connection.js";

/** What is used of a client of node-redis. */
export interface NodeRedisClient {
  sendCommand(words: string[]): Promise<unknown>;
}

/** What is used of a cluster client of node-redis. */
export interface NodeRedisCluster {
  sendCommand(key: string | undefined, isReadonly: boolean, words: string[]): Promise<unknown>;
  readonly masters: readonly unknown[];
  // A method, so that its argument may be narrower.
  nodeClient(node: never): NodeRedisClient | Promise<NodeRedisClient>;
}

export class NodeRedis implements Connection {
  readonly isCluster: boolean;
  readonly #client: NodeRedisClient | NodeRedisCluster;

  constructor(client: NodeRedisClient | NodeRedisCluster) {
    this.#client = client;
    this.isCluster = "nodeClient" in client;
  }

  async ask(words: readonly string[], key: string | undefined, node: Node): Promise<unknown> {
    try {
      return elements(await this.#send([...words], key, node), textOf);
    } catch (error) {
      throw translated(error, textOf);
    }
  }

  async #send(words: string[], key: string | undefined, node: Node): Promise<unknown> {
    const client = this.#client;
    if (!("nodeClient" in client)) return client.sendCommand(words);
    if (node === undefined) return client.sendCommand(key, false, words);
    return (await client.nodeClient(node as never)).sendCommand(words);
  }

  async masters(): Promise<readonly Node[]> {
    return "nodeClient" in this.#client ? this.#client.masters : [];
  }
}

const textOf = (error: Error): string | undefined => (isA(error, "ErrorReply") ? error.message : undefined);
