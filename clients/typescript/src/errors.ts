/**
 * What can go wrong: one class for each code.
 *
 * A {@link Refusal} is an answer: the command was refused and has changed nothing. The parts of its text are properties. They
 * are undefined (or empty) if a later version of the module words the text in another way; the class, and with it the code,
 * stays.
 *
 * After {@link NoAnswer}, the command may have been carried out. Send it again with the same id or token.
 */

// A name in a text with other words. It is in double quotes if it has a space, comma, semicolon, quote or backslash.
const NAME = String.raw`(?:"(?:[^"\\]|\\.)*"|[^ ,;"\\]+)`;
const SHORTAGE = new RegExp(String.raw`(${NAME}) requested (\d+), available (-?\d+)( \(unknown sku\))?(?:; |$)`, "suy");
const LINE = new RegExp(String.raw`(${NAME}) (\d+)(?:, |$)`, "suy");
const LISTED = new RegExp(String.raw`(${NAME})(?:, |$)`, "suy");

/** A name as it was sent. */
function plain(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replace(/\\(.)/gsu, "$1") : name;
}

/** The matches that follow each other from the first to the last letter; none if others are between them. */
function all(pattern: RegExp, text: string): string[][] {
  const found: string[][] = [];
  pattern.lastIndex = 0;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (!match) return [];
    found.push([...match]);
  }
  return found;
}

/** A sku that does not have enough units. */
export interface Shortage {
  readonly sku: string;
  readonly requested: number;
  readonly available: number;
  /** Whether there is no such sku: no counter, no warehouse, and nothing held. */
  readonly isUnknown: boolean;
}

/** A sku and a quantity in the text of an error. */
export interface Quantity {
  readonly sku: string;
  readonly quantity: number;
}

/** Every error of this package. */
export class InventoryError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No answer came before the deadline of the retries. The command may have been carried out. */
export class NoAnswer extends InventoryError {}

/**
 * The feed was trimmed before this group had read it: entries are missing. Read the stock again. The feed goes on with the
 * oldest entry that is left.
 */
export class FeedTrimmed extends InventoryError {
  /** How many entries are missing; undefined if the server does not know. */
  readonly missed: number | undefined;

  constructor(missed: number | undefined) {
    super(
      `${missed ?? "some"} entries of the feed were trimmed before they were read: read the stock again, and raise ` +
        "inv.feed-maxlen if that happens often",
    );
    this.missed = missed;
  }
}

/** The server refused a command, which has changed nothing. */
export class Refusal extends InventoryError {
  /** The first word of the error. */
  readonly code: string;
  /** The text after the code. */
  readonly detail: string;

  constructor(text: string) {
    super(text);
    const space = text.indexOf(" ");
    this.code = space < 0 ? text : text.slice(0, space);
    this.detail = space < 0 ? "" : text.slice(space + 1);
  }

  /** Whether the same command can succeed a moment later. */
  get isTemporary(): boolean {
    return TEMPORARY.has(this.code);
  }
}

const TEMPORARY = new Set(["BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"]);

/** An error of the server itself, such as `NOPERM`, `OOM` or `LOADING`. */
export class ServerRefusal extends Refusal {}

/** `ERR`: an argument is wrong, or the present state does not allow it. */
export class InvalidRequest extends Refusal {}

/** `CROSSSLOT`: in a cluster, reservations and products of a call need the same tag. */
export class CrossSlot extends Refusal {
  readonly names: readonly [string, string] | undefined;

  constructor(text: string, words: readonly string[]) {
    super(text);
    const found =
      /^Keys in request don't hash to the same slot: reservations? (.*) need the same hash tag in braces$/su.exec(this.detail);
    if (!found) return;
    // A name may contain this word.
    const parts = found[1]!.split(" and ");
    let pairs = parts
      .slice(1)
      .map((_, i) => [parts.slice(0, i + 1).join(" and "), parts.slice(i + 1).join(" and ")] as const);
    if (pairs.length > 1) pairs = pairs.filter((pair) => pair.every((name) => words.includes(name)));
    this.names = pairs[0];
  }
}

/** `TRYAGAIN`: not now. This package has sent the command again until its deadline. */
export class TryAgain extends Refusal {
  /** The skus of which more reservations are overdue than one command releases. */
  readonly skus: readonly string[];
  /** The slot that is being moved. */
  readonly slot: number | undefined;

