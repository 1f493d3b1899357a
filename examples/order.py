"""Orders products in different slots of a cluster, with redis-py's RedisCluster:

    pip install redis
    python3 examples/order.py 127.0.0.1:7001

A reservation can only hold products of its own slot, and a transaction cannot span
slots. So an order consists of one reservation for each tag among its products. The
reservations are named after the order and have the same deadline:

1. The shop stores the order in its own database, as *placed*.
2. `reserve` holds the units, group by group. If one group is refused, the others are
   rolled back.
3. The customer pays. The shop stores *paid* before it does anything else.
4. `commit` sells the groups. A step that fails is sent again (`finish`): an id is sold
   only once.
5. The shop stores *sold*.

Only one process at a time handles an order; the shop's database says which. If it dies
before *paid*, the deadline returns the held units. If it dies after *paid*, before,
between or after the COMMITs, another process finds the order paid and calls `finish`,
before or after the deadline.

This cannot guarantee that either all groups are sold or none: if an order is finished
after its deadline, units of one group may have been sold to others in the meantime.
`commit` returns such groups, and the shop chooses what to do: refund those lines; restock
and commit again; or refund everything and take back what was sold with
`INV.ADJUST sku n ONCE order`. examples/order.rs has more details.

How redis-py finds the node:

- A command that names a product or a reservation is routed by it. redis-py cannot see
  what follows ITEMS or PRODUCT, so before RESERVE, COMMIT, ROLLBACK and others it asks
  a node for the keys (COMMAND GETKEYS), which takes another round trip.
- INV.SCAN and INV.ALERTS without PRODUCT, and INV.AUDITSCAN, name neither: use
  `target_nodes=cluster.get_primaries()`. The answer is a dict with an entry for each
  node. A cursor belongs to its node, so request the next page from that node only.
- `load_balancing_strategy` alone does not send INV commands to a replica, because
  redis-py has a fixed list of reading commands. Combine it with
  `target_nodes=cluster.get_node_from_key(id, replica=True)`.
- A command is sent again if its connection breaks. Commands without an id of their own
  therefore need ONCE: INV.ADJUST, INV.TRANSFER, and a RESERVE of `{tag}*`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    ClusterError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

Lines = list[tuple[str, int]]
Answer = TypeVar("Answer")

# Everything that redis-py raises: its errors about a cluster are not RedisErrors.
ERRORS = (RedisError, RedisClusterException)


class Group(NamedTuple):
    """The lines of an order that fit into one reservation."""

    reservation: str
    lines: Lines


class Unsold(NamedTuple):
    """A group of a paid order that could not be sold, and why.

    INSUFFICIENT: the deadline has passed and others have the units. ROLLEDBACK: the order
    was given up. NOTFOUND: the outcome is no longer remembered, or was lost with a master;
    investigate before you refund. DRIFT, FOREIGN: another client has written the keys.
    """

    group: Group
    refusal: ResponseError


@dataclass(frozen=True)
class Order:
    """An order as the shop's own database has it.

    The id is used once: another attempt after a refusal is another order. The deadline is
    in Unix ms.
    """

    id: str
    lines: Lines
    deadline: int

    def groups(self) -> list[Group]:
        """The groups of the order, by tag: `{PROD-1}:order`, `{shop7}:order`."""
        by_tag: dict[str, Lines] = {}
        for product, quantity in self.lines:
            by_tag.setdefault(tag(product), []).append((product, quantity))
        return [Group(f"{{{tag}}}:{self.id}", by_tag[tag]) for tag in sorted(by_tag)]


def tag(name: str) -> str:
    """The part of an id that decides its slot: the text in its braces, or the whole id."""
    _, brace, rest = name.partition("{")
    inside, end, _ = rest.partition("}")
    return inside if brace and end else name


# After these, an order can no longer be complete. COMMITTED and MISMATCH are not among
# them: they mean that an order with this id is sold or is a different one, so its units
# must not be returned.
IMPOSSIBLE = {"INSUFFICIENT", "EXPIRED", "ROLLEDBACK", "FOREIGN", "WRONGTYPE"}

# After these, a group of a paid order cannot be sold for now.
UNSOLD = {"INSUFFICIENT", "ROLLEDBACK", "NOTFOUND", "DRIFT", "FOREIGN"}


def reserve(cluster: RedisCluster, order: Order) -> None:
    """Holds the units of all groups or of none. Calling it again gives the same result.

    After any error other than a refusal (the network, a cluster that is down, a wrong
    command), some groups may be held: call this again, call `give_up`, or wait for the
    deadline.
    """
    for group in order.groups():
        options = ["PXAT", order.deadline]
        items = [word for line in group.lines for word in line]
        try:
            cluster.execute_command(
                "INV.RESERVE", group.reservation, *options, "ITEMS", *items
            )
        except ResponseError as refusal:
            if code(refusal) in IMPOSSIBLE:
                # What cannot be returned now returns at the deadline. The caller needs
                # the refusal.
                with suppress(*ERRORS):
                    give_up(cluster, order)
            raise


def give_up(cluster: RedisCluster, order: Order) -> None:
    """Returns all units. Never call it for an order that is *paid*."""
    failure: Exception | None = None
    for group in order.groups():
        try:
            cluster.execute_command("INV.ROLLBACK", group.reservation)
        except ERRORS as error:
            if code(error) != "NOTFOUND":  # It was never held.
                failure = failure or error
    if failure:
        raise failure


def commit(cluster: RedisCluster, order: Order) -> list[Unsold]:
    """Sells all groups of an order that is *paid*, and returns those it could not sell.

    Calling it again sells the remaining groups, and nothing twice. An error means that a
    group has not answered: call it again until all have (`finish`).
    """
    unsold: list[Unsold] = []
    unanswered: Exception | None = None
    for group in order.groups():
        try:
            commit_group(cluster, group.reservation)
        except ERRORS as error:
            if isinstance(error, ResponseError) and code(error) in UNSOLD:
                unsold.append(Unsold(group, error))
            else:
                # The other groups have the same deadline and should not wait.
                unanswered = unanswered or error
    if unanswered:
        raise unanswered
    return unsold


def commit_group(cluster: RedisCluster, reservation: str) -> None:
    """Sells one reservation, even after its deadline if its units are still free."""
    try:
        cluster.execute_command("INV.COMMIT", reservation)
    except ResponseError as refusal:
        if code(refusal) != "EXPIRED":
            raise
        # The deadline passed before the payment.
        cluster.execute_command("INV.COMMIT", reservation, "LATE")


def again(step: Callable[[], Answer], patience: float) -> Answer:
    """Repeats an idempotent step until it is answered, for this many seconds.

    A refusal by the module is an answer.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return step()
        except ERRORS as error:
            answered = isinstance(error, ResponseError)
            if isinstance(error, ClusterError):  # For example "the cluster is down".
                answered = False
            if answered or time.monotonic() >= end:
                raise
            time.sleep(0.1)


