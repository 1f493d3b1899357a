import { list, number, text } from "../replies.js";
import { type Connection, elements, isA, type Node, translated } from "./connection.js";

type Route =
  | "randomNode"
  | { readonly type: "primarySlotKey"; readonly key: string }
  | { readonly type: "routeByAddress"; readonly host: string; readonly port: number };

/** What is used of a client of GLIDE, for a single server or a cluster. */
export interface GlideLike {
  // The arguments of the two clients differ: only the cluster client has routes among its options.
  customCommand(words: string[], options?: never): Promise<unknown>;
  exec(batch: never, raiseOnError: boolean, options?: never): Promise<unknown>;
}

/** Several commands in one call; the classes are those of the library. */
interface Batch {
  customCommand(words: string[]): unknown;
}

type Batches = Record<"Batch" | "ClusterBatch", new (isAtomic: boolean) => Batch>;

// Commands whose answer can have errors among its elements. GLIDE throws the first of them, and the others are lost, except in
// the answers to a batch.
const MANY = new Set(["INV.MRESERVE", "INV.MCOMMIT", "INV.MROLLBACK"]);

export class Glide implements Connection {
  readonly isCluster: boolean;
  readonly #client: GlideLike;

  constructor(client: GlideLike) {
    this.#client = client;
    this.isCluster = isA(client, "GlideClusterClient");
  }

  ask(words: readonly string[], key: string | undefined, node: Node): Promise<unknown> {
    const route = (node as Route | undefined) ?? { type: "primarySlotKey", key: key ?? "" };
    return this.#send([...words], this.isCluster ? route : undefined);
  }

  async masters(): Promise<readonly Node[]> {
    const shards = list(await this.#send(["CLUSTER", "SLOTS"], "randomNode"));
    const addresses = new Map<string, Route>();
    for (const shard of shards) {
      const [host, port] = list(list(shard)[2]);
      addresses.set(`${text(host)}:${text(port)}`, { type: "routeByAddress", host: text(host), port: number(port) });
    }
    return [...addresses.values()];
  }

  async #send(words: string[], route: Route | undefined): Promise<unknown> {
    const options = (route === undefined ? {} : { route }) as never;
    try {
      if (!MANY.has(words[0] ?? "")) return await this.#client.customCommand(words, options);
      // Who has a client has the library.
      const { Batch, ClusterBatch } = (await import("@valkey/valkey-glide" as string)) as Batches;
      const batch = this.isCluster ? new ClusterBatch(false) : new Batch(false);
      batch.customCommand(words);
      const [answer] = list(await this.#client.exec(batch as never, false, options));
      if (answer instanceof Error) throw answer;
      return elements(answer, textOf);
    } catch (error) {
      throw translated(error, textOf);
    }
  }
}

// GLIDE has names of its own for some codes.
const CODES: Readonly<Record<string, string>> = {
  AskError: "ASK",
  BusyLoadingError: "LOADING",
  ClusterDown: "CLUSTERDOWN",
  CrossSlot: "CROSSSLOT",
  MasterDown: "MASTERDOWN",
  MovedError: "MOVED",
  PermissionDenied: "NOPERM",
  ReadOnly: "READONLY",
  ResponseError: "ERR",
  TryAgain: "TRYAGAIN",
};

/** The text of an error reply as the server sent it; undefined if GLIDE did not make this message from one. */
function textOf({ message }: Error): string | undefined {
  const signalled = /^An error was signalled by the server:? ?- (\w+): (.*)$/su.exec(message);
  if (signalled) return `${CODES[signalled[1]!] ?? signalled[1]} ${signalled[2]}`;
  const coded = /^([A-Z][A-Z0-9]*): (.*)$/su.exec(message);
  return coded ? `${coded[1]} ${coded[2]}` : undefined;
}
