"""The texts of errors, without a server: what the server really says is compared in story.py.

PYTHONPATH=clients/python/src python3 -m unittest discover clients/python/tests
"""

from __future__ import annotations

import unittest
from typing import Any

from redis_inventory import errors, new_id, tag_of, tagged
from redis_inventory.adapters.glide import original
from redis_inventory.errors import Quantity, Shortage, refusal, time_of
from redis_inventory.replies import Position, entries, mapping

AT = time_of(1795366976022)

# A text, its class, and its parts.
TEXTS: list[tuple[str, type[errors.Refusal], dict[str, Any]]] = [
    (
        'INSUFFICIENT PROD-123 requested 9, available 8; "red; \\"big\\" \\\\shoes" requested 1, '
        "available -3 (unknown sku)",
        errors.Insufficient,
        {
            "shortages": (
                Shortage("PROD-123", 9, 8, False),
                Shortage('red; "big" \\shoes', 1, -3, True),
            )
        },
    ),
    (
        'LIMIT "PS 5" buyer cust7 requested 3, may take 1 more (limit 2)',
        errors.LimitReached,
        {"product": "PS 5", "buyer": "cust7", "requested": 3, "left": 1, "limit": 2},
    ),
    (
        "COMMITTED reservation a b: c was committed at 1795366976022: use a new id for a new order",
        errors.Committed,
        {"reservation": "a b: c", "at": AT},
    ),
    (
        "ROLLEDBACK reservation R was rolled back at 1795366976022: use a new id for a new order",
        errors.RolledBack,
        {"reservation": "R", "at": AT},
    ),
    (
        "EXPIRED reservation R expired at 1: x expired at 1795366976022: retry with a new id, or sell its "
        "units with INV.COMMIT R expired at 1: x LATE if they are still available",
        errors.Expired,
        {"reservation": "R expired at 1: x", "at": AT},
    ),
    (
        "REPLACED reservation a was replaced by b was replaced by c at 1795366976022: use b was replaced by c instead",
        errors.Replaced,
        {"reservation": "a", "successor": "b was replaced by c", "at": AT},
    ),
    (
        'MISMATCH reservation R already exists with other items (P 1, "x, y" 3): use a new id',
        errors.Mismatch,
        {"reservation": "R", "held": (Quantity("P", 1), Quantity("x, y", 3)), "option": None},
    ),
    (
        "MISMATCH reservation R was made with PARTIAL and is short of P 2: repeat PARTIAL to accept that, or "
        "use a new id",
        errors.Mismatch,
        {"reservation": "R", "short": (Quantity("P", 2),), "held": ()},
    ),
    (
        "MISMATCH reservation R already exists with these items but another BUYER: use a new id",
        errors.Mismatch,
        {"reservation": "R", "option": "BUYER"},
    ),
    (
        "MISMATCH this ONCE token was already used with other arguments (ADJUST P 5): use a new token",
        errors.Mismatch,
        {"asked": "ADJUST P 5", "reservation": None},
    ),
    ("NOTFOUND reservation R is unknown: it was never made", errors.NotFound, {"reservation": "R"}),
    (
        "DRIFT the reserved counter of P is 1, but this reservation holds 2: another client has written it.",
        errors.Drift,
        {"sku": "P", "reserved": 1, "held": 2},
    ),
    (
        "DRIFT the reservation held 3 of P, but only 1 were returned at the deadline or sold before: it cannot",
        errors.Drift,
        {"sku": "P", "reserved": 1, "held": 3},
    ),
    (
        "OVERCOMMITTED P cannot have 3 on hand, because 5 are reserved: commit or roll back",
        errors.Overcommitted,
        {"sku": "P", "on_hand": 3, "reserved": 5},
    ),
    (
        "OVERCOMMITTED P has -3 on hand, because units were sold before they arrived: add",
        errors.Overcommitted,
        {"sku": "P", "on_hand": -3, "reserved": None},
    ),
    (
        "FOREIGN the key of reservation R is not a record of this module, but perhaps one of a script",
        errors.Foreign,
        {"reservation": "R", "units": None},
    ),
    (
        "FOREIGN 3 reserved units of P belong to no reservation of this module, and",
        errors.Foreign,
        {"reservation": None, "units": 3, "sku": "P"},
    ),
    (
        "WRONGTYPE key stock:available:P holds a list, not an integer",
        errors.WrongType,
        {"key": "stock:available:P", "found": "a list", "wanted": "an integer"},
    ),
    (
        'TRYAGAIN more reservations of A, "b c" are overdue than one command releases: try again',
        errors.TryAgain,
        {"skus": ("A", "b c"), "slot": None},
    ),
    (
        "TRYAGAIN slot 12 is being moved between nodes: try again in a moment",
        errors.TryAgain,
        {"skus": (), "slot": 12},
    ),
    ("ERR the quantity is 0", errors.InvalidRequest, {"message": "the quantity is 0"}),
    ("OOM command not allowed", errors.ServerRefusal, {"code": "OOM", "is_temporary": False}),
    ("LOADING wait", errors.ServerRefusal, {"code": "LOADING", "is_temporary": True}),
]