def finish(cluster: RedisCluster, order: Order, patience: float = 10) -> list[Unsold]:
    """Calls `commit` until every group has answered.

    A shop does this for each order that it finds *paid*: when it starts, and at regular
    intervals.
    """
    return again(lambda: commit(cluster, order), patience)


def code(error: Exception) -> str:
    """The first word of a refusal, which identifies it."""
    return str(error).split(" ", 1)[0]


def connect(nodes: list[str]) -> RedisCluster:
    """Connects to the cluster with these nodes, each given as host:port.

    The client follows MOVED and ASK, and repeats a command after TRYAGAIN (the slot is
    being moved), but for less than half a second: after that it raises a ClusterError,
    `TTL exhausted.`, that does not name the command. `again` waits longer.
    """
    addresses = [node.rsplit(":", 1) for node in nodes]
    return RedisCluster(
        startup_nodes=[ClusterNode(host, int(port)) for host, port in addresses],
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.01), retries=8),
        socket_timeout=1,
        socket_connect_timeout=1,
        decode_responses=True,
        protocol=3,
    )


def tell(nodes: list[str]) -> None:
    """A demonstration with orders that succeed and orders that do not."""
    shop = connect(nodes)
    # The names are new in each run, so that it can be repeated on the same cluster.
    run = now()
    chair, lamp = f"CHAIR-{run}", f"LAMP-{run}"
    cup, plate = f"{{shop7-{run}}}:CUP", f"{{shop7-{run}}}:PLATE"
    for product in (chair, lamp, cup, plate):
        shop.execute_command("INV.SET", product, "AVAILABLE", 10)
        print(f"10 of {product}, in slot {shop.keyslot(product)}")

    def hold(order: Order) -> None:
        again(lambda: reserve(shop, order), patience=10)
        show(shop, order)

    def order(number: int, lines: Lines, ms: int = 60_000) -> Order:
        return Order(f"ORDER-{number}-{run}", lines, now() + ms)

    print("\nA customer orders products of three tags, and pays.")
    good = order(1, [(lamp, 2), (chair, 4), (cup, 6), (plate, 6)])
    hold(good)
    sell(shop, good)

    print("\nAnother wants more lamps than there are: nothing of the order stays held.")
    greedy = order(2, [(chair, 1), (lamp, 9)])
    try:
        hold(greedy)
    except ResponseError as refusal:
        print(f"  refused: {refusal}")
    show(shop, greedy)

    print("\nA client dies before its customer has paid: the deadline gives back.")
    abandoned = order(3, [(lamp, 5), (cup, 1)], ms=2_000)
    hold(abandoned)
    wait_for_the_deadline(shop, abandoned)
    show(shop, abandoned)

    print("\nA client dies between two commits: another finds the order paid.")
    halved = order(4, [(lamp, 1), (chair, 1), (cup, 1)])
    hold(halved)
    commit_group(shop, halved.groups()[0].reservation)
    show(shop, halved)
    sell(connect(nodes), halved)

    print("\nA payment comes after the deadline, and another has got the chairs.")
    slow = order(5, [(lamp, 1), (chair, 5)], ms=2_000)
    hold(slow)
    wait_for_the_deadline(shop, slow)
    quick = order(6, [(chair, 5)])
    hold(quick)
    sell(shop, quick)
    sell(shop, slow)

    print("\nThe shop gets more chairs instead of a refund, and finishes the order.")
    shop.execute_command("INV.ADJUST", chair, 5, "ONCE", f"delivery-{run}")
    sell(shop, slow)


