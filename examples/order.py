"""An order over products in different slots of a cluster, with redis-py's RedisCluster:

    pip install redis
    python3 examples/order.py 127.0.0.1:7001

A reservation holds products of its own slot, and no transaction reaches over several.
So an order is one reservation for each tag among its products, all named after the
order and all with the same deadline:

1. The shop writes the order down in its own database, as *placed*.
2. `reserve` holds the units, group by group. Where one group is refused, the others are
   rolled back.
3. The customer pays. The shop writes *paid* before it does anything else.
4. `commit` sells the groups. Whatever fails on the way is sent again (`finish`): an id
   is sold once.
5. The shop writes *sold*.

One process at a time drives an order; the shop's database says which. Where it dies
before *paid*, the deadline gives back what is held. Where it dies behind *paid*, before,
between or after the COMMITs, whoever finds the order paid calls `finish`, before the
deadline or after it.

What this cannot do is sell all groups or none: when an order is finished after its
deadline, units of one group may have been sold to others meanwhile. `commit` names such
groups, and the shop chooses: refund those lines; or restock and commit once more; or
refund all, and take back what was sold with `INV.ADJUST sku n ONCE order`. examples/order.rs
says more.

How redis-py finds the node:

- A command that names a product or a reservation is sent as it is. redis-py cannot see
  what follows ITEMS or PRODUCT, so before RESERVE, COMMIT, ROLLBACK and the like it asks
  a node for the keys (COMMAND GETKEYS): one more round trip.
- INV.SCAN and INV.ALERTS without PRODUCT, and INV.AUDITSCAN, name none: say
  `target_nodes=cluster.get_primaries()`. The answer is a dict, one entry a node; a
  cursor is of one node, so the next page is asked of that one alone.
- `load_balancing_strategy` sends no INV command to a replica by itself: redis-py has a
  list of what only reads. With that option, `target_nodes=cluster.get_node_from_key(id,
  replica=True)` does it.
- A command is sent again when its connection breaks. What has no id of its own wants
  ONCE: INV.ADJUST, INV.TRANSFER, a RESERVE of `{tag}*`.
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

# All that redis-py raises: what it has to say of a cluster is no RedisError.
ERRORS = (RedisError, RedisClusterException)


class Group(NamedTuple):
    """The lines of an order that can be in one reservation."""

    reservation: str
    lines: Lines


class Unsold(NamedTuple):
    """A group of a paid order that could not be sold, and why.

    INSUFFICIENT: its deadline had passed, and others have its units. ROLLEDBACK: somebody
    gave the order up. NOTFOUND: how it ended is forgotten, or was lost with a master:
    look before you refund. DRIFT, FOREIGN: keys were written by hand.
    """

    group: Group
    refusal: ResponseError


@dataclass(frozen=True)
class Order:
    """An order as the shop has it in its own database.

    The id is used once: a second try of a refused order is another order. The deadline
    is in Unix ms.
    """

    id: str
    lines: Lines
    deadline: int

    def groups(self) -> list[Group]:
        """The order in parts, by tag: `{PROD-1}:order`, `{shop7}:order`."""
        by_tag: dict[str, Lines] = {}
        for product, quantity in self.lines:
            by_tag.setdefault(tag(product), []).append((product, quantity))
        return [Group(f"{{{tag}}}:{self.id}", by_tag[tag]) for tag in sorted(by_tag)]


def tag(name: str) -> str:
    """What decides the slot of an id: what stands in its braces, or all of it."""
    _, brace, rest = name.partition("{")
    inside, end, _ = rest.partition("}")
    return inside if brace and end else name


# These say that an order cannot be whole any more. COMMITTED and MISMATCH are none of
# them: an order of this id is sold, or is another one, and then what it holds is not
# ours to give back.
IMPOSSIBLE = {"INSUFFICIENT", "EXPIRED", "ROLLEDBACK", "FOREIGN", "WRONGTYPE"}

# These say that a group of a paid order cannot be sold as things are.
UNSOLD = {"INSUFFICIENT", "ROLLEDBACK", "NOTFOUND", "DRIFT", "FOREIGN"}


def reserve(cluster: RedisCluster, order: Order) -> None:
    """Holds the units of all groups, or of none. Sent again, it does the same.

    An error that is no refusal (the network, a cluster that is down, a wrong command)
    leaves what is held so far: call this again, or `give_up`, or leave it to the
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
                # What cannot be given back now comes back at the deadline. The refusal
                # is what the caller wants to know.
                with suppress(*ERRORS):
                    give_up(cluster, order)
            raise


