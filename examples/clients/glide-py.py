"""A shop's checkout with GLIDE for Python, in asyncio.

    pip install valkey-glide
    python3 examples/clients/glide-py.py 127.0.0.1:6379 3

The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of
their own, whose names no other run has. An unexpected answer ends the program with an
error. See docs/clients.md.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from glide import (
    Batch,
    GlideClient,
    GlideClientConfiguration,
    NodeAddress,
    ProtocolVersion,
    RequestError,
)

Map = dict[str, Any]

# Milliseconds before a call is abandoned. Short, so the program ends soon; a shop uses
# 1000.
TIMEOUT = 250

# How often a call is sent in total.
TRIES = 9


# --- The part to copy ---


async def connect(
    host: str, port: int, protocol: int, timeout: int = TIMEOUT
) -> GlideClient:
    """One client for all tasks of an event loop. GLIDE reconnects by itself."""
    versions = {2: ProtocolVersion.RESP2, 3: ProtocolVersion.RESP3}
    return await GlideClient.create(
        GlideClientConfiguration(
            [NodeAddress(host, port)],
            protocol=versions[protocol],
            request_timeout=timeout,
        )
    )


class Refusal(Exception):
    """An answer that says no: the text as the server sent it, and its code."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.split(" ", 1)[0]


def refusal(error: RequestError) -> Refusal | None:
    """What the server has refused; None if it has not answered.

    GLIDE rewrites the texts: `INSUFFICIENT SHOE …` becomes `INSUFFICIENT: SHOE …`, and
    `ERR …` becomes `An error was signalled by the server: - ResponseError: …`.
    """
    text = str(error)
    if found := re.fullmatch(
        r"An error was signalled by the server.*?- (\w+): (.*)", text
    ):
        codes = {"ResponseError": "ERR", "TryAgain": "TRYAGAIN"}
        return Refusal(f"{codes.get(found[1], found[1])} {found[2]}")
    if found := re.fullmatch(r"([A-Z]+): (.*)", text):
        return Refusal(f"{found[1]} {found[2]}")
    return None


async def ask(shop: GlideClient, *words: str | int) -> Any:
    """Sends a command until it is answered."""
    command = [str(word) for word in words]
    return plain(await until_answered(lambda: shop.custom_command(command)))


async def until_answered(send: Callable[[], Awaitable[Any]]) -> Any:
    """Sends something until it is answered. A refusal is an answer too.

    Only for commands that are safe to repeat: by id, by ONCE, or because they read.
    """
    for tries in range(1, TRIES + 1):
        try:
            return await send()
        except RequestError as error:
            refused = refusal(error)
            if refused and refused.code != "TRYAGAIN":
                raise refused from error
            if tries == TRIES:
                raise
            print(f"  sent again: {error}")
        await asyncio.sleep(min(0.01 * 2**tries, 0.5) * random.uniform(0.5, 1))


def plain(reply: Any) -> Any:
    """A reply with texts in the place of bytes."""
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, list):
        return [plain(part) for part in reply]
    if isinstance(reply, dict):
        return {plain(name): plain(value) for name, value in reply.items()}
    return reply


def as_map(reply: Any) -> Map | None:
    """A map is a dict in RESP3, and a list of names and values in RESP2."""
    if reply is None or isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2]))


async def reserve(
    shop: GlideClient, order: str, lines: dict[str, int], hold_ms: int
) -> Map:
    """Holds all lines, or none, for this time."""
    items = [word for line in lines.items() for word in line]
    held = as_map(await ask(shop, "INV.RESERVE", order, "PX", hold_ms, "ITEMS", *items))
    assert held
    return {**held, "items": [as_map(line) for line in held["items"]]}


async def commit(shop: GlideClient, order: str) -> None:
    """Sells a reservation: the customer has paid."""
    await ask(shop, "INV.COMMIT", order)


async def commit_late(shop: GlideClient, order: str) -> None:
    """Sells a reservation after its deadline, if the units are still free."""
    await ask(shop, "INV.COMMIT", order, "LATE")


async def commit_all(shop: GlideClient, orders: list[str]) -> dict[str, str]:
    """Sells many reservations in one call, and returns why others could not be sold.

    If an element of the answer is an error, `custom_command` raises it, and the other
    answers are lost. In a batch that does not raise, it is an object.
    """
    batch = Batch(is_atomic=False)
    batch.custom_command(["INV.MCOMMIT", *orders])
    [answers] = await until_answered(lambda: shop.exec(batch, raise_on_error=False))
    if isinstance(answers, RequestError):
        raise refusal(answers) or answers
    refused: dict[str, str] = {}
    for order, answer in zip(orders, answers):
        if isinstance(answer, RequestError):
            found = refusal(answer)
            refused[order] = found.code if found else str(answer)
    return refused


