"""Every command through redis-py's RedisCluster, and the order of examples/order.py.

    python3 tests/clients/cluster.py 127.0.0.1:7001

It wants a cluster of three masters and three replicas without data, and is run by
tests/server/cluster_clients.rs, which starts one. A check that does not hold ends it.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import redis
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterError,
    MovedError,
    RedisClusterException,
    ResponseError,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import order as recipe

# Reading commands that name a product or a reservation of PROD-1.
READERS = [
    "INV.GET {PROD-1}:R1",
    "INV.STOCK PROD-1",
    "INV.AUDIT PROD-1",
    "INV.ALERTS PRODUCT PROD-1",
    "INV.SCAN 0 PRODUCT PROD-1",
]

# Reading commands that name neither.
WALKS = ["INV.ALERTS", "INV.SCAN 0", "INV.STOCKSCAN 0", "INV.AUDITSCAN 0"]


class Shop:
    """The client, with commands as text."""

    def __init__(self, address: str, protocol: int, **options: Any) -> None:
        host, port = address.split(":")
        self.cluster = RedisCluster(
            host=host,
            port=int(port),
            protocol=protocol,
            decode_responses=True,
            **options,
        )

    def ask(self, line: str, node: ClusterNode | None = None) -> Any:
        """The answer; `node` is set if the client should not choose one."""
        if node:
            # A client of this object: one of another object would share its connections.
            node = self.cluster.get_node(node_name=node.name)
            return self.cluster.execute_command(*line.split(), target_nodes=node)
        return self.cluster.execute_command(*line.split())

    def ask_all(self, line: str) -> dict[str, Any]:
        """The answer of each master."""
        # The nodes rather than RedisCluster.PRIMARIES: with that, newer versions of the client
        # still look for a key, and refuse a command without one.
        masters = self.cluster.get_primaries()
        answers: dict[str, Any] = self.cluster.execute_command(
            *line.split(), target_nodes=masters
        )
        return answers

    def walk(self, command: str, options: str) -> list[Any]:
        """All results of a walk. A cursor belongs to the node that returned it."""
        found: list[Any] = []
        for name, (cursor, page) in self.ask_all(f"{command} 0 {options}").items():
            found += page
            node = self.cluster.get_node(node_name=name)
            while cursor != "0":
                cursor, page = self.ask(f"{command} {cursor} {options}", node)
                found += page
        return found

    def refusal(self, line: str) -> str:
        """The text of an error from the module."""
        return str(raised(ResponseError, self.ask, line))


def raised(kind: type[Exception], step: Callable[..., Any], *words: Any) -> Exception:
    """The error with which a step has to end."""
    try:
        answer = step(*words)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} but {answer!r}")


def check(seen: Any, expected: Any, what: str = "") -> None:
    """Asserts that both are the same."""
    assert seen == expected, f"{what}: {seen!r} is not {expected!r}"


def wait_for(what: str, condition: Callable[[], bool], limit: float = 20) -> None:
    """Polls until a condition holds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"gave up after {limit} s: {what}"
        time.sleep(0.005)