  constructor(text: string) {
    super(text);
    const overdue = /^more reservations of (.*) are overdue than one command releases: /su.exec(this.detail);
    this.skus = overdue ? all(LISTED, overdue[1]!).map(([, name]) => plain(name!)) : [];
    const moving = /^slot (\d+) is being moved/u.exec(this.detail);
    this.slot = moving ? Number(moving[1]) : undefined;
  }
}

/** `WRONGTYPE`: a key holds something that the command cannot use. */
export class WrongType extends Refusal {
  readonly key: string | undefined;
  readonly found: string | undefined;
  readonly wanted: string | undefined;

  constructor(text: string) {
    super(text);
    [, this.key, this.found, this.wanted] = /^key (.*) holds (.*), not (.*)$/su.exec(this.detail) ?? [];
  }
}

/** `FOREIGN`: the reservation, or these units, may belong to another program. */
export class Foreign extends Refusal {
  readonly reservation: string | undefined;
  readonly sku: string | undefined;
  readonly units: number | undefined;

  constructor(text: string) {
    super(text);
    [, this.reservation] = /^the key of reservation (.*) is not a record of this module/su.exec(this.detail) ?? [];
    const units = /^(-?\d+) reserved units of (.*) belong to no reservation of this module/su.exec(this.detail);
    this.units = units ? Number(units[1]) : undefined;
    this.sku = units?.[2];
  }
}

/** The reservation has ended: one of the four classes below. */
export class Ended extends Refusal {
  readonly reservation: string | undefined;
  readonly at: Date | undefined;

  constructor(text: string, pattern: RegExp) {
    super(text);
    const found = pattern.exec(this.detail);
    this.reservation = found?.groups?.["id"];
    this.at = found ? new Date(Number(found.groups?.["at"])) : undefined;
  }
}

/** `COMMITTED`: the reservation was sold. */
export class Committed extends Ended {
  constructor(text: string) {
    super(text, /^reservation (?<id>.*) was committed at (?<at>\d+): use a new id for a new order$/su);
  }
}

/** `ROLLEDBACK`: the reservation was rolled back. */
export class RolledBack extends Ended {
  constructor(text: string) {
    super(text, /^reservation (?<id>.*) was rolled back at (?<at>\d+): use a new id for a new order$/su);
  }
}

/** `EXPIRED`: the deadline has passed. `commit(id, { late: true })` sells what is still available. */
export class Expired extends Ended {
  constructor(text: string) {
    // The text repeats the id.
    super(
      text,
      /^reservation (?<id>.*) expired at (?<at>\d+): retry with a new id, or sell its units with INV\.COMMIT \k<id> LATE/su,
    );
  }
}

/** `REPLACED`: another reservation has taken the place of this one. */
export class Replaced extends Ended {
  readonly successor: string | undefined;

  constructor(text: string) {
    const pattern = /^reservation (?<id>.*) was replaced by (?<by>.*) at (?<at>\d+): use \k<by> instead$/su;
    super(text, pattern);
    this.successor = pattern.exec(this.detail)?.groups?.["by"];
  }
}

/** `MISMATCH`: the id or the token was used for something else. */
export class Mismatch extends Refusal {
  readonly reservation: string | undefined;
  /** The items for which the reservation was made, if they are others. */
  readonly held: readonly Quantity[];
  /** What the reservation is short of, if it was made with `partial`. */
  readonly short: readonly Quantity[];
  /** `DATA` or `BUYER`, if its text is another one. */
  readonly option: string | undefined;
  /** What the command that used the token first asked for, if the token is the reason. */
  readonly asked: string | undefined;

  constructor(text: string) {
    super(text);
    const items = /^reservation (.*?) already exists with other items \((.*)\): use a new id$/su.exec(this.detail);
    const short =
      /^reservation (.*?) was made with PARTIAL and is short of (.*): repeat PARTIAL to accept that, or use a new id$/su.exec(
        this.detail,
      );
    const option = /^reservation (.*) already exists with these items but another (DATA|BUYER): use a new id$/su.exec(
      this.detail,
    );
    this.reservation = (items ?? short ?? option)?.[1];
    this.held = quantities(items?.[2]);
    this.short = quantities(short?.[2]);
    this.option = option?.[2];
    [, this.asked] =
      /^this ONCE token was already used with other arguments \((.*)\): use a new token$/su.exec(this.detail) ?? [];
  }
}

