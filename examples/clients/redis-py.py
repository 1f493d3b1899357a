"""A shop's checkout with redis-py.

    pip install redis
    python3 examples/clients/redis-py.py 127.0.0.1:6379 3

The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of
their own, whose names no other run has. An unexpected answer ends the program with an
error. See docs/clients.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import (
    ConnectionError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

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


def connect(host: str, port: int, protocol: int) -> redis.Redis:
    """A client with a pool of connections, for all threads of a process.

    redis-py would repeat commands by itself, but not if a connection has to be opened
    first. `ask` handles both cases, so redis-py's own retries are off.
    """
    shop = redis.Redis(
        host=host,
        port=port,
        protocol=protocol,
        decode_responses=True,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        # With RESP3 it would subscribe to news of a hosted Redis, and log a failure.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    # Converts the replies of commands that redis-py does not know, in pipelines too.
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


def ask(shop: redis.Redis, *words: str | int) -> Any:
    """Sends a command until it is answered. A refusal is an answer too.

    Only for commands that are safe to repeat: by id, by ONCE, or because they read.
    """
    return AGAIN.call_with_retry(
        lambda: shop.execute_command(*words),
        lambda error: print(f"  {words[0]} is sent again: {error}"),
    )


def reserve(shop: redis.Redis, order: str, lines: dict[str, int], hold_ms: int) -> Map:
    """Holds all lines, or none, for this time."""
    items = [word for line in lines.items() for word in line]
    return ask(shop, "INV.RESERVE", order, "PX", hold_ms, "ITEMS", *items)


def commit(shop: redis.Redis, order: str) -> None:
    """Sells a reservation: the customer has paid."""
    ask(shop, "INV.COMMIT", order)


def commit_late(shop: redis.Redis, order: str) -> None:
    """Sells a reservation after its deadline, if the units are still free."""
    ask(shop, "INV.COMMIT", order, "LATE")


def commit_all(shop: redis.Redis, orders: list[str]) -> dict[str, str]:
    """Sells many reservations in one call, and returns why others could not be sold.

    An element of the answer that is an error is an object, and is not raised.
    """
    answers = ask(shop, "INV.MCOMMIT", *orders)
    errors = {o: a for o, a in zip(orders, answers) if isinstance(a, ResponseError)}
    return {order: code(refusal) for order, refusal in errors.items()}


def restock(shop: redis.Redis, product: str, units: int, delivery: str) -> int:
    """Adds a delivery, and returns the units that are then available.

    A sum has no id: without ONCE, each retry would add it again.
    """
    return ask(shop, "INV.ADJUST", product, units, "ONCE", delivery)


def stock_of(shop: redis.Redis, product: str) -> Map:
    """The stock of a product."""
    [found] = ask(shop, "INV.STOCK", product)
    return found


def code(refusal: ResponseError) -> str:
    """The first word of a refusal, to branch on.

    redis-py removes it if it has a class for that code, such as `NOPERM`, and always
    if it is `ERR`.
    """
    return str(refusal).split(" ", 1)[0]


# --- The scenes ---


def tell(host: str, port: int, protocol: int) -> None:
    shop = connect(host, port, protocol)
    neighbour = connect(host, port, protocol)
    run = time.time_ns() // 1_000_000
    shoe, lace = f"SHOE-{run}", f"LACE-{run}"
    # Many commands in one round trip.
    with shop.pipeline(transaction=False) as shelves:
        shelves.execute_command("INV.SET", shoe, "AVAILABLE", 10)
        shelves.execute_command("INV.SET", lace, "AVAILABLE", 50)
        check("the shelves", shelves.execute(), [10, 50])
    check("the protocol", str(shop.client_info()["resp"]), str(protocol))

    print("\nreserve, pay, commit")
    order = f"ORDER-{run}-1"
    held = reserve(shop, order, {shoe: 2, lace: 4}, hold_ms=900_000)
    check("its id", held["reservation_id"], order)
    check("its first line", held["items"][0], {"product_id": shoe, "quantity": 2})
    check("a deadline in Unix ms", held["expires_at"] > run, True)
    show(shop, shoe, available=8, reserved=2)
    print("  ... the customer pays")
    commit(shop, order)
    show(shop, shoe, available=8, reserved=0)
    check("its state", ask(shop, "INV.GET", order)["state"], "committed")
    check("an order that never was", ask(shop, "INV.GET", f"{order}-not"), None)

    print("\na retry after a timeout")
    order = f"ORDER-{run}-2"
    with answer_lost(shop, neighbour, "INV.RESERVE"):
        reserve(shop, order, {shoe: 2}, hold_ms=900_000)
    show(shop, shoe, available=6, reserved=2)
    with answer_lost(shop, neighbour, "INV.COMMIT"):
        commit(shop, order)
    show(shop, shoe, available=6, reserved=0)
    with answer_lost(shop, neighbour, "INV.ADJUST"):
        restock(shop, shoe, 40, delivery=f"delivery-{run}")
    show(shop, shoe, available=46, reserved=0)

    print("\nnot enough")
    order = f"ORDER-{run}-3"
    try:
        reserve(shop, order, {lace: 1, shoe: 47}, hold_ms=900_000)
        sys.exit("47 of 46 were reserved")
    except ResponseError as refusal:
        if code(refusal) != "INSUFFICIENT":
            raise
        print(f"  {refusal}")
    # All or nothing: no lace is held either.
    show(shop, lace, available=46, reserved=0)

    print("\nthe deadline")
    order = f"ORDER-{run}-4"
    reserve(shop, order, {shoe: 6}, hold_ms=1_000)
    show(shop, shoe, available=40, reserved=6)
    print("  ... the customer is away")
    wait_until_free(shop, shoe)
    show(shop, shoe, available=46, reserved=0)
    try:
        commit(shop, order)
        sys.exit("what was held until the deadline was sold behind it")
    except ResponseError as refusal:
        if code(refusal) != "EXPIRED":
            raise
        print(f"  {refusal}")
    print("  ... he has paid all the same, and nobody else has taken them")
    commit_late(shop, order)
    show(shop, shoe, available=40, reserved=0)

    print("\nmany at once")
    orders = [f"ORDER-{run}-5", f"ORDER-{run}-6", f"ORDER-{run}-3"]
    for order in orders[:2]:
        reserve(shop, order, {shoe: 1}, hold_ms=900_000)
    # The third order was refused, so nothing is known of it.
    refused = commit_all(shop, orders)
    check("what could not be sold", refused, {orders[2]: "NOTFOUND"})
    print(f"  {refused}")
    show(shop, shoe, available=38, reserved=0)


def show(shop: redis.Redis, product: str, available: int, reserved: int) -> None:
    """Prints the stock of a product, and checks it."""
    stock = stock_of(shop, product)
    check(f"available of {product}", stock["available"], available)
    check(f"reserved of {product}", stock["reserved"], reserved)
    print(f"  {product}: {available} available, {reserved} reserved")


def wait_until_free(shop: redis.Redis, product: str) -> None:
    """Waits until no units of a product are held."""
    for _ in range(500):
        if stock_of(shop, product)["reserved"] == 0:
            return
        time.sleep(0.01)
    sys.exit(f"{product} is still held")


# Keeps the server busy for this many seconds.
BUSY = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])"


@contextmanager
def answer_lost(shop: redis.Redis, other: redis.Redis, command: str) -> Iterator[None]:
    """A command in this block waits for a busy server longer than its client waits.

    The server carries it out nevertheless, so the second try is carried out too.
    """
    before = calls(shop, command)
    connection = other.connection_pool.get_connection()
    connection.send_command("EVAL", BUSY, 0, 1.5 * TIMEOUT)
    connection.disconnect()
    other.connection_pool.release(connection)
    yield
    times = calls(shop, command) - before
    check(f"{command} was carried out more than once", times > 1, True)
    print(f"  {command} was carried out {times} times")


def calls(shop: redis.Redis, command: str) -> int:
    """The number of times that the server has carried out a command."""
    return shop.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def check(what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        sys.exit(f"{what}: {seen!r} is not {expected!r}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("2", "3"):
        sys.exit("usage: redis-py.py host:port 2|3")
    host, _, port = sys.argv[1].rpartition(":")
    print(f"redis-py {redis.__version__}, RESP{sys.argv[2]}")
    tell(host, int(port), int(sys.argv[2]))
