import { type Connection, elements, type Node, translated } from "./connection.js";

/** What is used of a client of ioredis. */
export interface IoRedisClient {
  call(name: string, ...words: string[]): Promise<unknown>;
}

/** What is used of a cluster client of ioredis. */
export interface IoRedisCluster extends IoRedisClient {
  nodes(role: "master"): readonly IoRedisClient[];
}

/** A command of ioredis; its class is a property of `Redis`. */
interface Command {
  keys?: string[];
  readonly promise: Promise<unknown>;
}

type CommandClass = new (name: string, words: string[], options: { replyEncoding: string }) => Command;

export class IoRedis implements Connection {
  readonly isCluster: boolean;
  readonly #client: IoRedisClient | IoRedisCluster;

  constructor(client: IoRedisClient | IoRedisCluster) {
    this.#client = client;
    this.isCluster = "nodes" in client;
  }

  async ask(words: readonly string[], key: string | undefined, node: Node): Promise<unknown> {
    try {
      return elements(await this.#send(words, key, node), textOf);
    } catch (error) {
      throw translated(error, textOf);
    }
  }

  async #send([name = "", ...words]: readonly string[], key: string | undefined, node: Node): Promise<unknown> {
    const client = this.#client;
    if (!("nodes" in client)) return client.call(name, ...words);
    if (node !== undefined) return (node as IoRedisClient).call(name, ...words);
    // ioredis knows no key of these commands, so it would ask any node, and follow its redirect each time.
    const { Command } = (client.nodes("master")[0]?.constructor ?? {}) as { Command?: CommandClass };
    if (key === undefined || Command === undefined) return client.call(name, ...words);
    const command = new Command(name, words, { replyEncoding: "utf8" });
    command.keys = [key];
    return (client as unknown as { sendCommand(command: Command): Promise<unknown> }).sendCommand(command);
  }

  async masters(): Promise<readonly Node[]> {
    return "nodes" in this.#client ? this.#client.nodes("master") : [];
  }
}

const textOf = (error: Error): string | undefined => (error.name === "ReplyError" ? error.message : undefined);
