"""valkey-glide, and valkey-glide-sync."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import NoAnswer
from ..replies import ServerError, text

# GLIDE has names of its own for some codes.
_CODES = {
    "AskError": "ASK",
    "BusyLoadingError": "LOADING",
    "ClusterDown": "CLUSTERDOWN",
    "CrossSlot": "CROSSSLOT",
    "MasterDown": "MASTERDOWN",
    "MovedError": "MOVED",
    "PermissionDenied": "NOPERM",
    "ReadOnly": "READONLY",
    "ResponseError": "ERR",
    "TryAgain": "TRYAGAIN",
}
_SIGNALLED = re.compile(r"An error was signalled by the server:? ?- (\w+): (.*)", re.S)
_CODED = re.compile(r"([A-Z][A-Z0-9]*): (.*)", re.S)


def original(message: str) -> str | None:
    """The text of an error reply as the server sent it; None if GLIDE did not make this message from one."""
    if found := _SIGNALLED.fullmatch(message):
        return f"{_CODES.get(found[1], found[1])} {found[2]}"
    if found := _CODED.fullmatch(message):
        return f"{found[1]} {found[2]}"
    return None


# Commands whose answer can have errors among its elements. GLIDE raises the first of them, and the others are
# lost, except in the answers to a batch.
_MANY = frozenset(["INV.MRESERVE", "INV.MCOMMIT", "INV.MROLLBACK"])


class _Library:
    """What both clients have in common."""

    def __init__(self, client: Any) -> None:
        self.is_cluster = any(kind.__name__ == "GlideClusterClient" for kind in type(client).__mro__)
        errors: Any = importlib.import_module("glide_shared.exceptions")
        self._error: Any = errors.GlideError
        # A client that cannot connect says so in several ways.
        self._unanswered: Any = errors.RequestError
        self._routes: Any = importlib.import_module("glide_shared.routes")
        self._batches: Any = importlib.import_module("glide_shared.commands.batch")
        self._options: Any = importlib.import_module("glide_shared.commands.batch_options")

    def route(self, key: str | None, node: Any) -> Any:
        """Where a command is sent in a cluster."""
        if not self.is_cluster:
            return None
        if node is not None:
            host, port = node
            return self._routes.ByAddressRoute(host, port)
        return self._routes.SlotKeyRoute(self._routes.SlotType.PRIMARY, key)

    def any_node(self) -> Any:
        return self._routes.RandomNode()

    def call(self, client: Any, words: Sequence[str], route: Any) -> Any:
        """Begins a call: returns its reply or, in asyncio, what has to be awaited."""
        options = [] if route is None else [route]
        if words[0] not in _MANY:
            return client.custom_command(list(words), *options)
        kind = self._batches.ClusterBatch if self.is_cluster else self._batches.Batch
        batch = kind(is_atomic=False)
        batch.custom_command(list(words))
        options = [self._options.ClusterBatchOptions(route=one) for one in options]
        return client.exec(batch, False, *options)

    def reply(self, words: Sequence[str], reply: Any) -> Any:
        """The reply of a command, with a ServerError in the place of each element that is an error."""
        if words[0] not in _MANY:
            return reply
        [answer] = reply
        if isinstance(answer, Exception):
            self.translate(answer)
        return [self._element(part) if isinstance(part, Exception) else part for part in answer]

    @staticmethod
    def _element(error: Exception) -> ServerError:
        return ServerError(original(str(error)) or f"ERR {error}")

    def translate(self, error: Exception) -> NoReturn:
        sent = original(str(error)) if isinstance(error, self._error) else None
        if sent is not None:
            raise ServerError(sent) from error
        if isinstance(error, self._unanswered):
            raise NoAnswer(f"no answer: {error}") from error
        raise error


def _masters(slots: Any) -> list[tuple[str, int]]:
    """The masters in the reply of CLUSTER SLOTS."""
    found = {(text(shard[2][0]), int(shard[2][1])) for shard in slots}
    return sorted(found)


class Glide:
    """A ``GlideClient`` or ``GlideClusterClient`` of ``glide_sync``."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._library = _Library(client)
        self.is_cluster = self._library.is_cluster

    def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        return self._send(words, self._library.route(key, node))

    def masters(self) -> Sequence[Any]:
        return _masters(self._send(["CLUSTER", "SLOTS"], self._library.any_node()))

    def _send(self, words: Sequence[str], route: Any) -> Any:
        try:
            reply = self._library.call(self._client, words, route)
        except Exception as error:
            self._library.translate(error)
        return self._library.reply(words, reply)


class AsyncGlide:
    """A ``GlideClient`` or ``GlideClusterClient`` of ``glide``."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._library = _Library(client)
        self.is_cluster = self._library.is_cluster

    async def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        return await self._send(words, self._library.route(key, node))

    async def masters(self) -> Sequence[Any]:
        return _masters(await self._send(["CLUSTER", "SLOTS"], self._library.any_node()))

    async def _send(self, words: Sequence[str], route: Any) -> Any:
        try:
            reply = await self._library.call(self._client, words, route)
        except Exception as error:
            self._library.translate(error)
        return self._library.reply(words, reply)
