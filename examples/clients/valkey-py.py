"""A shop's checkout with valkey-py, in asyncio.

    pip install valkey
    python3 examples/clients/valkey-py.py 127.0.0.1:6379 3

The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of
their own, whose names no other run has. An unexpected answer ends the program with an
error. See docs/clients.md.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import valkey
from valkey.asyncio import Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import ExponentialBackoff
from valkey.exceptions import (
    ConnectionError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

Map = dict[str, Any]

# Seconds before a call is abandoned. Short, so the program ends soon; a shop uses 1.
TIMEOUT = 0.25

# How often a call is repeated, and which errors cause it: no answer, or the answer
# TRYAGAIN.
AGAIN = Retry(
    ExponentialBackoff(cap=0.5, base=0.02),
    retries=8,
    supported_errors=(ConnectionError, TimeoutError, TryAgainError),
)


# --- The part to copy ---


def connect(host: str, port: int, protocol: int) -> Valkey:
    """A client with a pool of connections, for all tasks of an event loop.

    valkey-py repeats nothing by itself: `ask` does.
    """
    shop = Valkey(
        host=host,
        port=port,
        protocol=protocol,
        decode_responses=True,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
    )
    # Converts the replies of commands that valkey-py does not know, in pipelines too.
    shop.set_response_callback("INV.RESERVE", reservation)
    shop.set_response_callback("INV.GET", reservation)
    shop.set_response_callback("INV.STOCK", lambda stock: [as_map(p) for p in stock])
    return shop


def as_map(reply: Any) -> Map | None:
    """A map is a dict in RESP3, and a list of names and values in RESP2."""
    if reply is None or isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2]))


def reservation(reply: Any) -> Map | None:
    """The reply of INV.RESERVE and INV.GET; None if there is no such reservation."""
    found = as_map(reply)
    if found and "items" in found:
        found["items"] = [as_map(line) for line in found["items"]]
    return found


async def ask(shop: Valkey, *words: str | int) -> Any:
    """Sends a command until it is answered. A refusal is an answer too.

    Only for commands that are safe to repeat: by id, by ONCE, or because they read.
    """

    async def once() -> Any:
        try:
            return await shop.execute_command(*words)
        except ResponseError as refusal:
            # Only the cluster client raises this class itself.
            if code(refusal) == "TRYAGAIN":
                raise TryAgainError(str(refusal)) from refusal
            raise

    async def note(error: Exception) -> None:
        print(f"  {words[0]} is sent again: {error}")

    return await AGAIN.call_with_retry(once, note)


async def reserve(shop: Valkey, order: str, lines: dict[str, int], hold_ms: int) -> Map:
    """Holds all lines, or none, for this time."""
    items = [word for line in lines.items() for word in line]
    return await ask(shop, "INV.RESERVE", order, "PX", hold_ms, "ITEMS", *items)


async def commit(shop: Valkey, order: str) -> None:
    """Sells a reservation: the customer has paid."""
    await ask(shop, "INV.COMMIT", order)


async def commit_late(shop: Valkey, order: str) -> None:
    """Sells a reservation after its deadline, if the units are still free."""
    await ask(shop, "INV.COMMIT", order, "LATE")


async def commit_all(shop: Valkey, orders: list[str]) -> dict[str, str]:
    """Sells many reservations in one call, and returns why others could not be sold.

    An element of the answer that is an error is an object, and is not raised.
    """
    answers = await ask(shop, "INV.MCOMMIT", *orders)
    errors = {o: a for o, a in zip(orders, answers) if isinstance(a, ResponseError)}
    return {order: code(refusal) for order, refusal in errors.items()}


async def restock(shop: Valkey, product: str, units: int, delivery: str) -> int:
    """Adds a delivery, and returns the units that are then available.

    A sum has no id: without ONCE, each retry would add it again.
    """
    return await ask(shop, "INV.ADJUST", product, units, "ONCE", delivery)


async def stock_of(shop: Valkey, product: str) -> Map:
    """The stock of a product."""
    [found] = await ask(shop, "INV.STOCK", product)
    return found


def code(refusal: ResponseError) -> str:
    """The first word of a refusal, to branch on.

    valkey-py removes it if it has a class for that code, such as `NOPERM`, and always
    if it is `ERR`.
    """
    return str(refusal).split(" ", 1)[0]


# --- The scenes ---


async def tell(host: str, port: int, protocol: int) -> None:
    async with (
        connect(host, port, protocol) as shop,
        connect(host, port, protocol) as neighbour,
    ):
        run = time.time_ns() // 1_000_000
        shoe, lace = f"SHOE-{run}", f"LACE-{run}"
        # Many commands in one round trip.
        async with shop.pipeline(transaction=False) as shelves:
            shelves.execute_command("INV.SET", shoe, "AVAILABLE", 10)
            shelves.execute_command("INV.SET", lace, "AVAILABLE", 50)
            check("the shelves", await shelves.execute(), [10, 50])
        client = await shop.client_info()
        check("the protocol", str(client["resp"]), str(protocol))

        print("\nreserve, pay, commit")
        order = f"ORDER-{run}-1"
        held = await reserve(shop, order, {shoe: 2, lace: 4}, hold_ms=900_000)
        check("its id", held["reservation_id"], order)
        check("its first line", held["items"][0], {"product_id": shoe, "quantity": 2})
        check("a deadline in Unix ms", held["expires_at"] > run, True)
        await show(shop, shoe, available=8, reserved=2)
        print("  ... the customer pays")
        await commit(shop, order)
        await show(shop, shoe, available=8, reserved=0)
        found = await ask(shop, "INV.GET", order)
        check("its state", found["state"], "committed")
        unknown = await ask(shop, "INV.GET", f"{order}-not")
        check("an order that never was", unknown, None)

        print("\na retry after a timeout")
        order = f"ORDER-{run}-2"
        async with answer_lost(shop, neighbour, "INV.RESERVE"):
            await reserve(shop, order, {shoe: 2}, hold_ms=900_000)
        await show(shop, shoe, available=6, reserved=2)
        async with answer_lost(shop, neighbour, "INV.COMMIT"):
            await commit(shop, order)
        await show(shop, shoe, available=6, reserved=0)
        async with answer_lost(shop, neighbour, "INV.ADJUST"):
            await restock(shop, shoe, 40, delivery=f"delivery-{run}")
        await show(shop, shoe, available=46, reserved=0)

        print("\nnot enough")
        order = f"ORDER-{run}-3"
        try:
            await reserve(shop, order, {lace: 1, shoe: 47}, hold_ms=900_000)
            sys.exit("47 of 46 were reserved")
        except ResponseError as refusal:
            if code(refusal) != "INSUFFICIENT":
                raise
            print(f"  {refusal}")
        # All or nothing: no lace is held either.
        await show(shop, lace, available=46, reserved=0)

        print("\nthe deadline")
        order = f"ORDER-{run}-4"
        await reserve(shop, order, {shoe: 6}, hold_ms=1_000)
        await show(shop, shoe, available=40, reserved=6)
        print("  ... the customer is away")
        await wait_until_free(shop, shoe)
        await show(shop, shoe, available=46, reserved=0)
        try:
            await commit(shop, order)
            sys.exit("what was held until the deadline was sold behind it")
        except ResponseError as refusal:
            if code(refusal) != "EXPIRED":
                raise
            print(f"  {refusal}")
        print("  ... he has paid all the same, and nobody else has taken them")
        await commit_late(shop, order)
        await show(shop, shoe, available=40, reserved=0)

        print("\nmany at once")
        orders = [f"ORDER-{run}-5", f"ORDER-{run}-6", f"ORDER-{run}-3"]
        for order in orders[:2]:
            await reserve(shop, order, {shoe: 1}, hold_ms=900_000)
        # The third order was refused, so nothing is known of it.
        refused = await commit_all(shop, orders)
        check("what could not be sold", refused, {orders[2]: "NOTFOUND"})
        print(f"  {refused}")
        await show(shop, shoe, available=38, reserved=0)


async def show(shop: Valkey, product: str, available: int, reserved: int) -> None:
    """Prints the stock of a product, and checks it."""
    stock = await stock_of(shop, product)
    check(f"available of {product}", stock["available"], available)
    check(f"reserved of {product}", stock["reserved"], reserved)
    print(f"  {product}: {available} available, {reserved} reserved")


async def wait_until_free(shop: Valkey, product: str) -> None:
    """Waits until no units of a product are held."""
    for _ in range(500):
        if (await stock_of(shop, product))["reserved"] == 0:
            return
        await asyncio.sleep(0.01)
    sys.exit(f"{product} is still held")


# Keeps the server busy for this many seconds.
BUSY = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])"


@asynccontextmanager
async def answer_lost(shop: Valkey, other: Valkey, command: str) -> AsyncIterator[None]:
    """A command in this block waits for a busy server longer than its client waits.

    The server carries it out nevertheless, so the second try is carried out too.
    """
    before = await calls(shop, command)
    connection = await other.connection_pool.get_connection("EVAL")
    await connection.send_command("EVAL", BUSY, 0, 1.5 * TIMEOUT)
    await connection.disconnect(nowait=True)
    await other.connection_pool.release(connection)
    yield
    times = await calls(shop, command) - before
    check(f"{command} was carried out more than once", times > 1, True)
    print(f"  {command} was carried out {times} times")


async def calls(shop: Valkey, command: str) -> int:
    """The number of times that the server has carried out a command."""
    counted = await shop.info("commandstats")
    return counted.get(f"cmdstat_{command}", {"calls": 0})["calls"]


def check(what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        sys.exit(f"{what}: {seen!r} is not {expected!r}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("2", "3"):
        sys.exit("usage: valkey-py.py host:port 2|3")
    host, _, port = sys.argv[1].rpartition(":")
    print(f"valkey-py {valkey.__version__}, RESP{sys.argv[2]}")
    asyncio.run(tell(host, int(port), int(sys.argv[2])))
