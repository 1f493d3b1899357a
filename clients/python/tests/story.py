"""What the package promises, told once for every client library: on a real server or cluster.

``story.Story`` is in asyncio. A client without asyncio is wrapped by ``live.py``, so that the same story tells of it.
Every name has the tag of the story, because a cluster needs it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime, timedelta, UTC
from typing import Any, TypeVar

from redis_inventory import (
    AlertEntry,
    Change,
    Committed,
    CrossSlot,
    Drift,
    Expired,
    FeedTrimmed,
    Foreign,
    Insufficient,
    InvalidRequest,
    LimitReached,
    Line,
    Mismatch,
    NotFound,
    Overcommitted,
    Quantity,
    Refusal,
    Replaced,
    RolledBack,
    Shortage,
    Stock,
    Unreadable,
    WrongType,
    new_id,
    tagged,
)

E = TypeVar("E", bound=BaseException)

# Names that a text has to quote, or that look like a part of it.
NASTY = [
    "red shoes",
    "a,b;c",
    'size 8" \\ wide',
    "this and that",
    "P requested 1, available 2",
    "Größe 42\u00a0½ 👟",
    "EXPIRED",
    "was committed at 5: use a new id",
    "x" * 200,
]


class Story:
    """One client, on one server or cluster.

    ``shop`` is an AsyncInventory, or something with the same methods. ``plain`` sends a command of the server itself
    for a key.
    """

    def __init__(self, shop: Any, plain: Callable[..., Awaitable[Any]], is_cluster: bool) -> None:
        self.shop = shop
        self.plain = plain
        self.is_cluster = is_cluster
        self.tag = f"t{time.time_ns()}"

    def name(self, name: str) -> str:
        return tagged(self.tag, name)

    def key(self, prefix: str, name: str) -> str:
        """A key of the module. In a cluster, it is in the tagged style, and these names have a tag."""
        return f"{prefix}:{name}"

    async def tell(self) -> None:
        await self.a_checkout()
        await self.texts_are_taken_apart()
        await self.every_code_is_an_exception()
        await self.parts_and_changes()
        await self.warehouses()
        await self.limits_and_alerts()
        await self.many_at_once()
        await self.walks()
        await self.checks()
        await self.the_feed()

    # --- the scenes ---

    async def a_checkout(self) -> None:
        shop, shoe, order = self.shop, self.name("SHOE"), self.name("A1")
        check(await shop.set_available(shoe, 10), 10)
        check(await shop.set_available(shoe, 5, expected=9), None)
        check(await shop.set_on_hand(shoe, 10, expected=10), 10)
        before = datetime.now(UTC)
        held = await shop.reserve(order, {shoe: 2}, ttl=900, data="cart 7")
        check(held.id, order)
        check(held.items, (Line(shoe, 2),))
        assert timedelta(seconds=890) < held.expires_at - before < timedelta(seconds=910), held
        check(await shop.reserve(order, {shoe: 2}, ttl=timedelta(minutes=1)), held)
        found = await shop.get(order)
        check((found.state, found.is_live, found.data), ("reserved", True, "cart 7"))
        check((found.expires_at, found.items), (held.expires_at, held.items))
        until = (before + timedelta(hours=1)).replace(microsecond=0)
        check(await shop.extend(order, deadline=until), until)
        await shop.commit(order)
        await shop.commit(order)
        found = await shop.get(order)
        check((found.state, found.sold), ("committed", found.sold))
        assert found.resolved_at >= before - timedelta(seconds=5)
        check(await shop.get(self.name("A2")), None)
        stock = await shop.stock(shoe)
        check((stock.available, stock.reserved, stock.on_hand, stock.warehouses), (8, 0, 8, ()))
        check(await shop.stock(self.name("NONE")), None)
        check([bool(part) for part in await shop.stocks([shoe, self.name("NONE"), shoe])], [True, False, True])

    async def texts_are_taken_apart(self) -> None:
        shop = self.shop
        names = [self.name(name) for name in NASTY]
        await shop.set_available(names[0], 3)
        error = await raised(Insufficient, shop.reserve(self.name("B1"), {name: 5 for name in names}))
        check(
            error.shortages,
            tuple(Shortage(name, 5, 3 if place == 0 else 0, place > 0) for place, name in enumerate(names)),
        )
        for name in names:
            await shop.set_available(name, 10)
            # The same text as an id.
            await shop.reserve(name, {name: 1})
            error = await raised(Mismatch, shop.reserve(name, {name: 2}))
            check((error.reservation, error.held), (name, (Quantity(name, 1),)))
            await shop.replace(name, f"{name}+", {name: 1})
            error = await raised(Replaced, shop.commit(name))
            check((error.reservation, error.successor), (name, f"{name}+"))
            await shop.commit(f"{name}+")
            error = await raised(Committed, shop.rollback(f"{name}+"))
            check((error.reservation, error.code), (f"{name}+", "COMMITTED"))
            assert abs(error.at - datetime.now(UTC)) < timedelta(minutes=1)
            error = await raised(NotFound, shop.commit(f"{name}?"))
            check(error.reservation, f"{name}?")
            await shop.set_limit(name, 1)
            error = await raised(LimitReached, shop.reserve(self.name("B2"), {name: 2}, buyer=name))
            check((error.product, error.buyer), (name, name))
            check((error.requested, error.left, error.limit), (2, 1, 1))
            await shop.set_limit(name, None)

    async def every_code_is_an_exception(self) -> None:
        shop, p = self.shop, self.name("CODES")
        await shop.set_available(p, 100)
        error = await raised(InvalidRequest, shop.reserve(self.name("C0"), {p: 0}))
        check(error.code, "ERR")
        # `ERR` and a text that begins with the name of a product.
        await shop.set_limit(p, 5)
        await raised(InvalidRequest, shop.reserve(self.name("C0"), {p: 1}))
        await shop.set_limit(p, None)

        await shop.reserve(self.name("C1"), {p: 1}, ttl=900, data="x")
        error = await raised(Mismatch, shop.reserve(self.name("C1"), {p: 1}, buyer="somebody"))
        check((error.reservation, error.option), (self.name("C1"), "BUYER"))
        await shop.extend(self.name("C1"), ttl=0.05)
        await until(lambda: self.is_over(self.name("C1")))
        error = await raised(Expired, shop.commit(self.name("C1")))
        check(error.reservation, self.name("C1"))
        await shop.commit(self.name("C1"), late=True)

        await shop.rollback(self.name("C2"), fence=True)
        error = await raised(RolledBack, shop.reserve(self.name("C2"), {p: 1}))
        check(error.reservation, self.name("C2"))

        held = await shop.reserve(self.name("C3"), {p: 500}, partial=True)
        check((held.items, held.short), ((Line(p, 99),), (Line(p, 401),)))
        error = await raised(Mismatch, shop.reserve(self.name("C3"), {p: 500}))
        check((error.reservation, error.short), (self.name("C3"), (Quantity(p, 401),)))
        error = await raised(Overcommitted, shop.set_on_hand(p, 3))
        check((error.sku, error.on_hand, error.reserved), (p, 3, 99))
        check(await shop.adjust(p, 1, once="C-delivery"), 1)
        error = await raised(Mismatch, shop.adjust(p, 2, once="C-delivery"))
        assert error.asked and "1" in error.asked, error

        await self.plain("SET", self.key("stock:reserved", p), "7")
        error = await raised(Drift, shop.commit(self.name("C3")))
        check((error.sku, error.held, error.reserved), (p, 99, 7))
        check((await shop.audit(p)).drift, 7 - 99)
        await shop.repair(p)
        await shop.commit(self.name("C3"))

        await self.plain("SET", self.key("reservation", self.name("C4")), "somebody's")
        error = await raised(Foreign, shop.commit(self.name("C4")))
        check(error.reservation, self.name("C4"))
        await self.plain("DEL", self.key("reservation", self.name("C4")))

        broken = self.name("BROKEN")
        await self.plain("SET", self.key("stock:available", broken), "many")
        error = await raised(WrongType, shop.reserve(self.name("C5"), {broken: 1}))
        check(error.key, self.key("stock:available", broken))
        await raised(WrongType, shop.stock(broken))
        [unreadable] = await shop.stocks([broken])
        assert isinstance(unreadable, Unreadable) and isinstance(unreadable.error, WrongType), unreadable
        await self.plain("DEL", self.key("stock:available", broken))

        if self.is_cluster:
            elsewhere = tagged(f"{self.tag}+", "SHOE")
            error = await raised(CrossSlot, shop.reserve(self.name("C6"), {elsewhere: 1}))
            check(error.names, (self.name("C6"), elsewhere))

    async def is_over(self, id: str) -> bool:
        found = await self.shop.get(id)
        return found is not None and not found.is_live

    async def parts_and_changes(self) -> None:
        shop, p, q = self.shop, self.name("P"), self.name("Q")
        await shop.set_available(p, 10)
        await shop.set_available(q, 10)
        cart, order = self.name("cart"), self.name("order")
        await shop.reserve(cart, {p: 4, q: 2}, ttl=900)
        held = await shop.replace(cart, cart, {p: 5})
        check(held.items, (Line(p, 5),))
        held = await shop.replace(cart, order, [(p, 3), (q, 1)], ttl=900, data="two lines")
        check(held.items, (Line(p, 3), Line(q, 1)))
        check((await shop.get(cart)).replaced_by, order)
        await shop.commit(order, items={p: 1})
        await shop.rollback(order, items={p: 1}, once=new_id())
        found = await shop.get(order)
        check(
            (found.items, found.sold, found.returned),
            ((Line(p, 1), Line(q, 1)), (Line(p, 1),), (Line(p, 1),)),
        )
        await shop.rollback(order)
        check((await shop.stock(p)).available, 9)
        check((await shop.stock(q)).available, 10)

    async def warehouses(self) -> None:
        shop, p = self.shop, self.name("CHAIR")
        await shop.set_warehouses(p, {"A": 1, "B": 2, "RETURNS": "CLOSED"})
        for warehouse in ("A", "B", "RETURNS"):
            await shop.adjust(f"{p}@{warehouse}", 5, note=None)
        await shop.set_floor(f"{p}@B", 1)
        held = await shop.reserve(self.name("W1"), {p: 7}, split="priority")
        check(held.items, (Line(p, 5, "A"), Line(p, 2, "B")))
        check([line.sku for line in held.items], [f"{p}@A", f"{p}@B"])
        check((await shop.get(self.name("W1"))).asked, (Line(p, 7),))
        await shop.transfer(p, "RETURNS", "A", 2)
        stock = await shop.stock(p)
        by_name = {warehouse.name: warehouse for warehouse in stock.warehouses}
        check([by_name["A"].available, by_name["B"].available, by_name["RETURNS"].available], [2, 3, 3])
        check((by_name["B"].floor, by_name["B"].reservable, by_name["A"].priority), (1, 2, 1))
        check((by_name["RETURNS"].is_closed, by_name["RETURNS"].priority), (True, float("inf")))
        await shop.set_warehouses(p, {"C": 7})
        await shop.delete_warehouse(p, "C")
        await raised(InvalidRequest, shop.delete_warehouse(p, "C"))

    async def limits_and_alerts(self) -> None:
        shop, p = self.shop, self.name("PS5")
        await shop.set_threshold(p, 3)
        await shop.set_available(p, 5)
        await shop.set_limit(p, 2)
        await shop.reserve(self.name("L1"), {p: 2}, buyer="cust7")
        quota = await shop.quota(p, "cust7")
        check((quota.limit, quota.held, quota.bought, quota.left), (2, 2, 0, 0))
        await shop.set_limit(p, None)
        quota = await shop.quota(p, "cust7")
        check((quota.limit, quota.left), (None, None))
        [alert] = await shop.alerts(p, type="LOW_STOCK")
        check((alert.product, alert.type, alert.available, alert.threshold), (p, "LOW_STOCK", 3, 3))
        check(await shop.alerts(p, before=alert.timestamp), [])
        assert alert in await shop.alerts(since=alert.timestamp), "of all products"
        await shop.set_threshold(p, "OFF")
        check((await shop.stock(p)).threshold, None)

    async def many_at_once(self) -> None:
        shop, p = self.shop, self.name("MANY")
        await shop.set_available(p, 3000)
        ids = [self.name(f"M{number}") for number in range(4)]
        made = await shop.mreserve({ids[0]: {p: 1}, ids[1]: {p: 5000}, ids[2]: [(p, 2)]}, ttl=900)
        check([type(part) for part in made], [datetime, Insufficient, datetime])
        check(made[1].shortages, (Shortage(p, 5000, 2999, False),))
        sold = await shop.mcommit([ids[0], ids[3], ids[0]])
        check([type(part) for part in sold], [type(None), NotFound, type(None)])
        check(sold[1].reservation, ids[3])
        returned = await shop.mrollback([ids[2], ids[0]])
        check([type(part) for part in returned], [type(None), Committed])
        check(await shop.mcommit([]), [])
        # More lines than one call may end: what is answered with TRYAGAIN is sent again.
        lines = [(self.name(f"LINE{number}"), 1) for number in range(100)]
        for sku, _ in lines:
            await shop.set_available(sku, 20, once=False)
        large = [self.name(f"LARGE{number}") for number in range(11)]
        for id in large:
            await shop.reserve(id, lines)
        check(await shop.mcommit(large), [None] * 11)
        check((await shop.stock(lines[0][0])).on_hand, 9)
        if self.is_cluster:
            other = tagged(f"{self.tag}+", "M")
            sold = await shop.mcommit([ids[0], other, ids[0]])
            check([type(part) for part in sold], [type(None), NotFound, type(None)])

    async def walks(self) -> None:
        shop = self.shop
        # In a cluster, these are on several masters.
        products = [tagged(f"{self.tag}-{number}", "WALK") for number in range(12)]
        ids = [tagged(f"{self.tag}-{number}", "R") for number in range(12)]
        for product, id in zip(products, ids):
            await shop.set_available(product, 20)
            await shop.reserve(id, {product: 15}, data="walk")
        pattern = f"*{self.tag}-*"
        check(sorted(await every(shop.scan(match=pattern, count=2))), sorted(ids))
        check(await every(shop.scan(product=products[3])), [ids[3]])
        full = await every(shop.scan_full(match=pattern, count=5))
        check({(part.id, part.data) for part in full}, {(id, "walk") for id in ids})
        found = await every(shop.stock_scan(match=pattern, count=3))
        check({part.product for part in found if isinstance(part, Stock)}, set(products))
        await shop.set_threshold(products[0], 5)
        low = await every(shop.stock_scan(match=f"{{{self.tag}-0}}*", low=True))
        check({part.product for part in low}, {products[0]})

    async def checks(self) -> None:
        shop, p = self.shop, self.name("DRIFT")
        await shop.set_available(p, 5)
        await self.plain("INCRBY", self.key("stock:reserved", p), "2")
        found = {part.sku: part.drift for part in await every(shop.audit_scan(count=50))}
        check(found.get(p), 2)
        repaired = await shop.repair(p, force=True)
        check((repaired.reserved, repaired.held, repaired.drift), (2, 0, 2))
        check((await shop.audit(p)).drift, 0)
        check(await shop.audit(self.name("NONE")), None)

    async def the_feed(self) -> None:
        shop, p = self.shop, self.name("FED")
        tag = self.tag if self.is_cluster else None
        group = f"g-{self.tag}"

        def feed() -> Any:
            return shop.feed(group, "one", tag=tag, count=3, interval=0.01)

        # The group begins with what comes next, so the reader has to be there first.
        reader = feed().__aiter__()
        first = asyncio.ensure_future(anext(reader))
        key = self.feed_key(tag)
        await until(lambda: self.has_group(group.encode(), "GROUPS", key))
        await shop.adjust(p, 10, note="a delivery")
        change = await asyncio.wait_for(first, 10)
        assert isinstance(change, Change), change
        check((change.event, change.sku, change.quantity), ("adjusted", p, 10))
        check((change.available, change.reserved, change.note), (10, 0, "a delivery"))
        assert change.user, change
        await shop.reserve(self.name("F1"), {p: 2})
        await shop.replace(self.name("F1"), self.name("F2"), {p: 3})
        await shop.commit(self.name("F2"))
        await shop.adjust(p, -7)
        await reader.aclose()
        # The loop was left at the first entry, which therefore comes again.
        entries = await take(feed(), 6)
        check(entries[0], change)
        changes = [part for part in entries if isinstance(part, Change)]
        check([part.event for part in changes[:4]], ["adjusted", "reserved", "replaced", "committed"])
        check((changes[1].reservation, changes[2].replaces), (self.name("F1"), self.name("F1")))
        [alert] = [part.alert for part in entries if isinstance(part, AlertEntry)][:1]
        check((alert.product, alert.type), (p, "OUT_OF_STOCK"))

        # Read on to the end, and then let everything be trimmed that comes.
        await self.drain(feed(), key, group)
        await shop.set_threshold(p, "OFF")
        for _ in range(5):
            await shop.adjust(p, 1)
        await self.plain("XTRIM", key, "MAXLEN", "2", key=key)
        error = await raised(FeedTrimmed, take(feed(), 1))
        check(error.missed, 3)
        rest = await take(feed(), 2)
        check([part.available for part in rest], [4, 5])
        # Entries that were fetched and not acknowledged.
        await self.plain("XTRIM", key, "MAXLEN", "0", key=key)
        error = await raised(FeedTrimmed, take(feed(), 1))
        assert error.missed in (1, 2), error
        # All that has come since.
        await shop.adjust(p, 1)
        await self.plain("XTRIM", key, "MAXLEN", "0", key=key)
        error = await raised(FeedTrimmed, take(feed(), 1))
        check(error.missed, 1)
        await shop.adjust(p, 1)
        [last] = await take(feed(), 1)
        check(last.available, 7)
        # The group is deleted while somebody reads.
        await self.plain("XGROUP", "DELCONSUMER", key, group, "one", key=key)
        reading = asyncio.ensure_future(take(feed(), 1))
        await until(lambda: self.has_group(b"one", "CONSUMERS", key, group))
        await self.plain("XGROUP", "DESTROY", key, group, key=key)
        error = await raised(FeedTrimmed, reading)
        check(error.missed, None)

    def feed_key(self, tag: str | None) -> str:
        return "inventory:feed" if tag is None else f"inventory:feed:{{{tag}}}"

    async def has_group(self, name: bytes, what: str, key: str, *group: str) -> bool:
        try:
            return name in flat(await self.plain("XINFO", what, key, *group, key=key))
        except Exception:
            # There is no stream yet.
            return False

    async def drain(self, feed: Any, key: str, group: str) -> None:
        """Reads until nothing is left: an entry of its own comes last."""
        marker = self.name("MARKER")
        await self.shop.adjust(marker, 1)
        async with aclosing(feed.__aiter__()) as entries:
            async for entry in entries:
                if isinstance(entry, Change) and entry.sku == marker:
                    break
        # The entry at which the loop was left is not acknowledged.
        await self.plain("XGROUP", "DELCONSUMER", key, group, "one", key=key)


# --- helpers ---


def flat(reply: Any) -> bytes:
    """All texts of a reply, one after the other."""
    if isinstance(reply, dict):
        return b" ".join(flat(part) for pair in reply.items() for part in pair)
    if isinstance(reply, (list, tuple)):
        return b" ".join(flat(part) for part in reply)
    return reply if isinstance(reply, bytes) else str(reply).encode()


def check(seen: Any, expected: Any) -> None:
    """Asserts that both are the same."""
    assert seen == expected, f"{seen!r} is not {expected!r}"


async def raised(kind: type[E], step: Awaitable[Any]) -> Any:
    """The error with which a step has to end."""
    try:
        answer = await step
    except kind as error:
        if isinstance(error, Refusal):
            assert str(error).startswith(f"{error.code} "), error
        return error
    raise AssertionError(f"no {kind.__name__} but {answer!r}")


async def every(entries: AsyncIterator[Any]) -> list[Any]:
    """All entries of a walk."""
    return [entry async for entry in entries]


async def take(feed: Any, count: int) -> list[Any]:
    """The next entries of a feed."""
    found: list[Any] = []
    async with aclosing(feed.__aiter__()) as entries:
        async with asyncio.timeout(20):
            async for entry in entries:
                found.append(entry)
                if len(found) == count:
                    break
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < end, "it does not become true"
        await asyncio.sleep(0.01)
