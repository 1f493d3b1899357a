"""The client libraries that this package can use.

An adapter sends words, and translates errors. To use another library, write one: a class with
the methods of :class:`Connection` or :class:`AsyncConnection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from . import glide, redis_py

__all__ = ["AsyncConnection", "Connection", "connect", "connect_async"]


class Connection(Protocol):
    """A client library, without asyncio."""

    is_cluster: bool

    def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        """Sends a command once, and returns the reply as the library gives it.

        In a cluster it goes to the master of ``key``, or to ``node``, one of :meth:`masters`.

        Raises:
            ServerError: for an error reply. An element that is an error is in its place.
            NoAnswer: if the command may have been carried out.
        """

    def masters(self) -> Sequence[Any]:
        """All masters of a cluster."""


class AsyncConnection(Protocol):
    """A client library, in asyncio."""

    is_cluster: bool

    async def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        """As :meth:`Connection.ask`."""

    async def masters(self) -> Sequence[Any]:
        """All masters of a cluster."""


def _library(client: object) -> tuple[str, bool]:
    """The package of a client, and whether it is one for asyncio."""
    for kind in type(client).__mro__:
        package, *rest = kind.__module__.split(".")
        if package in ("redis", "valkey"):
            return package, bool(rest) and rest[0] == "asyncio"
        if package in ("glide", "glide_sync"):
            return "glide", package == "glide"
    raise TypeError(
        f"{type(client).__module__}.{type(client).__qualname__} is not a client of redis-py, valkey-py or "
        "valkey-glide: pass a connection of your own (see redis_inventory.adapters)"
    )


def connect(client: Any) -> Connection:
    """The adapter for a client."""
    package, is_async = _library(client)
    if is_async:
        raise TypeError("this client is for asyncio: use AsyncInventory")
    return glide.Glide(client) if package == "glide" else redis_py.RedisPy(client, package)


def connect_async(client: Any) -> AsyncConnection:
    """The adapter for a client in asyncio."""
    package, is_async = _library(client)
    if not is_async:
        raise TypeError("this client is not for asyncio: use Inventory")
    return glide.AsyncGlide(client) if package == "glide" else redis_py.AsyncRedisPy(client, package)
