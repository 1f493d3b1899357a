"""Tells story.py with each client library, in both protocols, on a server and on a cluster.

    python3 clients/python/tests/live.py --server 127.0.0.1:6379 --cluster 127.0.0.1:7001 [NAME ...]

It wants servers that keep a change feed (inv.feed-maxlen), and writes products of its own.
scripts/test-client-packages.sh starts them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from proxy import Proxy
from story import Story, check, until

from redis_inventory import AsyncInventory, Inventory, NoAnswer, Retry, adapters, new_id, tagged

# Seconds for which a client waits for an answer. The machine may be busy.
TIMEOUT = 5


@dataclass
class Client:
    """A way to open a client."""

    name: str
    is_async: bool
    open: Callable[[str, int, int, bool], Any]


def redis_py(package: str, is_async: bool) -> Callable[[str, int, int, bool], Any]:
    def open(host: str, port: int, protocol: int, is_cluster: bool) -> Any:
        library = importlib.import_module(f"{package}.asyncio" if is_async else package)
        kind = "Cluster" if is_cluster else ""
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "protocol": protocol,
            "socket_timeout": TIMEOUT,
        }
        if package == "redis":
            # It repeats commands by itself, by default with pauses of seconds.
            retry: Any = importlib.import_module("redis.asyncio.retry" if is_async else "redis.retry")
            backoff: Any = importlib.import_module("redis.backoff")
            options["retry"] = retry.Retry(backoff.ExponentialBackoff(cap=0.05, base=0.01), 3)
        if package == "redis" and protocol == 3 and not is_async:
            # It would subscribe to news of a hosted Redis, and log a failure.
            news: Any = importlib.import_module("redis.maint_notifications")
            options["maint_notifications_config"] = news.MaintNotificationsConfig(enabled=False)
        return getattr(library, f"{package.capitalize()}{kind}")(**options)

    return open


def glide(package: str) -> Callable[[str, int, int, bool], Any]:
    def open(host: str, port: int, protocol: int, is_cluster: bool) -> Any:
        library: Any = importlib.import_module(package)
        config: Any = importlib.import_module("glide_shared.config")
        kind = "GlideCluster" if is_cluster else "Glide"
        options = getattr(config, f"{kind}ClientConfiguration")(
            [config.NodeAddress(host, port)],
            protocol=config.ProtocolVersion.RESP2 if protocol == 2 else config.ProtocolVersion.RESP3,
            request_timeout=TIMEOUT * 1000,
        )
        return getattr(library, f"{kind}Client").create(options)

    return open


CLIENTS = [
    Client("redis-py", False, redis_py("redis", False)),
    Client("redis-py-asyncio", True, redis_py("redis", True)),
    Client("valkey-py", False, redis_py("valkey", False)),
    Client("valkey-py-asyncio", True, redis_py("valkey", True)),
    Client("glide-sync", False, glide("glide_sync")),
    Client("glide", True, glide("glide")),
]


class Awaited:
    """An object without asyncio, with the methods that one in asyncio has."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.inner, name)

        def call(*words: Any, **options: Any) -> Any:
            if name == "feed":
                return AwaitedLoop(method(*words, **options))
            if name in ("scan", "scan_full", "stock_scan", "audit_scan"):
                return AwaitedLoop(method(*words, **options)).__aiter__()
            # A feed waits in a thread of its own.
            return asyncio.to_thread(method, *words, **options)

        return call