def sell(shop: RedisCluster, order: Order) -> None:
    """Finishes a paid order and prints it."""
    for group, refusal in finish(shop, order):
        print(f"  paid and not sold: {group.reservation}: {refusal}")
    show(shop, order)


def show(shop: RedisCluster, order: Order) -> None:
    """Prints the groups of an order and its products, as the cluster has them."""
    for group in order.groups():
        print(f"  {group.reservation}: {state(shop, group)}")
        for product, quantity in group.lines:
            # An INV.STOCK with products of different slots would be refused.
            stock: dict[str, Any] = shop.execute_command("INV.STOCK", product)[0]
            units = f"{stock['available']} available, {stock['reserved']} reserved"
            print(f"    {quantity} of {product} (now {units})")


def state(shop: RedisCluster, group: Group) -> str:
    """reserved, committed, rolled_back or expired."""
    found: dict[str, Any] | None = shop.execute_command("INV.GET", group.reservation)
    return found["state"] if found else "not held"


def wait_for_the_deadline(shop: RedisCluster, order: Order) -> None:
    """Waits until no group of the order is held any more."""
    while any(state(shop, group) == "reserved" for group in order.groups()):
        time.sleep(0.02)
    print("  ... the deadline passes")


def now() -> int:
    """Unix ms. The masters' clocks decide about deadlines: keep clocks synchronised."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 examples/order.py host:port [host:port ...]")
    tell(sys.argv[1:])
