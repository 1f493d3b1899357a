import { NoAnswer } from "../errors.js";
import { ServerError } from "../replies.js";

/** A node of a cluster, as the client library knows it. */
export type Node = unknown;

/** A client library. To use another one, write an object with these methods. */
export interface Connection {
  readonly isCluster: boolean;

  /**
   * Sends a command once, and returns the reply as the library gives it. In a cluster it goes to the master of `key`, or to
   * `node`, one of {@link masters}.
   *
   * It throws a {@link ServerError} for an error reply. An element that is an error is in its place. After a
   * {@link NoAnswer}, the command may have been carried out.
   */
  ask(words: readonly string[], key: string | undefined, node: Node): Promise<unknown>;

  /** All masters of a cluster. */
  masters(): Promise<readonly Node[]>;
}

/** Whether a class of this name is one of those of an object. The libraries are not imported, because nobody has all. */
export function isA(value: unknown, name: string): boolean {
  for (let kind = value; kind !== null && kind !== undefined; kind = Object.getPrototypeOf(kind)) {
    if ((kind as { constructor?: { name?: string } }).constructor?.name === name) return true;
  }
  return false;
}

/** What an adapter throws for an error of its library. `textOf` returns the text of an error reply. */
export function translated(error: unknown, textOf: (error: Error) => string | undefined): unknown {
  // A mistake of the caller, such as a number where the library wants a text.
  if (!(error instanceof Error) || error instanceof TypeError) return error;
  const text = textOf(error);
  return text === undefined
    ? new NoAnswer(`no answer: ${error.message}`, { cause: error })
    : new ServerError(text, { cause: error });
}

/** A reply with a ServerError in the place of each element that is an error. */
export function elements(reply: unknown, textOf: (error: Error) => string | undefined): unknown {
  if (!Array.isArray(reply)) return reply;
  return reply.map((part) => (part instanceof Error ? new ServerError(textOf(part) ?? `ERR ${part.message}`) : part));
}