class Texts(unittest.TestCase):
    def test_each_text_becomes_an_exception_with_its_parts(self) -> None:
        for text, kind, parts in TEXTS:
            with self.subTest(text):
                error = refusal(text)
                self.assertIs(type(error), kind)
                self.assertEqual(error.code, text.split(" ")[0])
                self.assertEqual(str(error), text)
                self.assertEqual({name: getattr(error, name) for name in parts}, parts)

    def test_another_wording_keeps_the_class(self) -> None:
        for code in {text.split(" ")[0] for text, _, _ in TEXTS}:
            known = type(next(refusal(text) for text, _, _ in TEXTS if text.startswith(f"{code} ")))
            self.assertIs(type(refusal(f"{code} says something else")), known)

    def test_names_with_the_word_between_them_are_those_of_the_command(self) -> None:
        text = (
            "CROSSSLOT Keys in request don't hash to the same slot: reservation this and that and salt need the "
            "same hash tag in braces"
        )
        error = refusal(text, ["INV.RESERVE", "this and that", "ITEMS", "salt", "1"])
        assert isinstance(error, errors.CrossSlot)
        self.assertEqual(error.names, ("this and that", "salt"))

    def test_what_glide_makes_of_a_text_is_undone(self) -> None:
        for message, text in [
            ("INSUFFICIENT: P requested 2, available 1", "INSUFFICIENT P requested 2, available 1"),
            ("An error was signalled by the server: - ResponseError: no: x", "ERR no: x"),
            ("An error was signalled by the server - TryAgain: later", "TRYAGAIN later"),
            ("timed out", None),
        ]:
            self.assertEqual(original(message), text)


class Replies(unittest.TestCase):
    def test_a_map_is_read_in_each_form(self) -> None:
        for reply in (
            {b"a": 1, b"b": 2},
            {"a": 1, "b": 2},
            [b"a", 1, b"b", 2],
            [[b"a", 1], [b"b", 2]],
        ):
            self.assertEqual(mapping(reply), {"a": 1, "b": 2})

    def test_entries_are_found_in_each_form(self) -> None:
        fields = {"event": "set"}
        for reply in (
            [[b"inventory:feed", [[b"1-1", [b"event", b"set"]], [b"1-2", None]]]],
            {b"inventory:feed": {b"1-1": [[b"event", b"set"]], b"1-2": None}},
            {"inventory:feed": [[("1-1", {"event": "set"}), ("1-2", {})]]},
        ):
            [first, second] = entries(reply)
            assert first[1] is not None
            self.assertEqual(first[0], "1-1")
            self.assertEqual(set(first[1]), set(fields))
            self.assertEqual(second, ("1-2", None))

    def test_a_gap_is_what_was_trimmed_and_not_read(self) -> None:
        def missed(first: str | None, length: int, added: int, last: str, read: int | None) -> int | None:
            groups = [{"name": "g", "last-delivered-id": last, "entries-read": read}]
            stream = {"length": length, "entries-added": added, "last-generated-id": "9-0", "groups": groups}
            return Position({**stream, "entries": [[first, ["a", "b"]]] if first else []}, "g").missed

        self.assertEqual(missed("1-0", 9, 9, "0-0", 0), 0)
        self.assertEqual(missed("5-0", 5, 9, "0-0", 0), 4)
        self.assertEqual(missed("5-0", 5, 9, "3-0", 3), 1)
        self.assertEqual(missed("5-0", 5, 9, "4-0", 4), 0)
        self.assertEqual(missed("5-0", 5, 9, "7-0", 7), 0)
        self.assertEqual(missed(None, 0, 9, "9-0", 9), 0)
        self.assertEqual(missed(None, 0, 9, "3-0", 3), 6)
        self.assertIsNone(missed("5-0", 5, 9, "3-0", None))


class Names(unittest.TestCase):
    def test_a_tag_is_what_a_cluster_hashes(self) -> None:
        self.assertEqual(tag_of("SHOE"), "SHOE")
        self.assertEqual(tag_of("{shop7}:SHOE@A"), "shop7")
        self.assertEqual(tag_of("{}x"), "{}x")
        self.assertEqual(tag_of(tagged("shop7", "order-1")), "shop7")

    def test_later_ids_sort_after_earlier_ones(self) -> None:
        ids = [new_id() for _ in range(100)]
        self.assertEqual(len(set(ids)), 100)
        self.assertEqual([id[:13] for id in ids], sorted(id[:13] for id in ids))
        self.assertRegex(ids[0], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


if __name__ == "__main__":
    unittest.main()