/** `NOTFOUND`: the reservation is unknown. It may have been sold long ago: look at the order. */
export class NotFound extends Refusal {
  readonly reservation: string | undefined;

  constructor(text: string) {
    super(text);
    [, this.reservation] = /^reservation (.*) is unknown: /su.exec(this.detail) ?? [];
  }
}

/** `DRIFT`: the counters hold less than the reservation says; see INV.REPAIR. */
export class Drift extends Refusal {
  readonly sku: string | undefined;
  /** The units that the reservation holds, or held. */
  readonly held: number | undefined;
  /** The reserved counter; for a late commit, the units that came back. */
  readonly reserved: number | undefined;

  constructor(text: string) {
    super(text);
    const found =
      /^the reserved counter of (?<sku>.*) is (?<reserved>-?\d+), but this reservation holds (?<held>\d+): /su.exec(this.detail) ??
      /^the reservation held (?<held>\d+) of (?<sku>.*), but only (?<reserved>-?\d+) were returned/su.exec(this.detail);
    this.sku = found?.groups?.["sku"];
    this.held = found ? Number(found.groups?.["held"]) : undefined;
    this.reserved = found ? Number(found.groups?.["reserved"]) : undefined;
  }
}

/** `LIMIT`: the buyer may not take so many units. */
export class LimitReached extends Refusal {
  readonly product: string | undefined;
  readonly buyer: string | undefined;
  readonly requested: number | undefined;
  readonly left: number | undefined;
  readonly limit: number | undefined;

  constructor(text: string) {
    super(text);
    const found = LIMITED.exec(this.detail);
    this.product = found ? plain(found[1]!) : undefined;
    this.buyer = found ? plain(found[2]!) : undefined;
    [this.requested, this.left, this.limit] = found ? found.slice(3).map(Number) : [];
  }
}

const LIMITED = new RegExp(
  String.raw`^(${NAME}) buyer (${NAME}) requested (\d+), may take (\d+) more \(limit (\d+)\)$`,
  "su",
);

/** `INSUFFICIENT`: there are not enough units. */
export class Insufficient extends Refusal {
  /** Every sku that is short, in the order of the request. */
  readonly shortages: readonly Shortage[];

  constructor(text: string) {
    super(text);
    this.shortages = all(SHORTAGE, this.detail).map(([, sku, requested, available, note]) => ({
      sku: plain(sku!),
      requested: Number(requested),
      available: Number(available),
      isUnknown: note !== undefined,
    }));
  }
}

/** `OVERCOMMITTED`: the count is below what is reserved, or units were sold before they came. */
export class Overcommitted extends Refusal {
  readonly sku: string | undefined;
  readonly onHand: number | undefined;
  /** The units that are reserved, if they are the reason. */
  readonly reserved: number | undefined;

  constructor(text: string) {
    super(text);
    const found =
      /^(.*) (?:cannot have|has) (-?\d+) on hand(?:, because (?:(\d+) are reserved|units were sold)|: )/su.exec(this.detail);
    this.sku = found?.[1];
    this.onHand = found ? Number(found[2]) : undefined;
    this.reserved = found?.[3] === undefined ? undefined : Number(found[3]);
  }
}

function quantities(text: string | undefined): readonly Quantity[] {
  return all(LINE, text ?? "").map(([, sku, quantity]) => ({ sku: plain(sku!), quantity: Number(quantity) }));
}

const CLASSES: Readonly<Record<string, new (text: string, words: readonly string[]) => Refusal>> = {
  ERR: InvalidRequest,
  CROSSSLOT: CrossSlot,
  TRYAGAIN: TryAgain,
  WRONGTYPE: WrongType,
  FOREIGN: Foreign,
  COMMITTED: Committed,
  ROLLEDBACK: RolledBack,
  EXPIRED: Expired,
  REPLACED: Replaced,
  MISMATCH: Mismatch,
  NOTFOUND: NotFound,
  DRIFT: Drift,
  LIMIT: LimitReached,
  INSUFFICIENT: Insufficient,
  OVERCOMMITTED: Overcommitted,
};

/** The error for the text of an error reply. `words` are those of the command. */
export function refusal(text: string, words: readonly string[] = []): Refusal {
  const [code = ""] = text.split(" ", 1);
  const kind = Object.hasOwn(CLASSES, code) ? CLASSES[code] : undefined;
  return new (kind ?? ServerRefusal)(text, words);
}