def fields(reply: Any) -> dict[str, Any]:
    """A map, which is a flat array in RESP2."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2]))


def units(stock: Any) -> tuple[int, int]:
    """Available and reserved units according to INV.STOCK."""
    found = fields(stock)
    return found["available"], found["reserved"]


def lines(reservation: Any) -> list[tuple[str, int]]:
    """The lines of a reservation: sku and quantity."""
    found = [fields(line) for line in fields(reservation)["items"]]
    return [
        ("@".join([line["product_id"], *filter(None, [line.get("warehouse")])]), units)
        for line in found
        for units in [line["quantity"]]
    ]


def a_product_is_reserved_and_sold(shop: Shop, p: str) -> None:
    check(shop.ask(f"INV.SET {p} AVAILABLE 100"), 100)
    check(shop.ask(f"INV.ADJUST {p} 20 ONCE delivery"), 120)
    check(shop.ask(f"INV.ADJUST {{{p}}} 20 ONCE delivery"), 120)
    check(shop.ask(f"INV.THRESHOLD {p} 90"), "OK")
    items = f"{p} 10 {{{p}}} 5"
    held = shop.ask(f"INV.RESERVE {{{p}}}:R1 EX 600 DATA cart ONCE try-1 ITEMS {items}")
    check(fields(held)["reservation_id"], f"{{{p}}}:R1")
    check(lines(held), [(p, 15)])
    until = shop.ask(f"INV.EXTEND {{{p}}}:R1 EX 900")
    found = fields(shop.ask(f"INV.GET {{{p}}}:R1"))
    check((found["state"], found["expires_at"]), ("reserved", until))
    check(shop.ask(f"INV.SCAN 0 PRODUCT {p}"), ["0", [f"{{{p}}}:R1"]])
    check(units(shop.ask(f"INV.STOCK {p}")[0]), (105, 15))
    check(shop.ask(f"INV.COMMIT {{{p}}}:R1 ONCE parcel ITEMS {p} 5"), "OK")
    check(shop.ask(f"INV.ROLLBACK {{{p}}}:R1 ITEMS {p} 5"), "OK")
    check(shop.ask(f"inv.commit {{{p}}}:R1"), "OK")
    check(shop.ask(f"INV.COMMIT {{{p}}}:R1 LATE"), "OK")
    check(units(shop.ask(f"INV.STOCK {{{p}}}")[0]), (110, 0))
    shop.ask(f"INV.RESERVE {{{p}}}:R2 ITEMS {p} 100")
    check(shop.ask(f"INV.ROLLBACK {{{p}}}:R2"), "OK")
    refusal = shop.refusal(f"INV.RESERVE {{{p}}}:R3 ITEMS {p} 111")
    check(refusal, f"INSUFFICIENT {p} requested 111, available 110")
    check(shop.refusal(f"INV.COMMIT {{{p}}}:R2").split()[0], "ROLLEDBACK")
    check(shop.refusal(f"INV.EXTEND {{{p}}}:R4 EX 1").split()[0], "NOTFOUND")
    check(shop.ask(f"INV.GET {{{p}}}:R4"), None)
    alert = fields(shop.ask(f"INV.ALERTS PRODUCT {p} TYPE low_stock")[0])
    check((alert["product_id"], alert["available"]), (p, 10))
    check(shop.ask(f"INV.SET {p} ONHAND 50 IFEQ 110"), 50)
    check(shop.ask(f"INV.SET {p} ONHAND 60 IFEQ 110"), None)
    for star in (f"{{{p}}}*", f"{{{p}}}:order-*"):
        made = fields(shop.ask(f"INV.RESERVE {star} ITEMS {p} 1"))["reservation_id"]
        assert made.startswith(star[:-1]) and len(made) == len(star) + 35, made
        check(shop.ask(f"INV.ROLLBACK {made}"), "OK")
    check(units(shop.ask(f"INV.STOCK {p}")[0]), (50, 0))
    # The client asks the server where the keys of these calls are.
    one, two, three = (f"{{{p}}}:M{number}" for number in (1, 2, 3))
    made = shop.ask(
        f"INV.MRESERVE EX 600 3 {one} 1 {p} 1 {two} 1 {p} 2 {three} 1 {p} 99"
    )
    check([type(answer) for answer in made], [int, int, ResponseError])
    check(shop.ask(f"INV.MCOMMIT {one} {one}"), ["OK", "OK"])
    check(shop.ask(f"INV.MROLLBACK {two}"), ["OK"])
    check(shop.ask(f"INV.ADJUST {p} 1"), 50)
    # A pipeline sends each command to the node of its ids.
    pipeline = shop.cluster.pipeline()
    pipeline.execute_command("INV.RESERVE", f"{{{p}}}:R5", "ITEMS", p, 1)
    pipeline.execute_command("INV.ADJUST", f"{p}-other", 1)
    pipeline.execute_command("INV.COMMIT", f"{{{p}}}:R5")
    check(pipeline.execute()[1:], [1, "OK"])


def its_drift_is_found_and_repaired(shop: Shop, p: str) -> None:
    check(fields(shop.ask(f"INV.AUDIT {p}"))["drift"], 0)
    shop.ask(f"INCRBY stock:reserved:{{{p}}} 3")
    check(fields(shop.ask(f"INV.AUDIT {{{p}}}"))["drift"], 3)
    drifting = shop.walk("INV.AUDITSCAN", "COUNT 1000")
    check([fields(audit)["sku"] for audit in drifting], [p])
    check(fields(shop.ask(f"INV.REPAIR {p} FORCE"))["drift"], 3)
    check(fields(shop.ask(f"INV.REPAIR {p}"))["drift"], 0)
    check(units(shop.ask(f"INV.STOCK {p}")[0]), (52, 0))


def warehouses_share_the_slot_of_their_product(shop: Shop, p: str) -> None:
    check(shop.ask(f"INV.WAREHOUSES {p} SET A 1 B 2"), "OK")
    check(shop.ask(f"INV.ADJUST {{{p}}}@A 5"), 5)
    check(shop.ask(f"INV.SET {{{p}}}@B AVAILABLE 9"), 9)
    held = shop.ask(f"INV.RESERVE {{{p}}}:R1 ITEMS {p} 6 {{{p}}}@B 1")
    check(lines(held), [(f"{p}@A", 5), (f"{p}@B", 2)])
    check(shop.ask(f"INV.TRANSFER {p} B A 3 ONCE truck"), "OK")
    held = shop.ask(f"INV.RESERVE {{{p}}}:R2 SPLIT fewest ITEMS {p} 4")
    check(lines(held), [(f"{p}@B", 4)])
    check(shop.ask(f"INV.COMMIT {{{p}}}:R1 ITEMS {{{p}}}@A 5"), "OK")
    check(shop.ask(f"INV.COMMIT {{{p}}}:R1"), "OK")
    check(shop.ask(f"INV.ROLLBACK {{{p}}}:R2"), "OK")
    check(units(shop.ask(f"INV.STOCK {p}")[0]), (7, 0))
    refusal = shop.refusal(f"INV.WAREHOUSES {p} DEL B")
    assert refusal.endswith("only an empty warehouse can be removed"), refusal
    refusal = shop.refusal(f"INV.ADJUST {p}@A 1")
    assert refusal.endswith(f"write {{{p}}}@A"), refusal


def products_of_a_shop_share_a_reservation(shop: Shop, tag: str) -> None:
    one, two = f"{{{tag}}}:P1", f"{{{tag}}}:P2"
    shop.ask(f"INV.ADJUST {one} 10")
    shop.ask(f"INV.ADJUST {two} 20")
    held = shop.ask(f"INV.RESERVE {{{tag}}}:R1 ITEMS {one} 4 {two} 5")
    check(lines(held), [(one, 4), (two, 5)])
    made = shop.ask(f"INV.RESERVE {{{tag}}}:order-* ITEMS {two} 1 {one} 1")
    made = fields(made)["reservation_id"]
    assert made.startswith(f"{{{tag}}}:order-"), made
    stock = shop.ask(f"INV.STOCK {one} {two} {{{tag}}}:P3")
    check((units(stock[0]), units(stock[1]), stock[2]), ((5, 5), (14, 6), None))
    found = shop.ask(f"INV.SCAN 0 PRODUCT {two}")[1]
    check(set(found), {f"{{{tag}}}:R1", made})
    check(shop.ask(f"INV.COMMIT {{{tag}}}:R1"), "OK")
    check(shop.ask(f"INV.ROLLBACK {made}"), "OK")


def ids_of_different_slots_are_refused(shop: Shop) -> None:
    """The client checks the keys; if a node is named, the server does."""
    shop.ask("INV.SET PROD-2 AVAILABLE 10")
    for line in (
        "INV.RESERVE R1 ITEMS PROD-1 1",
        "INV.RESERVE {PROD-1}:R9 ITEMS PROD-1 1 PROD-2 1",
        "INV.COMMIT {PROD-1}:R9 ITEMS PROD-2 1",
        "INV.STOCK PROD-1 PROD-2",
    ):
        error = raised(RedisClusterException, shop.ask, line)
        assert "must map to the same key slot" in str(error), f"{line}: {error}"
        # The server routes by the first id.
        owner = shop.cluster.get_node_from_key(line.split()[1])
        raised(ClusterCrossSlotError, shop.ask, line, owner)
    check(shop.ask("INV.GET {PROD-1}:R9"), None)


def a_walk_is_asked_of_every_master(shop: Shop, mark: str) -> None:
    """A command without a product or a reservation needs a node."""
    for line in WALKS:
        error = raised(RedisClusterException, shop.ask, line)
        assert "specifying target nodes" in str(error), f"{line}: {error}"
    products = [f"P{number}-{mark}" for number in range(30)]
    for p in products:
        shop.ask(f"INV.SET {p} AVAILABLE 1000")
        shop.ask(f"INV.SET {p} AVAILABLE 7")
        shop.ask(f"INV.RESERVE {{{p}}}:R ITEMS {p} 2")
        shop.ask(f"INCRBY stock:reserved:{{{p}}} 1")
    found = [name for name in shop.walk("INV.SCAN", "COUNT 3") if mark in name]
    check(sorted(found), sorted(f"{{{p}}}:R" for p in products))
    found = [fields(audit)["sku"] for audit in shop.walk("INV.AUDITSCAN", "COUNT 3")]
    check(sorted(found), sorted(products))
    answers = shop.ask_all("INV.ALERTS COUNT 1000").values()
    names = [fields(alert)["product_id"] for alerts in answers for alert in alerts]
    check(sorted(name for name in names if name in products), sorted(products))
    for p in products:
        shop.ask(f"INV.REPAIR {p} FORCE")
        shop.ask(f"INV.ROLLBACK {{{p}}}:R")


def other_master(shop: Shop, name: str) -> ClusterNode:
    """A master that does not have the slot of this id."""
    owner = shop.cluster.get_node_from_key(name)
    return next(node for node in shop.cluster.get_primaries() if node != owner)


def connection(node: ClusterNode) -> redis.Redis:
    """A client of one node that follows no redirection."""
    return redis.Redis(host=node.host, port=node.port, decode_responses=True)


def the_client_follows_to_the_master_that_has_the_slot(shop: Shop, mark: str) -> None:
    one, two = f"{{PROD-1}}:1-{mark}", f"{{PROD-1}}:2-{mark}"
    wrong = other_master(shop, "PROD-1")
    slot = shop.cluster.keyslot("PROD-1")
    for line in (*READERS, "INV.ADJUST PROD-1 1", "INV.COMMIT {PROD-1}:R1"):
        error = raised(MovedError, connection(wrong).execute_command, *line.split())
        assert f"{slot} " in str(error), f"{line}: {error}"
    shop.ask("INV.SET PROD-1 AVAILABLE 100")
    check(shop.ask("INV.ADJUST PROD-1 1", wrong), 101)
    shop.ask(f"INV.RESERVE {one} ITEMS PROD-1 1", wrong)
    # As if the client had looked while the slot was there.
    shop.cluster.nodes_manager.slots_cache[slot] = [wrong]
    shop.ask(f"INV.RESERVE {two} ITEMS PROD-1 1")
    shop.cluster.nodes_manager.slots_cache[slot] = [wrong]
    found = shop.ask("INV.SCAN 0 PRODUCT PROD-1")[1]
    check(sorted(found), [one, two])
    check(shop.ask(f"INV.COMMIT {one}"), "OK")
    check(shop.ask(f"INV.COMMIT {two}"), "OK")


def calls(node: ClusterNode, name: str) -> int:
    """How often a node has executed a command."""
    counted: dict[str, Any] = connection(node).info("commandstats")
    return int(counted.get(f"cmdstat_{name}", {"calls": 0})["calls"])


def replicas_answer_what_only_reads(address: str, protocol: int) -> None:
    plain = Shop(address, protocol)
    plain.ask("INV.SET PROD-1 AVAILABLE 100")
    plain.ask(f"INV.RESERVE {{PROD-1}}:R{protocol} EX 600 ITEMS PROD-1 95")
    master = plain.cluster.get_node_from_key("PROD-1")
    replica = plain.cluster.get_node_from_key("PROD-1", replica=True)
    assert master and replica and master != replica

    def caught_up() -> bool:
        here, there = (connection(n).info("replication") for n in (replica, master))
        return bool(here["slave_repl_offset"] == there["master_repl_offset"])

    wait_for("the replica has what the master sent", caught_up)
    # The first is the older name of the second.
    warnings.filterwarnings("ignore", message=".*read_from_replicas")
    for options in (
        {"read_from_replicas": True},
        {"load_balancing_strategy": LoadBalancingStrategy.ROUND_ROBIN},
        {"load_balancing_strategy": LoadBalancingStrategy.ROUND_ROBIN_REPLICAS},
    ):
        shop = Shop(address, protocol, **options)
        for line in [line.replace(":R1", f":R{protocol}") for line in READERS]:
            name = line.split()[0]
            before = calls(master, name), calls(replica, name)
            # The client has a fixed list of reading commands, without these.
            answer = shop.ask(line)
            after = calls(master, name), calls(replica, name)
            check(after, (before[0] + 1, before[1]), line)
            check(shop.ask(line, replica), answer, line)
            check((calls(master, name), calls(replica, name) - 1), after, line)
            # A replica redirects a client that has not sent READONLY to the master.
            check(plain.ask(line, replica), answer, line)
            check(calls(master, name) - 1, after[0], line)
        for line in WALKS:
            answers = [shop.ask(line, node) for node in (replica, master)]
            if line.startswith("INV.STOCKSCAN"):
                # Each node has its own order.
                answers = [sorted(map(str, found)) for _, found in answers]
            check(*answers, line)
        # A write goes to the master in any case.
        check(shop.ask("INV.ADJUST PROD-1 1", replica), shop.ask("INV.ADJUST PROD-1 0"))
        wait_for("the replica has what the master sent", caught_up)
    check(plain.ask(f"INV.ROLLBACK {{PROD-1}}:R{protocol}"), "OK")


class Dead(Exception):
    """The client has died."""


class Mortal:
    """A client that dies after this many commands."""

    def __init__(self, cluster: RedisCluster, commands: int) -> None:
        self.cluster = cluster
        self.left = commands

    def execute_command(self, *words: Any) -> Any:
        if self.left == 0:
            raise Dead
        self.left -= 1
        return self.cluster.execute_command(*words)


def an_order_over_several_slots(address: str, mark: str) -> None:
    """tests/server/orders.rs tests every step of the same recipe in Rust."""
    cluster = recipe.connect([address])
    products = [f"{name}-{mark}" for name in ("BED", "CHAIR", "DESK")]
    for p in products:
        cluster.execute_command("INV.SET", p, "AVAILABLE", 10)

    def new(name: str, units: list[int], ms: int = 600_000) -> recipe.Order:
        each = list(zip(products, units))
        return recipe.Order(f"{name}-{mark}", each, recipe.now() + ms)

    def states(order: recipe.Order) -> list[str]:
        return [recipe.state(cluster, group) for group in order.groups()]

    def stock() -> list[tuple[int, int]]:
        found = [cluster.execute_command("INV.STOCK", p)[0] for p in products]
        return [units(stock) for stock in found]

    refused = new("REFUSED", [1, 1, 11])
    error = raised(ResponseError, recipe.reserve, cluster, refused)
    check(recipe.code(error), "INSUFFICIENT")
    check(states(refused), ["rolled_back", "rolled_back", "not held"])
    check(stock(), [(10, 0)] * 3)

    for done in range(3):
        order = new(f"HALF-{done}", [1, 1, 1])
        raised(Dead, recipe.reserve, Mortal(cluster, done), order)
        check(states(order), ["reserved"] * done + ["not held"] * (3 - done))
        recipe.reserve(cluster, order)
        raised(Dead, recipe.commit, Mortal(cluster, done), order)
        check(states(order), ["committed"] * done + ["reserved"] * (3 - done))
        check(recipe.finish(cluster, order), [])
        check(states(order), ["committed"] * 3)
    check(stock(), [(7, 0)] * 3)

    late = new("LATE", [1, 7, 1], ms=2_000)
    recipe.reserve(cluster, late)
    wait_for("the deadline", lambda: "reserved" not in states(late))
    quick = new("QUICK", [0, 7, 0])
    quick = recipe.Order(quick.id, quick.lines[1:2], quick.deadline)
    recipe.reserve(cluster, quick)
    check(recipe.finish(cluster, quick), [])
    [unsold] = recipe.finish(cluster, late)
    check(unsold.group.lines, [(products[1], 7)])
    check(recipe.code(unsold.refusal), "INSUFFICIENT")
    check(states(late), ["committed", "expired", "committed"])
    check(stock(), [(6, 0), (0, 0), (6, 0)])


def an_order_waits_for_a_slot_that_is_being_moved(shop: Shop, address: str) -> None:
    """The client retries for less than half a second, the recipe for longer."""
    p = "MOVED-1"
    shop.ask(f"INV.SET {p} AVAILABLE 10")
    slot = shop.cluster.keyslot(p)
    source, target = shop.cluster.get_node_from_key(p), other_master(shop, p)
    assert source
    ids = [connection(n).execute_command("CLUSTER", "MYID") for n in (source, target)]
    setslot = ("CLUSTER", "SETSLOT", slot)
    connection(target).execute_command(*setslot, "IMPORTING", ids[0])
    connection(source).execute_command(*setslot, "MIGRATING", ids[1])
    reserve = f"INV.RESERVE {{{p}}}:R1 ITEMS {p} 1"
    raised(AskError, connection(source).execute_command, *reserve.split())
    error = raised(ClusterError, shop.ask, reserve)
    check(str(error), "TTL exhausted.")

    order = recipe.Order("ORDER-1", [(p, 1)], recipe.now() + 600_000)
    unsold: list[recipe.Unsold] = []

    def place_and_sell() -> None:
        cluster = recipe.connect([address])
        recipe.again(lambda: recipe.reserve(cluster, order), patience=30)
        unsold.extend(recipe.finish(cluster, order))

    def turned_away() -> int:
        found: dict[str, Any] = connection(target).info("errorstats")
        return int(found.get("errorstat_TRYAGAIN", {"count": 0})["count"])

    before = turned_away()
    customer = Thread(target=place_and_sell)
    customer.start()
    wait_for("it is turned away for a while", lambda: turned_away() > before + 20)
    for node in (source, target):
        connection(node).execute_command(*setslot, "STABLE")
    customer.join()
    check(unsold, [])
    check(recipe.state(shop.cluster, order.groups()[0]), "committed")
    check(units(shop.ask(f"INV.STOCK {p}")[0]), (9, 0))


def main(address: str) -> None:
    print(f"redis-py {redis.__version__} on Python {sys.version.split()[0]}")
    for protocol in (2, 3):
        shop = Shop(address, protocol)
        # New ids in each round, some on each master.
        for mark in (f"{number}-resp{protocol}" for number in range(6)):
            a_product_is_reserved_and_sold(shop, f"PROD-{mark}")
            its_drift_is_found_and_repaired(shop, f"PROD-{mark}")
            warehouses_share_the_slot_of_their_product(shop, f"KEPT-{mark}")
            products_of_a_shop_share_a_reservation(shop, f"shop{mark}")
        the_client_follows_to_the_master_that_has_the_slot(shop, f"resp{protocol}")
        ids_of_different_slots_are_refused(shop)
        a_walk_is_asked_of_every_master(shop, f"resp{protocol}")
        replicas_answer_what_only_reads(address, protocol)
        print(f"RESP{protocol}: every command")
    an_order_over_several_slots(address, "1")
    print("an order over several slots")
    an_order_waits_for_a_slot_that_is_being_moved(Shop(address, 3), address)
    print("an order that waits for a slot")


if __name__ == "__main__":
    main(sys.argv[1])
