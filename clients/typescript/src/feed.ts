import { FeedTrimmed, Refusal } from "./errors.js";
import { feedEntry } from "./replies.js";
import * as requests from "./requests.js";
import type { Reader, Request } from "./requests.js";
import type { FeedEntry } from "./results.js";
import { type RetryOptions, sleep } from "./retry.js";

export interface FeedOptions {
  /** With tagged keys, there is one feed for each tag. */
  readonly tag?: string;
  /** A new group begins with the oldest entry, and not with what comes next. */
  readonly fromStart?: boolean;
  /** The size of a page: 100 by default. */
  readonly count?: number;
  /** Milliseconds between two looks at a feed in which nothing is new: 200 by default. */
  readonly interval?: number;
}

const FOREVER: RetryOptions = { deadline: Infinity };

type Send = <T>(request: Request<T>, retry: RetryOptions) => Promise<T>;

/**
 * The entries of the change feed, as they come; this never ends by itself.
 *
 * An entry is acknowledged when the next ones are asked for, so the loop that has it has dealt with it. If the loop is left,
 * the entry at which it was left comes again, and after a crash the entries of its page do: every entry comes at least once,
 * in order. Give each consumer a name of its own that stays the same. Lost connections and failovers are waited out.
 *
 * {@link FeedTrimmed} is thrown if entries were trimmed before the group had read them. Read the stock again, and go on with
 * another loop.
 */
export class Feed implements AsyncIterable<FeedEntry> {
  readonly #send: Send;
  readonly #reader: Reader;
  readonly #fromStart: boolean;
  readonly #interval: number;

  constructor(send: Send, group: string, consumer: string, options: FeedOptions) {
    const { tag, fromStart = false, count = 100, interval = 200 } = options;
    this.#send = send;
    this.#reader = { key: tag === undefined ? "inventory:feed" : `inventory:feed:{${tag}}`, group, consumer, count };
    this.#fromStart = fromStart;
    this.#interval = interval;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<FeedEntry, void, undefined> {
    await this.#makeGroup(this.#fromStart);
    for (;;) {
      const page = await this.#page();
      const trimmed = page.filter(([, fields]) => fields === null);
      if (trimmed.length > 0) {
        await this.#acknowledge(trimmed.map(([id]) => id));
        throw new FeedTrimmed(trimmed.length);
      }
      const done: string[] = [];
      try {
        for (const [id, fields] of page) {
          yield feedEntry(id, fields);
          done.push(id);
        }
      } finally {
        // Whoever leaves the loop does not wait for a server that does not answer: the entries then come again.
        if (done.length === page.length) await this.#acknowledge(done);
        else await this.#acknowledge(done, {}).catch(() => undefined);
      }
    }
  }

  /** The next entries, which are not acknowledged yet. */
  async #page(): Promise<readonly (readonly [string, unknown])[]> {
    try {
      for (;;) {
        // What was fetched is read from the list of entries that are not acknowledged, because an earlier process may have left
        // some, and the answer to a fetch may have been lost.
        const page = await this.#ask(requests.fetched(this.#reader));
        if (page.length > 0) return page;
        if (!(await this.#fetch())) await sleep(this.#interval);
      }
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== "NOGROUP") throw error;
      // Somebody has deleted the group, or the whole feed.
      await this.#makeGroup(true);
      throw new FeedTrimmed(undefined);
    }
  }

  /** Fetches new entries. False if there are none. */
  async #fetch(): Promise<boolean> {
    const position = await this.#ask(requests.position(this.#reader));
    const isNew = await this.#ask(requests.fetch(this.#reader));
    if (position.missed !== 0) {
      // The group is past the gap now, so it is reported once. What was fetched is read by the next loop. If nothing is left at
      // all, the group has to be moved.
      if (!isNew) await this.#ask(requests.moveGroup(this.#reader, position));
      throw new FeedTrimmed(position.missed);
    }
    return isNew;
  }

  async #makeGroup(fromStart: boolean): Promise<void> {
    try {
      await this.#ask(requests.createGroup(this.#reader, fromStart));
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== "BUSYGROUP") throw error;
    }
  }

  async #acknowledge(entries: readonly string[], retry: RetryOptions = FOREVER): Promise<void> {
    if (entries.length > 0) await this.#send(requests.acknowledge(this.#reader, entries), retry);
  }

  #ask<T>(request: Request<T>): Promise<T> {
    return this.#send(request, FOREVER);
  }
}