async def find(shop: GlideClient, order: str) -> Map | None:
    """A reservation or its outcome; None if it is unknown."""
    return as_map(await ask(shop, "INV.GET", order))


async def restock(shop: GlideClient, product: str, units: int, delivery: str) -> int:
    """Adds a delivery, and returns the units that are then available.

    A sum has no id: without ONCE, each retry would add it again.
    """
    return await ask(shop, "INV.ADJUST", product, units, "ONCE", delivery)


async def stock_of(shop: GlideClient, product: str) -> Map:
    """The stock of a product."""
    [found] = await ask(shop, "INV.STOCK", product)
    return as_map(found) or {}


# --- The scenes ---


async def tell(host: str, port: int, protocol: int) -> None:
    shop = await connect(host, port, protocol)
    # Without a timeout.
    neighbour = await connect(host, port, protocol, timeout=60_000)
    run = time.time_ns() // 1_000_000
    shoe, lace = f"SHOE-{run}", f"LACE-{run}"
    # Many commands in one round trip.
    shelves = Batch(is_atomic=False)
    shelves.custom_command(["INV.SET", shoe, "AVAILABLE", "10"])
    shelves.custom_command(["INV.SET", lace, "AVAILABLE", "50"])
    filled = await shop.exec(shelves, raise_on_error=True)
    check("the shelves", filled, [10, 50])
    client = await ask(shop, "CLIENT", "INFO")
    check("the protocol", f" resp={protocol} " in client, True)

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
    found = await find(shop, order)
    check("its state", found and found["state"], "committed")
    unknown = await find(shop, f"{order}-not")
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
    except Refusal as refused:
        if refused.code != "INSUFFICIENT":
            raise
        print(f"  {refused}")
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
    except Refusal as refused:
        if refused.code != "EXPIRED":
            raise
        print(f"  {refused}")
    print("  ... he has paid all the same, and nobody else has taken them")
    await commit_late(shop, order)
    await show(shop, shoe, available=40, reserved=0)

    print("\nmany at once")
    orders = [f"ORDER-{run}-5", f"ORDER-{run}-6", f"ORDER-{run}-3"]
    for order in orders[:2]:
        await reserve(shop, order, {shoe: 1}, hold_ms=900_000)
    # The third order was refused, so nothing is known of it.
    unsold = await commit_all(shop, orders)
    check("what could not be sold", unsold, {orders[2]: "NOTFOUND"})
    print(f"  {unsold}")
    await show(shop, shoe, available=38, reserved=0)
    await shop.close()
    await neighbour.close()


async def show(shop: GlideClient, product: str, available: int, reserved: int) -> None:
    """Prints the stock of a product, and checks it."""
    stock = await stock_of(shop, product)
    check(f"available of {product}", stock["available"], available)
    check(f"reserved of {product}", stock["reserved"], reserved)
    print(f"  {product}: {available} available, {reserved} reserved")


async def wait_until_free(shop: GlideClient, product: str) -> None:
    """Waits until no units of a product are held."""
    for _ in range(500):
        if (await stock_of(shop, product))["reserved"] == 0:
            return
        await asyncio.sleep(0.01)
    sys.exit(f"{product} is still held")


# Keeps the server busy for this many seconds.
BUSY = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])"


@asynccontextmanager
async def answer_lost(
    shop: GlideClient, other: GlideClient, command: str
) -> AsyncIterator[None]:
    """A command in this block waits for a busy server longer than its client waits.

    The server carries it out nevertheless, so the second try is carried out too.
    """
    before = await calls(shop, command)
    words = ["EVAL", BUSY, "0", str(1.5 * TIMEOUT / 1000)]
    busy = asyncio.ensure_future(other.custom_command(words))
    # The other connection's command has to arrive first.
    await asyncio.sleep(0.02)
    yield
    await busy
    times = await calls(shop, command) - before
    check(f"{command} was carried out more than once", times > 1, True)
    print(f"  {command} was carried out {times} times")


async def calls(shop: GlideClient, command: str) -> int:
    """The number of times that the server has carried out a command."""
    counted = await ask(shop, "INFO", "commandstats")
    found = re.search(rf"^cmdstat_{command}:calls=(\d+)", counted, re.MULTILINE)
    return int(found[1]) if found else 0


def check(what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        sys.exit(f"{what}: {seen!r} is not {expected!r}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("2", "3"):
        sys.exit("usage: glide-py.py host:port 2|3")
    host, _, port = sys.argv[1].rpartition(":")
    version = importlib.metadata.version("valkey-glide")
    print(f"glide-py {version}, RESP{sys.argv[2]}")
    asyncio.run(tell(host, int(port), int(sys.argv[2])))
