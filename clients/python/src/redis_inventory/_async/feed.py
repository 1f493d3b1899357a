"""The reader of the change feed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from .. import requests
from ..errors import FeedTrimmed, InventoryError, Refusal
from ..replies import feed_entry
from ..requests import Request
from ..results import FeedEntry
from ..retry import Retry

T = TypeVar("T")

_FOREVER = Retry(deadline=math.inf)


class _Run(Protocol):
    async def __call__(self, request: Request[T], node: Any = None, retry: Retry | None = None) -> T: ...


class AsyncFeed:
    """The entries of the change feed, as they come; this never ends by itself.

    An entry is acknowledged when the next ones are asked for, so the loop that has it has dealt
    with it. If the loop is left, the entry at which it was left comes again, and after a crash the
    entries of its page do: every entry comes at least once, in order. Give each consumer a name of
    its own that stays the same. Lost connections and failovers are waited out.

    :class:`FeedTrimmed` is raised if entries were trimmed before the group had read them. Read the
    stock again, and go on with another loop.
    """

    def __init__(
        self,
        run: _Run,
        key: str,
        group: str,
        consumer: str,
        from_start: bool,
        count: int,
        interval: float,
    ) -> None:
        self._run = run
        self._stream = (key, group)
        self._reader = (key, group, consumer, count)
        self._from_start = from_start
        self._interval = interval

    async def __aiter__(self) -> AsyncGenerator[FeedEntry, None]:
        await self._make_group(self._from_start)
        while True:
            # What was fetched is read from the list of entries that are not acknowledged, because
            # an earlier process may have left some, and the answer to a fetch may have been lost.
            try:
                page = await self._run(requests.fetched(*self._reader), retry=_FOREVER)
                if not page:
                    if not await self._fetch():
                        await asyncio.sleep(self._interval)
                    continue
            except Refusal as error:
                if error.code != "NOGROUP":
                    raise
                # Somebody has deleted the group, or the whole feed.
                await self._make_group(True)
                raise FeedTrimmed(None) from error
            trimmed = [entry for entry, fields in page if fields is None]
            if trimmed:
                await self._acknowledge(trimmed)
                raise FeedTrimmed(len(trimmed))
            done: list[str] = []
            try:
                for entry, fields in page:
                    if fields is not None:
                        yield feed_entry(entry, fields)
                    done.append(entry)
            except GeneratorExit:
                # Whoever leaves the loop does not wait for a server that does not answer: the
                # entries then come again.
                with suppress(InventoryError):
                    await self._acknowledge(done, Retry())
                raise
            await self._acknowledge(done)

    async def _make_group(self, from_start: bool) -> None:
        try:
            await self._run(requests.create_group(*self._stream, from_start=from_start), retry=_FOREVER)
        except Refusal as error:
            if error.code != "BUSYGROUP":
                raise

    async def _fetch(self) -> bool:
        """Fetches new entries. False if there are none."""
        position = await self._run(requests.position(*self._stream), retry=_FOREVER)
        is_new = await self._run(requests.fetch(*self._reader), retry=_FOREVER)
        missed = position.missed
        if missed != 0:
            # The group is past the gap now, so it is reported once. What was fetched is read by the
            # next loop. If nothing is left at all, the group has to be moved.
            if not is_new:
                await self._run(requests.move_group(*self._stream, position), retry=_FOREVER)
            raise FeedTrimmed(missed)
        return is_new

    async def _acknowledge(self, entries: Sequence[str], retry: Retry = _FOREVER) -> None:
        if entries:
            await self._run(requests.acknowledge(*self._stream, entries), retry=retry)
