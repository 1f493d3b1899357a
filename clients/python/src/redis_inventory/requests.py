"""Every command: its words, its key, and how its reply is read.

A request is made once, and then sent as often as it takes. Ids and tokens are therefore the same
in each try, which makes it safe to send again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from . import replies
from .errors import EPOCH, InvalidRequest, Refusal
from .names import new_id
from .results import (
    Alert,
    AlertType,
    Audit,
    Held,
    Items,
    Quota,
    Reservation,
    Split,
    Stock,
    Unreadable,
)

T = TypeVar("T")

Ttl: TypeAlias = "float | timedelta"
"""Seconds from now, or a timedelta."""

Once: TypeAlias = "str | bool"
"""A token of yours; True for a new one, so that the retries of this call are safe; False for none:
then the command is sent once."""

Batch: TypeAlias = "Mapping[str, Items] | Iterable[tuple[str, Items]]"
"""The items of each reservation, by its id."""

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Request(Generic[T]):
    """A command that can be sent."""

    words: tuple[str, ...]
    key: str | None
    """What decides to which node of a cluster it is sent; None if any master can answer."""
    read: Callable[[Any], T]
    can_repeat: bool = True
    """Whether it may be sent again if there was no answer."""
    is_done: Callable[[Refusal], bool] | None = None
    """Whether this refusal says that an earlier try, whose answer was lost, was carried out."""


def _request(
    *words: str | int | Sequence[str],
    read: Callable[[Any], T],
    can_repeat: bool = True,
    is_done: Callable[[Refusal], bool] | None = None,
) -> Request[T]:
    flat: list[str] = []
    for word in words:
        if isinstance(word, (str, int)):
            flat.append(str(word))
        else:
            flat.extend(word)
    return Request(tuple(flat), flat[1], read, can_repeat, is_done)


# --- options ---


def _option(name: str, value: str | int | None) -> list[str]:
    return [] if value is None else [name, str(value)]


def _flag(name: str, is_set: bool) -> list[str]:
    return [name] if is_set else []


def _deadline(ttl: Ttl | None, deadline: datetime | None) -> list[str]:
    if deadline is not None:
        if ttl is not None:
            raise ValueError("give either ttl or deadline, not both")
        return ["PXAT", str(_milliseconds(deadline))]
    if ttl is None:
        return []
    span = ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl)
    return ["PX", str(round(span / MILLISECOND))]


def _milliseconds(time: datetime) -> int:
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone: use datetime.now(timezone.utc)")
    return round((time - EPOCH) / MILLISECOND)


def _once(once: Once) -> list[str]:
    if once is False:
        return []
    return ["ONCE", new_id() if once is True else once]


def _pairs(items: Items) -> list[str]:
    pairs = items.items() if isinstance(items, Mapping) else items
    return [word for sku, quantity in pairs for word in (sku, str(quantity))]


def _items(items: Items | None) -> list[str]:
    return [] if items is None else ["ITEMS", *_pairs(items)]


# --- reservations ---


def reserve(
    id: str,
    items: Items,
    *,
    ttl: Ttl | None,
    deadline: datetime | None,
    data: str | None,
    split: Split | None,
    partial: bool,
    buyer: str | None,
    once: str | None,
) -> Request[Held]:
    if id.endswith("*"):
        raise ValueError("make the id before the first try, with new_id(): a retry of '*' would reserve twice")
    return _request(
        "INV.RESERVE",
        id,
        _deadline(ttl, deadline),
        _option("DATA", data),
        _option("SPLIT", split),
        _flag("PARTIAL", partial),
        _option("BUYER", buyer),
        _option("ONCE", once),
        _items(items),
        read=replies.held,
    )


def replace(
    old: str,
    new: str,
    items: Items,
    *,
    ttl: Ttl | None,
    deadline: datetime | None,
    data: str | None,
    split: Split | None,
    partial: bool,
    buyer: str | None,
    once: Once,
) -> Request[Held]:
    return _request(
        "INV.REPLACE",
        old,
        new,
        _deadline(ttl, deadline),
        _option("DATA", data),
        _option("SPLIT", split),
        _flag("PARTIAL", partial),
        _option("BUYER", buyer),
        _once(once),
        _items(items),
        read=replies.held,
        # Without a token, a delayed duplicate of a change in place undoes a later change.
        can_repeat=once is not False or old != new,
    )


def commit(id: str, *, late: bool, items: Items | None, once: Once) -> Request[None]:
    return _request(
        "INV.COMMIT",
        id,
        _flag("LATE", late),
        # The id of a whole reservation is token enough, unless the caller has one.
        _once(once) if items is not None or isinstance(once, str) else [],
        _items(items),
        read=replies.nothing,
        can_repeat=items is None or once is not False,
    )


def rollback(id: str, *, fence: bool, items: Items | None, once: Once) -> Request[None]:
    return _request(
        "INV.ROLLBACK",
        id,
        _flag("FENCE", fence),
        _once(once) if items is not None or isinstance(once, str) else [],
        _items(items),
        read=replies.nothing,
        can_repeat=items is None or once is not False,
    )


def extend(id: str, *, ttl: Ttl | None, deadline: datetime | None, once: Once) -> Request[datetime]:
    until = _deadline(ttl, deadline)
    if not until:
        raise ValueError("give ttl or deadline")
    return _request(
        "INV.EXTEND",
        id,
        until,
        _once(once),
        read=lambda value: _time(value),
        # The same point in time can be set twice.
        can_repeat=once is not False or deadline is not None,
    )


def _time(value: Any) -> datetime:
    return EPOCH + replies.number(value) * MILLISECOND


def get(id: str) -> Request[Reservation | None]:
    return _request("INV.GET", id, read=replies.optional(replies.reservation))


def batch(orders: Batch) -> list[tuple[str, list[str]]]:
    """The id and the words of each reservation."""
    pairs = orders.items() if isinstance(orders, Mapping) else orders
    return [(id, _pairs(items)) for id, items in pairs]


def mreserve(
    orders: Sequence[tuple[str, list[str]]], *, ttl: Ttl | None, deadline: datetime | None
) -> Request[list[datetime | Refusal]]:
    words = [word for id, pairs in orders for word in (id, str(len(pairs) // 2), *pairs)]
    request = _request("INV.MRESERVE", _deadline(ttl, deadline), len(orders), words, read=replies.nothing)
    return Request(request.words, orders[0][0], replies.outcomes(_time, request.words))


def mcommit(ids: Sequence[str]) -> Request[list[Refusal | None]]:
    words = ("INV.MCOMMIT", *ids)
    return Request(words, ids[0], replies.outcomes(replies.nothing, words))


def mrollback(ids: Sequence[str]) -> Request[list[Refusal | None]]:
    words = ("INV.MROLLBACK", *ids)
    return Request(words, ids[0], replies.outcomes(replies.nothing, words))


# --- stock ---


def stocks(products: Sequence[str]) -> Request[list[Stock | Unreadable | None]]:
    return _request("INV.STOCK", products, read=replies.each(replies.optional(replies.stock)))


def adjust(sku: str, delta: int, *, force: bool, once: Once, note: str | None) -> Request[int]:
    return _request(
        "INV.ADJUST",
        sku,
        delta,
        _flag("FORCE", force),
        _once(once),
        _option("NOTE", note),
        read=replies.number,
        can_repeat=once is not False,
    )


def set_count(
    sku: str,
    what: Literal["AVAILABLE", "ONHAND"],
    count: int,
    *,
    expected: int | None,
    force: bool,
    once: Once,
    note: str | None,
) -> Request[int | None]:
    return _request(
        "INV.SET",
        sku,
        what,
        count,
        _option("IFEQ", expected),
        _flag("FORCE", force),
        _once(once),
        _option("NOTE", note),
        read=replies.optional(replies.number),
        can_repeat=once is not False,
    )


def transfer(product: str, source: str, target: str, quantity: int, *, once: Once, note: str | None) -> Request[None]:
    return _request(
        "INV.TRANSFER",
        product,
        source,
        target,
        quantity,
        _once(once),
        _option("NOTE", note),
        read=replies.nothing,
        can_repeat=once is not False,
    )


def set_floor(sku: str, floor: int) -> Request[None]:
    return _request("INV.FLOOR", sku, floor, read=replies.nothing)


def set_warehouses(product: str, priorities: Mapping[str, float | Literal["CLOSED"]]) -> Request[None]:
    words = [word for name, priority in priorities.items() for word in (name, str(priority))]
    return _request("INV.WAREHOUSES", product, "SET", words, read=replies.nothing)


def delete_warehouse(product: str, warehouse: str) -> Request[None]:
    return _request(
        "INV.WAREHOUSES",
        product,
        "DEL",
        warehouse,
        read=replies.nothing,
        is_done=lambda error: isinstance(error, InvalidRequest) and " has no warehouse " in error.message,
    )


def set_limit(product: str, limit: int | None) -> Request[None]:
    return _request("INV.LIMIT", product, "OFF" if limit is None else limit, read=replies.nothing)


def quota(product: str, buyer: str) -> Request[Quota]:
    return _request("INV.QUOTA", product, buyer, read=replies.quota)


def set_threshold(product: str, threshold: int | Literal["OFF", "DEFAULT"]) -> Request[None]:
    return _request("INV.THRESHOLD", product, threshold, read=replies.nothing)


def alerts(
    product: str | None,
    *,
    type: AlertType | None,
    since: datetime | None,
    before: datetime | None,
    count: int | None,
) -> Request[list[Alert]]:
    words = [
        "INV.ALERTS",
        *_option("PRODUCT", product),
        *_option("TYPE", type),
        *_option("SINCE", None if since is None else _milliseconds(since)),
        *_option("BEFORE", None if before is None else _milliseconds(before)),
        *_option("COUNT", count),
    ]
    return Request(tuple(words), product, replies.each(replies.alert))


def audit(sku: str) -> Request[Audit | None]:
    return _request("INV.AUDIT", sku, read=replies.optional(replies.audit))


def repair(sku: str, *, force: bool) -> Request[Audit | None]:
    return _request("INV.REPAIR", sku, _flag("FORCE", force), read=replies.optional(replies.audit))


# --- walks: a function of the cursor ---


@dataclass(frozen=True)
class Walk(Generic[T]):
    """A command that answers page by page."""

    name: str
    options: tuple[str, ...]
    key: str | None
    read: Callable[[Any], T]

    def page(self, cursor: str) -> Request[tuple[str, list[T]]]:
        """The request for the page at a cursor."""
        return Request((self.name, cursor, *self.options), self.key, replies.page(self.read))


def scan(match: str | None, product: str | None, count: int | None) -> Walk[str]:
    options = [*_option("MATCH", match), *_option("PRODUCT", product), *_option("COUNT", count)]
    return Walk("INV.SCAN", tuple(options), product, replies.text)


def scan_full(match: str | None, product: str | None, count: int | None) -> Walk[Reservation]:
    ids = scan(match, product, count)
    return Walk(ids.name, (*ids.options, "FULL"), product, replies.reservation)


def stock_scan(match: str | None, low: bool, count: int | None) -> Walk[Stock | Unreadable]:
    options = [*_option("MATCH", match), *_option("COUNT", count), *_flag("LOW", low)]
    return Walk("INV.STOCKSCAN", tuple(options), None, replies.stock)


def audit_scan(count: int | None) -> Walk[Audit]:
    return Walk("INV.AUDITSCAN", tuple(_option("COUNT", count)), None, replies.audit)


# --- the feed ---


def create_group(key: str, group: str, *, from_start: bool) -> Request[None]:
    # With ENTRIESREAD, the server knows from the beginning how many entries the group has not read.
    start = ["0", "MKSTREAM", "ENTRIESREAD", "0"] if from_start else ["$", "MKSTREAM"]
    return Request(("XGROUP", "CREATE", key, group, *start), key, replies.nothing)


def position(key: str, group: str) -> Request[replies.Position]:
    words = ("XINFO", "STREAM", key, "FULL", "COUNT", "1")
    return Request(words, key, lambda value: replies.Position(value, group))


def move_group(key: str, group: str, position: replies.Position) -> Request[None]:
    """Moves a group to the end of a stream as it was at this position."""
    words = ("XGROUP", "SETID", key, group, position.newest, "ENTRIESREAD", str(position.added))
    return Request(words, key, replies.nothing)


def fetch(key: str, group: str, consumer: str, count: int) -> Request[bool]:
    """Moves new entries into the consumer's list of entries that it has not acknowledged."""
    words = ("XREADGROUP", "GROUP", group, consumer, "COUNT", str(count), "STREAMS", key, ">")
    # What was fetched without an answer is in that list too.
    return Request(words, key, lambda value: bool(replies.entries(value)))


def fetched(key: str, group: str, consumer: str, count: int) -> Request[list[tuple[str, dict[str, Any] | None]]]:
    words = ("XREADGROUP", "GROUP", group, consumer, "COUNT", str(count), "STREAMS", key, "0")
    return Request(words, key, replies.entries)


def acknowledge(key: str, group: str, entries: Sequence[str]) -> Request[None]:
    return Request(("XACK", key, group, *entries), key, replies.nothing)