class AwaitedLoop:
    """A loop without asyncio."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __aiter__(self) -> AsyncIterator[Any]:
        entries: Iterator[Any] = iter(self.inner)
        end = object()
        try:
            while (entry := await asyncio.to_thread(next, entries, end)) is not end:
                yield entry
        finally:
            entries.close()  # type: ignore[attr-defined]


async def tell(client: Client, address: str, protocol: int, is_cluster: bool) -> None:
    host, port = address.rsplit(":", 1)
    opened = client.open(host, int(port), protocol, is_cluster)
    if asyncio.iscoroutine(opened):
        opened = await opened
    plain: Callable[..., Awaitable[Any]]
    if client.is_async:
        connection = adapters.connect_async(opened)
        shop: Any = AsyncInventory(connection=connection)

        async def plain(*words: str, key: str | None = None) -> Any:
            return await connection.ask(words, key or words[1], None)

    else:
        simple = adapters.connect(opened)
        shop = Awaited(Inventory(opened))

        async def plain(*words: str, key: str | None = None) -> Any:
            return await asyncio.to_thread(simple.ask, words, key or words[1], None)

    await Story(shop, plain, is_cluster).tell()
    if is_cluster:
        await a_failover(shop, plain)
    else:
        await lost_answers(client, host, int(port), protocol)
    closing = getattr(opened, "aclose", None) or opened.close
    result = closing()
    if asyncio.iscoroutine(result):
        await result


async def a_failover(shop: Any, plain: Callable[..., Awaitable[Any]]) -> None:
    """A replica takes over while orders are sold: none is lost, and none is sold twice."""
    tag = new_id()
    p = tagged(tag, "P")
    await shop.set_available(p, 100_000)
    slot = await plain("CLUSTER", "KEYSLOT", tag, key=tag)
    shards = await plain("CLUSTER", "SLOTS", key=tag)
    [shard] = [shard for shard in shards if shard[0] <= slot <= shard[1]]
    replica = (shard[3][0].decode() if isinstance(shard[3][0], bytes) else shard[3][0], shard[3][1])
    check(await asyncio.to_thread(tell_node, replica, "CLUSTER FAILOVER"), "+OK")
    sold = 0
    end = time.monotonic() + 30
    # Some more after it has happened.
    after = 50
    while after > 0:
        assert time.monotonic() < end, "the replica does not take over"
        await shop.reserve(tagged(tag, f"R{sold}"), {p: 1})
        await shop.commit(tagged(tag, f"R{sold}"))
        sold += 1
        if after < 50 or (sold % 10 == 0 and await asyncio.to_thread(is_master, replica)):
            after -= 1
    stock = await shop.stock(p)
    check((stock.available, stock.reserved), (100_000 - sold, 0))


def is_master(node: tuple[str, int]) -> bool:
    return "role:master" in tell_node(node, "INFO replication")


def tell_node(node: tuple[str, int], line: str) -> str:
    """What a node answers."""
    with socket.create_connection(node) as connection:
        connection.sendall(f"{line}\r\nQUIT\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.decode().removesuffix("+OK\r\n").strip()


async def lost_answers(client: Client, host: str, port: int, protocol: int) -> None:
    """Commands whose answers are lost are carried out once, however often they are sent."""
    with Proxy(host, port) as proxy:
        opened = client.open("127.0.0.1", proxy.port, protocol, False)
        if asyncio.iscoroutine(opened):
            opened = await opened
        shop: Any = AsyncInventory(opened) if client.is_async else Awaited(Inventory(opened))
        p, order = new_id(), new_id()
        await shop.set_available(p, 10)
        proxy.lose(b"INV.ADJUST", 2)
        check(await shop.adjust(p, 5), 15)
        check(proxy.lost, 2)
        proxy.lose(b"INV.RESERVE", 1)
        await shop.reserve(order, {p: 3})
        proxy.lose(b"INV.COMMIT", 1)
        await shop.commit(order, items={p: 1})
        proxy.lose(b"INV.MCOMMIT", 1)
        check(await shop.mcommit([order]), [None])
        proxy.lose(b"INV.WAREHOUSES", 1)
        await shop.set_warehouses(f"{p}-W", {"A": 1, "B": 2})
        # redis-py sends this again by itself, and the answer to that says that there is no such warehouse.
        if not client.name.startswith("redis-py"):
            proxy.lose(b"INV.WAREHOUSES", 1)
        await shop.delete_warehouse(f"{p}-W", "B")
        stock = await shop.stock(p)
        check((stock.available, stock.reserved), (12, 0))
        check(proxy.lost, 6 if client.name.startswith("redis-py") else 7)
        await the_feed_through(proxy, shop, p)
        # Without a token it is sent once by this package, and then nobody knows.
        impatient: Any = (
            AsyncInventory(opened, retry=Retry(deadline=0))
            if client.is_async
            else Awaited(Inventory(opened, retry=Retry(deadline=0)))
        )
        # A library that repeats commands by itself ends this as well.
        proxy.lose(b"INV.ADJUST", 1000)
        try:
            await impatient.adjust(p, 1)
            raise AssertionError("an answer that was lost has come")
        except NoAnswer as error:
            assert error.__cause__, error
        proxy.lose(b"INV.ADJUST", 0)
        result = (getattr(opened, "aclose", None) or opened.close)()
        if asyncio.iscoroutine(result):
            await result


async def the_feed_through(proxy: Proxy, shop: Any, p: str) -> None:
    """Entries whose answer is lost come nevertheless, and in order."""
    group = new_id()
    feed = shop.feed(group, "one", count=2, interval=0.01)
    reader = feed.__aiter__()
    reading = asyncio.ensure_future(anext(reader))
    # The reader makes its group, and then waits. The first entries that it sees are those that come now.
    before = proxy.lost
    proxy.lose(b"XREADGROUP", 1)
    await until(lambda: has_lost_more(proxy, before))
    for units in range(1, 6):
        await shop.adjust(p, units)
    proxy.lose(b"XREADGROUP", 4)
    found = [await asyncio.wait_for(reading, 20)]
    while len(found) < 5:
        found.append(await asyncio.wait_for(anext(reader), 20))
    await reader.aclose()
    check([entry.quantity for entry in found], [1, 2, 3, 4, 5])


async def has_lost_more(proxy: Proxy, before: int) -> bool:
    return proxy.lost > before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server")
    parser.add_argument("--cluster")
    parser.add_argument("names", nargs="*", help="only clients with these names")
    options = parser.parse_args()
    failures = 0
    for client in CLIENTS:
        if options.names and client.name not in options.names:
            continue
        for address, place in ((options.server, "server"), (options.cluster, "cluster")):
            for protocol in (2, 3):
                if address is None:
                    continue
                start = time.monotonic()
                try:
                    asyncio.run(tell(client, address, protocol, place == "cluster"))
                    result = "passed"
                except Exception:
                    result = "FAILED"
                    failures += 1
                    traceback.print_exc()
                seconds = time.monotonic() - start
                print(f"{client.name:<18} {place:<8} RESP{protocol} {result} {seconds:.1f} s", flush=True)
    sys.exit(f"{failures} failed" if failures else 0)


if __name__ == "__main__":
    main()
