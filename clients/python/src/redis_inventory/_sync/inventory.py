# Written by generate_sync.py from _async/inventory.py.
"""The inventory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from .. import requests
from ..adapters import Connection, connect
from ..errors import NoAnswer, Refusal, TryAgain, refusal
from ..names import tag_of
from ..replies import ServerError
from ..requests import Batch, Once, Request, Ttl, Walk
from ..results import (
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
from ..retry import Retry
from .feed import Feed

T = TypeVar("T")
E = TypeVar("E")


class Inventory:
    """Stock and reservations, over the client that you have.

    ``client`` is one of redis-py, valkey-py or valkey-glide, for a single server or a cluster, in
    either protocol. Set a timeout on it: some of them wait for an answer forever by default. To
    use another library, pass a ``connection`` of your own.

    Every method raises a :class:`Refusal` if the server refuses the command, and
    :class:`NoAnswer` if there was no answer before the deadline of ``retry``.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        retry: Retry = Retry(),
        connection: Connection | None = None,
    ) -> None:
        self._connection = connect(client) if connection is None else connection
        self._retry = retry

    # --- reservations ---

    def reserve(
        self,
        id: str,
        items: Items,
        *,
        ttl: Ttl | None = None,
        deadline: datetime | None = None,
        data: str | None = None,
        split: Split | None = None,
        partial: bool = False,
        buyer: str | None = None,
        once: str | None = None,
    ) -> Held:
        """Holds all items or none, until a deadline. With ``partial``, holds what there is.

        The id is yours and makes it safe to send this again: an order number, or
        :func:`new_id`. In a cluster it needs the tag of the products: :func:`tagged`.
        """
        return self._run(
            requests.reserve(
                id,
                items,
                ttl=ttl,
                deadline=deadline,
                data=data,
                split=split,
                partial=partial,
                buyer=buyer,
                once=once,
            )
        )

    def replace(
        self,
        old: str,
        new: str,
        items: Items,
        *,
        ttl: Ttl | None = None,
        deadline: datetime | None = None,
        data: str | None = None,
        split: Split | None = None,
        partial: bool = False,
        buyer: str | None = None,
        once: Once = True,
    ) -> Held:
        """Makes ``new`` hold exactly these items in one step; the units of ``old`` are free for that.

        With the same id twice, a reservation is changed in place.
        """
        return self._run(
            requests.replace(
                old,
                new,
                items,
                ttl=ttl,
                deadline=deadline,
                data=data,
                split=split,
                partial=partial,
                buyer=buyer,
                once=once,
            )
        )

    def commit(self, id: str, *, late: bool = False, items: Items | None = None, once: Once = True) -> None:
        """Sells a reservation, or with ``items`` a part of it. ``late`` sells after the deadline."""
        self._run(requests.commit(id, late=late, items=items, once=once))

    def rollback(self, id: str, *, fence: bool = False, items: Items | None = None, once: Once = True) -> None:
        """Returns a reservation, or with ``items`` a part of it.

        With ``fence``, an unknown id is remembered, so that a delayed RESERVE is refused.
        """
        self._run(requests.rollback(id, fence=fence, items=items, once=once))

    def mreserve(
        self, orders: Batch, *, ttl: Ttl | None = None, deadline: datetime | None = None
    ) -> list[datetime | Refusal]:
        """Makes many reservations. The result has the deadline of each, or why it was refused.

        In a cluster, there is a call for each tag. Elements that are answered with TRYAGAIN are
        sent again.
        """

        def make(some: Sequence[tuple[str, list[str]]]) -> Request[list[datetime | Refusal]]:
            return requests.mreserve(some, ttl=ttl, deadline=deadline)

        return self._batch(requests.batch(orders), lambda order: order[0], make)

    def mcommit(self, ids: Iterable[str]) -> list[Refusal | None]:
        """Sells many reservations. The result has None for each, or why it could not be sold."""
        return self._batch(list(ids), str, requests.mcommit)

    def mrollback(self, ids: Iterable[str]) -> list[Refusal | None]:
        """Returns many reservations. The result has None for each, or why it could not be returned."""
        return self._batch(list(ids), str, requests.mrollback)

    def extend(
        self,
        id: str,
        *,
        ttl: Ttl | None = None,
        deadline: datetime | None = None,
        once: Once = True,
    ) -> datetime:
        """Moves the deadline of a live reservation, and returns it."""
        return self._run(requests.extend(id, ttl=ttl, deadline=deadline, once=once))

    def get(self, id: str) -> Reservation | None:
        """A reservation, or how it ended; None if it is unknown."""
        return self._run(requests.get(id))

    def scan(
        self, *, match: str | None = None, product: str | None = None, count: int | None = None
    ) -> Iterator[str]:
        """The ids of live reservations, by deadline on each master. ``count`` is the size of a page."""
        return self._walk(requests.scan(match, product, count))

    def scan_full(
        self, *, match: str | None = None, product: str | None = None, count: int | None = None
    ) -> Iterator[Reservation]:
        """The live reservations, by deadline on each master."""
        return self._walk(requests.scan_full(match, product, count))

    # --- stock ---

    def stock(self, product: str) -> Stock | None:
        """The stock of a product; None if it is unknown."""
        [found] = self._run(requests.stocks([product]))
        if isinstance(found, Unreadable):
            raise found.error
        return found

    def stocks(self, products: Iterable[str]) -> list[Stock | Unreadable | None]:
        """The stock of products, in their order. In a cluster, there is a call for each tag."""
        return self._in_groups(list(products), str, requests.stocks)

    def stock_scan(
        self, *, match: str | None = None, low: bool = False, count: int | None = None
    ) -> Iterator[Stock | Unreadable]:
        """The stock of all products, or of those that are ``low``. One may come twice."""
        return self._walk(requests.stock_scan(match, low, count))

    def adjust(
        self,
        sku: str,
        delta: int,
        *,
        force: bool = False,
        once: Once = True,
        note: str | None = None,
    ) -> int:
        """Adds units, or removes them, and returns how many are then available.

        Use the number of the delivery as ``once`` if it can be booked by two processes, or again
        after a crash.
        """
        return self._run(requests.adjust(sku, delta, force=force, once=once, note=note))

    def set_available(
        self,
        sku: str,
        count: int,
        *,
        expected: int | None = None,
        force: bool = False,
        once: Once = True,
        note: str | None = None,
    ) -> int | None:
        """Sets the available units, and returns them; None if they are not ``expected``."""
        return self._run(
            requests.set_count(sku, "AVAILABLE", count, expected=expected, force=force, once=once, note=note)
        )

    def set_on_hand(
        self,
        sku: str,
        count: int,
        *,
        expected: int | None = None,
        force: bool = False,
        once: Once = True,
        note: str | None = None,
    ) -> int | None:
        """Sets the available and reserved units together, and returns the available ones.

        None if the units on hand are not ``expected``.
        """
        return self._run(
            requests.set_count(sku, "ONHAND", count, expected=expected, force=force, once=once, note=note)
        )

    def set_floor(self, sku: str, floor: int) -> None:
        """Keeps safety stock (above 0), or promises units before they arrive (below 0)."""
        self._run(requests.set_floor(sku, floor))

    def set_warehouses(self, product: str, priorities: Mapping[str, float | Literal["CLOSED"]]) -> None:
        """Adds warehouses to a product, or changes their priorities; the lowest is used first."""
        self._run(requests.set_warehouses(product, priorities))

    def delete_warehouse(self, product: str, warehouse: str) -> None:
        """Removes a warehouse that has no units.

        If the library repeats commands by itself, as redis-py does, and the first answer was lost,
        this raises :class:`InvalidRequest`: the warehouse is no longer there.
        """
        self._run(requests.delete_warehouse(product, warehouse))

    def transfer(
        self,
        product: str,
        source: str,
        target: str,
        quantity: int,
        *,
        once: Once = True,
        note: str | None = None,
    ) -> None:
        """Moves available units from one warehouse to another."""
        self._run(requests.transfer(product, source, target, quantity, once=once, note=note))

    # --- limits and alerts ---

    def set_limit(self, product: str, limit: int | None) -> None:
        """Limits the units that each buyer may hold and have bought; None is no limit."""
        self._run(requests.set_limit(product, limit))

    def quota(self, product: str, buyer: str) -> Quota:
        """What a buyer holds and has bought of a product, and what is left."""
        return self._run(requests.quota(product, buyer))

    def set_threshold(self, product: str, threshold: int | Literal["OFF", "DEFAULT"]) -> None:
        """Sets the low-stock threshold of a product, or turns its alerts off."""
        self._run(requests.set_threshold(product, threshold))

    def alerts(
        self,
        product: str | None = None,
        *,
        type: AlertType | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        count: int | None = None,
    ) -> list[Alert]:
        """Alerts, newest first. In a cluster, those of all masters are merged.

        To page back, continue with ``before`` and the timestamp of the last alert.
        """
        request = requests.alerts(product, type=type, since=since, before=before, count=count)
        found: list[Alert] = []
        for node in self._nodes(request.key):
            some = self._run(request, node)
            found += some
        found.sort(key=lambda alert: alert.timestamp, reverse=True)
        # A page back always has all alerts of its last millisecond.
        return found if count is None or before is not None else found[:count]

    # --- checks ---

    def audit(self, sku: str) -> Audit | None:
        """Compares a reserved counter with what reservations hold; None if the sku is unknown."""
        return self._run(requests.audit(sku))

    def audit_scan(self, *, count: int | None = None) -> Iterator[Audit]:
        """All skus whose counters do not match."""
        return self._walk(requests.audit_scan(count))

    def repair(self, sku: str, *, force: bool = False) -> Audit | None:
        """Corrects the counters of a sku, and returns what the audit showed before."""
        return self._run(requests.repair(sku, force=force))

    # --- the feed ---

    def feed(
        self,
        group: str,
        consumer: str,
        *,
        tag: str | None = None,
        from_start: bool = False,
        count: int = 100,
        interval: float = 0.2,
    ) -> Feed:
        """A reader of the change feed, as one consumer of a group.

        The group is made if it does not exist: it begins with what comes next, or with
        ``from_start`` with the oldest entry. With tagged keys, there is one feed for each ``tag``.
        ``count`` is the size of a page, and ``interval`` the seconds between two looks at a feed in
        which nothing is new.
        """
        key = "inventory:feed" if tag is None else f"inventory:feed:{{{tag}}}"
        return Feed(self._run, key, group, consumer, from_start, count, interval)

    # --- how a request is sent ---

    def _run(self, request: Request[T], node: Any = None, retry: Retry | None = None) -> T:
        tries = (retry or self._retry).begin()
        while True:
            try:
                reply = self._connection.ask(request.words, request.key, node)
            except ServerError as error:
                refused = refusal(error.text, request.words)
                if tries.lost_answer and request.is_done and request.is_done(refused):
                    return request.read(None)
                pause = tries.pause() if refused.is_temporary or error.is_temporary else None
                if pause is None:
                    raise refused from error.__cause__
            except NoAnswer:
                pause = tries.pause() if request.can_repeat else None
                if pause is None:
                    raise
                tries.lost_answer = True
            else:
                return request.read(reply)
            time.sleep(pause)

    def _nodes(self, key: str | None) -> Sequence[Any]:
        """The nodes to which a command is sent: all masters of a cluster, if it has no key."""
        return self._connection.masters() if self._connection.is_cluster and key is None else [None]

    def _walk(self, walk: Walk[T]) -> Iterator[T]:
        for node in self._nodes(walk.key):
            cursor = "0"
            while True:
                cursor, entries = self._run(walk.page(cursor), node)
                for entry in entries:
                    yield entry
                if cursor == "0":
                    break

    def _in_groups(
        self,
        elements: Sequence[E],
        name: Callable[[E], str],
        make: Callable[[Sequence[E]], Request[list[T]]],
    ) -> list[T]:
        """Sends one call, or in a cluster one for each tag, and returns the results in order."""
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for place, element in enumerate(elements):
            groups[tag_of(name(element)) if self._connection.is_cluster else ""].append(place)
        found: dict[int, T] = {}
        for places in groups.values():
            answers = self._run(make([elements[place] for place in places]))
            found.update(zip(places, answers))
        return [found[place] for place in range(len(elements))]

    def _batch(
        self,
        elements: Sequence[E],
        name: Callable[[E], str],
        make: Callable[[Sequence[E]], Request[list[T | Refusal]]],
    ) -> list[T | Refusal]:
        tries = self._retry.begin()
        found = self._in_groups(elements, name, make)
        while True:
            later = [place for place, answer in enumerate(found) if isinstance(answer, TryAgain)]
            pause = tries.pause() if later else None
            if pause is None:
                return found
            time.sleep(pause)
            answers = self._in_groups([elements[place] for place in later], name, make)
            for place, answer in zip(later, answers):
                found[place] = answer