def give_up(cluster: RedisCluster, order: Order) -> None:
    """Gives all units back. Never for an order that is *paid*."""
    failure: Exception | None = None
    for group in order.groups():
        try:
            cluster.execute_command("INV.ROLLBACK", group.reservation)
        except ERRORS as error:
            if code(error) != "NOTFOUND":  # That one was never held.
                failure = failure or error
    if failure:
        raise failure


def commit(cluster: RedisCluster, order: Order) -> list[Unsold]:
    """Sells all groups of an order that is *paid*, and names those that it cannot sell.

    Sent again, it sells what is still to be sold, and nothing twice. An error means that
    a group has not answered: call this again, until it is answered (`finish`).
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
                # The other groups have a deadline as well: they do not wait for this.
                unanswered = unanswered or error
    if unanswered:
        raise unanswered
    return unsold


def commit_group(cluster: RedisCluster, reservation: str) -> None:
    """Sells one reservation, also behind its deadline where its units are still free."""
    try:
        cluster.execute_command("INV.COMMIT", reservation)
    except ResponseError as refusal:
        if code(refusal) != "EXPIRED":
            raise
        # The deadline was faster than the payment.
        cluster.execute_command("INV.COMMIT", reservation, "LATE")


def again(step: Callable[[], Answer], patience: float) -> Answer:
    """A step that is harmless to repeat, until it has an answer, for so many seconds.

    What the module has refused is an answer.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return step()
        except ERRORS as error:
            answered = isinstance(error, ResponseError)
            if isinstance(error, ClusterError):  # Among them "the cluster is down".
                answered = False
            if answered or time.monotonic() >= end:
                raise
            time.sleep(0.1)


def finish(cluster: RedisCluster, order: Order, patience: float = 10) -> list[Unsold]:
    """`commit`, until every group has answered.

    A shop does this to each order that it finds *paid*: when it starts, and from time to
    time.
    """
    return again(lambda: commit(cluster, order), patience)


def code(error: Exception) -> str:
    """The first word of a refusal, which programs branch on."""
    return str(error).split(" ", 1)[0]


def connect(nodes: list[str]) -> RedisCluster:
    """A client of the cluster that has these nodes, each given as host:port.

    It follows MOVED and ASK, and repeats a command that is answered with TRYAGAIN (a
    slot is on its way to another node), but for less than half a second: behind that it
    is a ClusterError, `TTL exhausted.`, that says nothing of the command. `again` has
    more patience.
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
    """A little story: orders that go well, and orders that do not."""
    shop = connect(nodes)
    # Names of this run, so that the story can be told again on the same cluster.
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
    """Finishes a paid order, and shows it."""
    for group, refusal in finish(shop, order):
        print(f"  paid and not sold: {group.reservation}: {refusal}")
    show(shop, order)


def show(shop: RedisCluster, order: Order) -> None:
    """The groups of an order and its products, as the cluster has them."""
    for group in order.groups():
        print(f"  {group.reservation}: {state(shop, group)}")
        for product, quantity in group.lines:
            # Products of different slots in one INV.STOCK would be refused.
            stock: dict[str, Any] = shop.execute_command("INV.STOCK", product)[0]
            units = f"{stock['available']} available, {stock['reserved']} reserved"
            print(f"    {quantity} of {product} (now {units})")


def state(shop: RedisCluster, group: Group) -> str:
    """reserved, committed, rolled_back or expired."""
    found: dict[str, Any] | None = shop.execute_command("INV.GET", group.reservation)
    return found["state"] if found else "not held"


def wait_for_the_deadline(shop: RedisCluster, order: Order) -> None:
    """Waits until nothing of an order is held any more."""
    while any(state(shop, group) == "reserved" for group in order.groups()):
        time.sleep(0.02)
    print("  ... the deadline passes")


def now() -> int:
    """Unix ms. Deadlines are judged by the clocks of the masters: keep them in step."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 examples/order.py host:port [host:port ...]")
    tell(sys.argv[1:])
