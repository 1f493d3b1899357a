// The texts of errors, without a server: what the server really says is compared in story.ts.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as errors from "../src/errors.js";
import { newId, refusal, tagged, tagOf } from "../src/index.js";
import { entries, mapping, position } from "../src/replies.js";

const at = new Date(1795366976022);

/** A text, its class, and its parts. */
const TEXTS: readonly (readonly [string, unknown, Record<string, unknown>])[] = [
  [
    'INSUFFICIENT PROD-123 requested 9, available 8; "red; \\"big\\" \\\\shoes" requested 1, available -3 (unknown sku)',
    errors.Insufficient,
    {
      shortages: [
        { sku: "PROD-123", requested: 9, available: 8, isUnknown: false },
        { sku: 'red; "big" \\shoes', requested: 1, available: -3, isUnknown: true },
      ],
    },
  ],
  [
    'LIMIT "PS 5" buyer cust7 requested 3, may take 1 more (limit 2)',
    errors.LimitReached,
    { product: "PS 5", buyer: "cust7", requested: 3, left: 1, limit: 2 },
  ],
  [
    "COMMITTED reservation a b: c was committed at 1795366976022: use a new id for a new order",
    errors.Committed,
    { reservation: "a b: c", at },
  ],
  [
    "ROLLEDBACK reservation R was rolled back at 1795366976022: use a new id for a new order",
    errors.RolledBack,
    { reservation: "R", at },
  ],
  [
    "EXPIRED reservation R expired at 1: x expired at 1795366976022: retry with a new id, or sell its units with INV.COMMIT " +
      "R expired at 1: x LATE if they are still available",
    errors.Expired,
    { reservation: "R expired at 1: x", at },
  ],
  [
    "REPLACED reservation a was replaced by b was replaced by c at 1795366976022: use b was replaced by c instead",
    errors.Replaced,
    { reservation: "a", successor: "b was replaced by c", at },
  ],
  [
    'MISMATCH reservation R already exists with other items (P 1, "x, y" 3): use a new id',
    errors.Mismatch,
    {
      reservation: "R",
      held: [
        { sku: "P", quantity: 1 },
        { sku: "x, y", quantity: 3 },
      ],
      option: undefined,
    },
  ],
  [
    "MISMATCH reservation R was made with PARTIAL and is short of P 2: repeat PARTIAL to accept that, or use a new id",
    errors.Mismatch,
    { reservation: "R", short: [{ sku: "P", quantity: 2 }], held: [] },
  ],
  [
    "MISMATCH reservation R already exists with these items but another BUYER: use a new id",
    errors.Mismatch,
    { reservation: "R", option: "BUYER" },
  ],
  [
    "MISMATCH this ONCE token was already used with other arguments (ADJUST P 5): use a new token",
    errors.Mismatch,
    { asked: "ADJUST P 5", reservation: undefined },
  ],
  ["NOTFOUND reservation R is unknown: it was never made", errors.NotFound, { reservation: "R" }],
  [
    "DRIFT the reserved counter of P is 1, but this reservation holds 2: another client has written it.",
    errors.Drift,
    { sku: "P", reserved: 1, held: 2 },
  ],
  [
    "DRIFT the reservation held 3 of P, but only 1 were returned at the deadline or sold before: it cannot",
    errors.Drift,
    { sku: "P", reserved: 1, held: 3 },
  ],
  [
    "OVERCOMMITTED P cannot have 3 on hand, because 5 are reserved: commit or roll back",
    errors.Overcommitted,
    { sku: "P", onHand: 3, reserved: 5 },
  ],
  [
    "OVERCOMMITTED P has -3 on hand, because units were sold before they arrived: add",
    errors.Overcommitted,
    { sku: "P", onHand: -3, reserved: undefined },
  ],
  [
    "FOREIGN the key of reservation R is not a record of this module, but perhaps one of a script",
    errors.Foreign,
    { reservation: "R", units: undefined },
  ],
  [
    "FOREIGN 3 reserved units of P belong to no reservation of this module, and",
    errors.Foreign,
    { reservation: undefined, units: 3, sku: "P" },
  ],
  [
    "WRONGTYPE key stock:available:P holds a list, not an integer",
    errors.WrongType,
    { key: "stock:available:P", found: "a list", wanted: "an integer" },
  ],
  [
    'TRYAGAIN more reservations of A, "b c" are overdue than one command releases: try again',
    errors.TryAgain,
    { skus: ["A", "b c"], slot: undefined, isTemporary: true },
  ],
  ["TRYAGAIN slot 12 is being moved between nodes: try again in a moment", errors.TryAgain, { skus: [], slot: 12 }],
  ["ERR the quantity is 0", errors.InvalidRequest, { detail: "the quantity is 0", isTemporary: false }],
  ["OOM command not allowed", errors.ServerRefusal, { code: "OOM", isTemporary: false }],
  ["LOADING wait", errors.ServerRefusal, { code: "LOADING", isTemporary: true }],
  ["constructor of nothing", errors.ServerRefusal, { code: "constructor" }],
];

