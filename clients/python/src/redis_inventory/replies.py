"""Reads raw replies, which look different in each client library and protocol.

A map is a dict, a list of names and values, or a list of pairs. A text is a str or bytes. A
number may be text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from .errors import Refusal, refusal, time_of
from .results import (
    Alert,
    AlertEntry,
    AlertType,
    Audit,
    Change,
    Event,
    FeedEntry,
    Held,
    Line,
    Quota,
    Reservation,
    State,
    Stock,
    Unreadable,
    Warehouse,
)

T = TypeVar("T")


class ServerError(Exception):
    """An error reply. Adapters raise it, and put it in the place of an element that is an error."""

    def __init__(self, text: str, is_temporary: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_temporary = is_temporary
        """Whether the same command can succeed a moment later, whatever the code says."""


def text(value: Any) -> str:
    """A text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def number(value: Any) -> int:
    """An integer."""
    return int(text(value))


def mapping(value: Any) -> dict[str, Any]:
    """A map."""
    if isinstance(value, dict):
        return {text(name): field for name, field in value.items()}
    if value and isinstance(value[0], (list, tuple)):
        return {text(name): field for name, field in value}
    return {text(name): field for name, field in zip(value[::2], value[1::2])}


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Reads what may be null."""
    return lambda value: None if value is None else read(value)


def nothing(value: Any) -> None:
    """Reads OK."""


def each(read: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """Reads an array."""
    return lambda values: [read(value) for value in values]


def outcomes(read: Callable[[Any], T], words: tuple[str, ...]) -> Callable[[Any], list[T | Refusal]]:
    """Reads an array in which elements can be errors."""
    return each(lambda value: refusal(value.text, words) if isinstance(value, ServerError) else read(value))


def page(read: Callable[[Any], T]) -> Callable[[Any], tuple[str, list[T]]]:
    """Reads a page of a walk: the next cursor and the entries."""
    return lambda value: (text(value[0]), [read(entry) for entry in value[1]])


def lines(value: Any) -> tuple[Line, ...]:
    """Lines of a reservation."""
    return tuple(map(_line, value))


def _line(value: Any) -> Line:
    found = mapping(value)
    warehouse = found.get("warehouse")
    return Line(
        text(found["product_id"]),
        number(found["quantity"]),
        None if warehouse is None else text(warehouse),
    )


def held(value: Any) -> Held:
    """The reply of INV.RESERVE and INV.REPLACE."""
    found = mapping(value)
    return Held(
        text(found["reservation_id"]),
        time_of(number(found["expires_at"])),
        lines(found["items"]),
        lines(found.get("short", ())),
    )


def reservation(value: Any) -> Reservation:
    """The reply of INV.GET."""
    found = mapping(value)

    def part(name: str) -> tuple[Line, ...]:
        return lines(found.get(name, ()))

    def field(name: str) -> str | None:
        return optional(text)(found.get(name))

    created_at, resolved_at = found.get("created_at"), found.get("resolved_at")
    return Reservation(
        id=text(found["reservation_id"]),
        state=cast(State, text(found["state"])),
        expires_at=time_of(number(found["expires_at"])),
        items=part("items"),
        created_at=None if created_at is None else time_of(number(created_at)),
        resolved_at=None if resolved_at is None else time_of(number(resolved_at)),
        data=field("data"),
        buyer=field("buyer"),
        sold=part("sold"),
        returned=part("returned"),
        rolled_back=part("rolled_back"),
        asked=part("asked"),
        short=part("short"),
        replaced_by=field("replaced_by"),
    )


def stock(value: Any) -> Stock | Unreadable:
    """An entry of INV.STOCK or INV.STOCKSCAN."""
    found = mapping(value)
    product = text(found["product_id"])
    if "error" in found:
        return Unreadable(product, refusal(text(found["error"]), (product,)))
    threshold = number(found["threshold"])
    return Stock(
        product=product,
        **_units(found),
        threshold=None if threshold < 0 else threshold,
        warehouses=tuple(map(_warehouse, found["warehouses"])),
    )


def _warehouse(value: Any) -> Warehouse:
    found = mapping(value)
    return Warehouse(
        name=text(found["warehouse"]),
        priority=float(text(found["priority"])),
        is_closed=number(found["closed"]) == 1,
        **_units(found),
    )


def _units(found: dict[str, Any]) -> dict[str, int]:
    names = ("available", "reserved", "on_hand", "floor", "reservable")
    return {name: number(found[name]) for name in names}


def quota(value: Any) -> Quota:
    """The reply of INV.QUOTA."""
    found = mapping(value)
    unlimited = optional(number)
    return Quota(unlimited(found["limit"]), number(found["held"]), number(found["bought"]), unlimited(found["left"]))


def alert(value: Any) -> Alert:
    """An entry of INV.ALERTS."""
    found = mapping(value)
    return Alert(
        text(found["product_id"]),
        cast(AlertType, text(found["type"])),
        number(found["available"]),
        number(found["threshold"]),
        time_of(number(found["timestamp"])),
    )


def audit(value: Any) -> Audit:
    """An entry of INV.AUDIT or INV.AUDITSCAN."""
    found = mapping(value)
    return Audit(
        text(found["sku"]),
        number(found["reserved"]),
        number(found["held"]),
        number(found["drift"]),
        number(found.get("stray", 0)),
    )


# --- the feed ---

_ENTRY = re.compile(r"\d+-\d+")


def entries(value: Any) -> list[tuple[str, dict[str, Any] | None]]:
    """The entries of XREADGROUP of one stream, with None for one that was trimmed.

    Client libraries convert this reply in ways of their own, so entries are found by their ids.
    """
    return list(_entries(value))


def _entries(value: Any) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _entry(name, part)
    elif isinstance(value, (list, tuple)):
        if len(value) == 2 and _is_entry(value[0]):
            yield from _entry(value[0], value[1])
        else:
            for part in value:
                yield from _entries(part)


def _entry(name: Any, part: Any) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if _is_entry(name):
        yield text(name), mapping(part) if part else None
    else:
        yield from _entries(part)


def _is_entry(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and _ENTRY.fullmatch(text(value)) is not None


def feed_entry(entry: str, found: dict[str, Any]) -> FeedEntry:
    """An entry of the feed."""
    event = text(found["event"])
    if event == "alert":
        return AlertEntry(entry, alert(found))

    def field(name: str) -> str | None:
        return optional(text)(found.get(name))

    return Change(
        entry=entry,
        event=cast(Event, event),
        sku=text(found["sku"]),
        quantity=number(found["quantity"]),
        available=number(found["available"]),
        reserved=number(found["reserved"]),
        timestamp=time_of(number(found["timestamp"])),
        reservation=field("reservation_id"),
        replaces=field("replaces"),
        note=field("note"),
        user=field("user"),
    )


class Position:
    """How far a group has read a stream, from XINFO STREAM FULL."""

    def __init__(self, value: Any, group: str) -> None:
        found = mapping(value)
        first = next(_entries(found["entries"]), None)
        self._first = None if first is None else first[0]
        self.added = number(found["entries-added"])
        """How many entries there have ever been."""
        self._gone = self.added - number(found["length"])
        self.newest = text(found["last-generated-id"])
        """The id of the newest entry that there has ever been."""
        groups = [mapping(part) for part in found["groups"]]
        mine = next((part for part in groups if text(part["name"]) == group), None)
        self._last = self.newest if mine is None else text(mine["last-delivered-id"])
        read = None if mine is None else mine.get("entries-read")
        self._read = None if read is None else number(read)

    @property
    def missed(self) -> int | None:
        """How many entries were trimmed before the group has read them; None if the server does not know.

        The server trims the oldest. So if the oldest entry that is left was delivered, or the newest
        that there has ever been, none is missing.
        """
        is_past = self._first is not None and _order(self._first) <= _order(self._last)
        if self._gone == 0 or is_past or _order(self.newest) <= _order(self._last):
            return 0
        return None if self._read is None else max(self._gone - self._read, 0)


def _order(entry: str) -> tuple[int, int]:
    at, _, count = entry.partition("-")
    return int(at), int(count)
