/** How often a command is sent. */

export interface RetryOptions {
  /** Milliseconds after which the last error is thrown: 10,000 by default. With 0, everything is sent once. */
  readonly deadline?: number;
  /** The longest time between the first two tries, in milliseconds. It is doubled each time. 20 by default. */
  readonly first?: number;
  /** The longest time between two tries, in milliseconds. 500 by default. */
  readonly cap?: number;
}

/** The tries of one command. */
export class Tries {
  /** Whether an earlier try had no answer, so that it may have been carried out. */
  lostAnswer = false;
  readonly #end: number;
  readonly #cap: number;
  #most: number;

  constructor({ deadline = 10_000, first = 20, cap = 500 }: RetryOptions) {
    this.#end = Date.now() + deadline;
    this.#cap = cap;
    this.#most = first;
  }

  /** Waits for the next try; false if there is none. */
  async again(): Promise<boolean> {
    const pause = this.#most * (0.5 + Math.random() / 2);
    this.#most = Math.min(2 * this.#most, this.#cap);
    if (Date.now() + pause > this.#end) return false;
    await sleep(pause);
    return true;
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
