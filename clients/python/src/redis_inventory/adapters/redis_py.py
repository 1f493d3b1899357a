"""redis-py and valkey-py, which have the same origin and the same interface."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import NoAnswer, is_code
from ..replies import ServerError


class _Errors:
    """Translates the exceptions of one library."""

    def __init__(self, package: str) -> None:
        found: Any = importlib.import_module(f"{package}.exceptions")
        # The libraries take the code off the text if they have a class for it. The order matters: some of these
        # classes are derived from others, or from ConnectionError.
        classes = [
            ("LOADING", "BusyLoadingError"),
            ("MASTERDOWN", "MasterDownError"),
            ("CLUSTERDOWN", "ClusterDownError"),
            ("TRYAGAIN", "TryAgainError"),
            ("CROSSSLOT", "ClusterCrossSlotError"),
            ("MOVED", "MovedError"),
            ("ASK", "AskError"),
            ("READONLY", "ReadOnlyError"),
            ("OOM", "OutOfMemoryError"),
            ("NOPERM", "NoPermissionError"),
            ("NOAUTH", "AuthenticationError"),
        ]
        self._codes = [(code, getattr(found, name)) for code, name in classes if hasattr(found, name)]
        self._refused: Any = found.ResponseError
        self._unanswered: Any = (
            found.ConnectionError,
            found.TimeoutError,
            # The cluster client has not found a node that answers.
            found.ClusterError,
            getattr(found, f"{package.capitalize()}ClusterException"),
            asyncio.TimeoutError,
            OSError,
        )

    def text(self, error: BaseException) -> str | None:
        """The text of an error reply, with its code; None if it is none."""
        text = str(error)
        for code, kind in self._codes:
            if isinstance(error, kind):
                return f"{code} {text}"
        if not isinstance(error, self._refused):
            return None
        # `ERR` is always taken off. Only newer versions of redis-py say so.
        was_taken_off = getattr(error, "status_code", None) == "ERR" or not is_code(text.partition(" ")[0])
        return f"ERR {text}" if was_taken_off else text

    def is_redirect(self, error: Exception) -> bool:
        """Whether the cluster client has not followed a redirect: valkey-py does not in RESP3."""
        return (self.text(error) or "").startswith(("MOVED ", "ASK "))

    def translate(self, error: Exception) -> NoReturn:
        text = self.text(error)
        if text is not None:
            raise ServerError(text, is_temporary=self.is_redirect(error)) from error
        if isinstance(error, self._unanswered):
            raise NoAnswer(f"no answer: {error}") from error
        raise error

    def elements(self, reply: Any) -> Any:
        """A reply with a ServerError in the place of each element that is an error."""
        if isinstance(reply, list):
            texts = [self.text(part) if isinstance(part, Exception) else None for part in reply]
            return [part if text is None else ServerError(text) for part, text in zip(reply, texts)]
        return reply


class RedisPy:
    """A ``Redis`` or ``RedisCluster``."""

    def __init__(self, client: Any, package: str) -> None:
        self._client = client
        self._errors = _Errors(package)
        self.is_cluster = hasattr(client, "get_primaries")

    def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        try:
            if self.is_cluster:
                # Without a node, the library would ask a server first which of the words are keys.
                node = node or self._client.get_node_from_key(key)
                reply = self._client.execute_command(*words, target_nodes=node)
            else:
                reply = self._client.execute_command(*words)
        except Exception as error:
            if self.is_cluster and self._errors.is_redirect(error):
                self._client.nodes_manager.initialize()
            self._errors.translate(error)
        return self._errors.elements(reply)

    def masters(self) -> Sequence[Any]:
        nodes: list[Any] = self._client.get_primaries()
        return nodes


class AsyncRedisPy:
    """A ``Redis`` or ``RedisCluster`` of the library's ``asyncio``."""

    def __init__(self, client: Any, package: str) -> None:
        self._client = client
        self._errors = _Errors(package)
        self.is_cluster = hasattr(client, "get_primaries")

    async def ask(self, words: Sequence[str], key: str | None, node: Any) -> Any:
        try:
            if self.is_cluster:
                await self._client.initialize()
                node = node or self._client.get_node_from_key(key)
                reply = await self._client.execute_command(*words, target_nodes=node)
            else:
                reply = await self._client.execute_command(*words)
        except Exception as error:
            if self.is_cluster and self._errors.is_redirect(error):
                await self._client.nodes_manager.initialize()
            self._errors.translate(error)
        return self._errors.elements(reply)

    async def masters(self) -> Sequence[Any]:
        try:
            await self._client.initialize()
        except Exception as error:
            self._errors.translate(error)
        nodes: list[Any] = self._client.get_primaries()
        return nodes
