"""What mypy makes of programs that use the feed and the walks: this is checked, and never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from contextlib import aclosing, closing
from typing import assert_type

from redis_inventory import AsyncInventory, FeedEntry, Inventory


async def reads_with_asyncio(shop: AsyncInventory) -> None:
    feed = shop.feed("erp", "worker-1")
    async for entry in feed:
        assert_type(entry, FeedEntry)
    assert_type(aiter(feed), AsyncGenerator[FeedEntry, None])
    assert_type(await anext(aiter(feed)), FeedEntry)
    async with aclosing(aiter(feed)) as entries:
        assert_type([entry async for entry in entries], list[FeedEntry])
    any_source: AsyncIterable[FeedEntry] = feed
    assert_type(await anext(aiter(any_source)), FeedEntry)


def reads(shop: Inventory) -> None:
    feed = shop.feed("erp", "worker-1")
    for entry in feed:
        assert_type(entry, FeedEntry)
    assert_type(iter(feed), Generator[FeedEntry, None, None])
    with closing(iter(feed)) as entries:
        assert_type(list(entries), list[FeedEntry])
    any_source: Iterable[FeedEntry] = feed
    assert_type(next(iter(any_source)), FeedEntry)