test("each text becomes an error with its parts", () => {
  for (const [text, kind, parts] of TEXTS) {
    const error = refusal(text);
    assert.equal(error.constructor, kind, text);
    assert.equal(error.code, text.split(" ", 1)[0]);
    assert.equal(error.message, text);
    for (const [name, part] of Object.entries(parts)) {
      assert.deepEqual(error[name as keyof typeof error], part, `${name} of ${text}`);
    }
  }
});

test("another wording keeps the class", () => {
  for (const [text, kind] of TEXTS) {
    assert.equal(refusal(`${text.split(" ", 1)[0]} says something else`).constructor, kind);
  }
});

test("names with the word between them are those of the command", () => {
  const text =
    "CROSSSLOT Keys in request don't hash to the same slot: reservation this and that and salt need the same hash tag in braces";
  const error = refusal(text, ["INV.RESERVE", "this and that", "ITEMS", "salt", "1"]);
  assert.ok(error instanceof errors.CrossSlot);
  assert.deepEqual(error.names, ["this and that", "salt"]);
});

test("a map is read in each form", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const forms = [
    { a: 1, b: 2 },
    new Map<unknown, number>([
      ["a", 1],
      [bytes("b"), 2],
    ]),
    ["a", 1, "b", 2],
    [
      ["a", 1],
      ["b", 2],
    ],
    [
      { key: "a", value: 1 },
      { key: bytes("b"), value: 2 },
    ],
  ];
  for (const form of forms) assert.deepEqual(Object.fromEntries(mapping(form)), { a: 1, b: 2 });
});

test("entries are found in each form", () => {
  const fields = ["event", "set"];
  const forms = [
    [["inventory:feed", [["1-1", fields], ["1-2", null]]]],
    { "inventory:feed": [["1-1", fields], ["1-2", null]] },
    [{ key: "inventory:feed", value: [{ key: "1-1", value: fields }, { key: "1-2", value: null }] }],
    new Map([["inventory:feed", new Map([["1-1", fields], ["1-2", null]])]]),
  ];
  for (const form of forms) assert.deepEqual(entries(form), [["1-1", fields], ["1-2", null]]);
});

test("a gap is what was trimmed and not read", () => {
  const missed = (first: string | null, length: number, added: number, last: string, read: number | null) =>
    position(
      {
        length,
        "entries-added": added,
        "last-generated-id": "9-0",
        entries: first === null ? [] : [[first, ["a", "b"]]],
        groups: [{ name: "g", "last-delivered-id": last, "entries-read": read }],
      },
      "g",
    ).missed;
  assert.equal(missed("1-0", 9, 9, "0-0", 0), 0);
  assert.equal(missed("5-0", 5, 9, "0-0", 0), 4);
  assert.equal(missed("5-0", 5, 9, "3-0", 3), 1);
  assert.equal(missed("5-0", 5, 9, "4-0", 4), 0);
  assert.equal(missed("5-0", 5, 9, "7-0", 7), 0);
  assert.equal(missed(null, 0, 9, "9-0", 9), 0);
  assert.equal(missed(null, 0, 9, "3-0", 3), 6);
  assert.equal(missed("5-0", 5, 9, "3-0", null), undefined);
});

test("a tag is what a cluster hashes, and later ids sort after earlier ones", () => {
  assert.equal(tagOf("SHOE"), "SHOE");
  assert.equal(tagOf("{shop7}:SHOE@A"), "shop7");
  assert.equal(tagOf("{}x"), "{}x");
  assert.equal(tagOf(tagged("shop7", "order-1")), "shop7");
  const ids = Array.from({ length: 100 }, () => newId());
  assert.equal(new Set(ids).size, 100);
  const times = ids.map((id) => id.slice(0, 13));
  assert.deepEqual(times, [...times].sort());
  assert.match(ids[0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u);
});
