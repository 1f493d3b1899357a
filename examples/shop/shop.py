"""The checkout and the recovery job of docs/orders-in-sql.md, in Python.

    pip install redis 'psycopg[binary]'
    python3 examples/shop/shop.py recover '{"postgres": "…", "stock": "…", "provider": "…"}'
    python3 examples/shop/shop.py checkout '{…}' <carts

It uses the tables of schema.sql, and may run beside the shop in Rust: `action` and `step`
are the same decisions as in protocol.rs, and a test compares them with the document.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg
import redis
from redis.maint_notifications import MaintNotificationsConfig

Lines = list[tuple[str, int]]
Json = dict[str, Any]

# Everything that breaks when a server or the network fails. The step may have been carried
# out. Nothing has to be cleaned up: the recovery job does it.
BROKEN = (psycopg.Error, redis.RedisError, OSError, ValueError)


class NeedsPersonError(Exception):
    """Something that the protocol does not allow. No program should decide it."""


# --- the protocol: pure functions ---

ORDERS = ("placed", "paid", "committed", "sold", "cancelling", "cancelled")
RESERVATIONS = (
    "reserved",
    "committed",
    "expired",
    "rolled_back",
    "unknown",
    "forgotten",
)
PAYMENTS = (
    "none",
    "pending",
    "authorised",
    "captured",
    "failed",
    "ended",
    "refunded",
)


def step(payment: str, may_still_pay: bool) -> str:
    """What to do with an order that is only placed."""
    if payment in ("authorised", "captured"):
        return "mark paid"
    if payment in ("none", "pending") and may_still_pay:
        return "wait"
    return "cancel"


def action(order: str, reservation: str) -> str:
    """What to do with the reservation of any other order."""
    match order, reservation:
        case ("placed", _):
            return "nothing"  # `step` decides first.
        case ("sold", "committed" | "forgotten"):
            return "nothing"
        case ("cancelling" | "cancelled", "committed"):
            return "put back"
        case ("cancelled", _):
            return "release"
        case (_, "forgotten"):
            return "ask a person"
        case ("cancelling", _):
            return "release"
        case ("committed", "committed"):
            return "capture"
        case (_, "reserved" | "committed"):
            return "commit"
        case (_, "expired"):
            return "commit late"
        case _:
            return "renew"


# --- the orders in PostgreSQL ---


@dataclass(frozen=True)
class Order:
    """An order as its row says."""

    id: str
    state: str
    method: str
    amount: int
    reservation: str
    attempt: int
    may_still_pay: bool
    age: float
    reasons: int

    def reservation_of(self, attempt: int) -> str:
        """The id of its reservation with this number."""
        return self.id if attempt == 1 else f"{self.id}:{attempt}"


class Orders:
    """A connection to the database. Each statement is a transaction, except in `place`."""

    def __init__(self, address: str) -> None:
        self.connection = psycopg.connect(address, autocommit=True)

    def execute(self, sql: str, *values: Any) -> psycopg.Cursor[Any]:
        return self.connection.execute(sql, values)

    def place(self, cart: Json, seconds_to_pay: float) -> None:
        """Stores order, lines, reservation id and outbox row in one transaction."""
        with self.connection.transaction():
            new = self.execute(
                """INSERT INTO orders (id, state, method, amount, reservation, pay_by)
                   VALUES (%s, 'placed', %s, %s, %s, now() + %s * interval '1 second')
                   ON CONFLICT DO NOTHING""",
                *(cart["order"], cart["method"], cart["amount"], cart["order"]),
                seconds_to_pay,
            )
            if new.rowcount == 1:
                for sku, quantity in cart["lines"]:
                    self.execute(
                        "INSERT INTO order_lines VALUES (%s, %s, %s)",
                        *(cart["order"], sku, quantity),
                    )
                self.execute(
                    """INSERT INTO outbox (order_id, due_at)
                       SELECT id, pay_by FROM orders WHERE id = %s""",
                    cart["order"],
                )

    def get(self, order: str) -> Order:
        row = self.execute(
            """SELECT id, state, method, amount, reservation, attempt, now() < pay_by,
                      extract(epoch FROM now() - placed_at)::float8, coalesce(reasons, 0)
               FROM orders LEFT JOIN outbox ON order_id = id WHERE id = %s""",
            order,
        ).fetchone()
        if row is None:
            raise ValueError(f"there is no order {order}")
        return Order(*row)

    def lines(self, order: str) -> Lines:
        sql = "SELECT sku, quantity FROM order_lines WHERE order_id = %s ORDER BY sku"
        return self.execute(sql, order).fetchall()

    def mark(self, order: Order, state: str) -> bool:
        """Changes the state, unless somebody else has changed the order meanwhile."""
        return (
            self.execute(
                """UPDATE orders SET state = %s
                   WHERE id = %s AND state = %s AND reservation = %s""",
                *(state, order.id, order.state, order.reservation),
            ).rowcount
            == 1
        )

    def settle(self, order: Order, state: str, server: str) -> bool:
        """The same, and remembers which stock server has confirmed it."""
        return (
            self.execute(
                """UPDATE orders SET state = %s, settled_at = now(), settled_on = %s
                   WHERE id = %s AND state = %s AND reservation = %s""",
                *(state, server, order.id, order.state, order.reservation),
            ).rowcount
            == 1
        )

    def renew(self, order: Order) -> bool:
        """Lets another reservation take the place of one that is lost."""
        attempt = order.attempt + 1
        return (
            self.execute(
                """UPDATE orders SET reservation = %s, attempt = %s
                   WHERE id = %s AND state = %s AND reservation = %s""",
                *(order.reservation_of(attempt), attempt),
                *(order.id, order.state, order.reservation),
            ).rowcount
            == 1
        )

    def done(self, order: Order) -> None:
        """Takes the order from the outbox, unless there is a new reason to look at it."""
        sql = "DELETE FROM outbox WHERE order_id = %s AND reasons = %s"
        self.execute(sql, order.id, order.reasons)

    def take_due(self, lease: float) -> str | None:
        """An order that is due, which no other job takes for `lease` seconds."""
        row = self.execute(
            """UPDATE outbox SET due_at = now() + %s * interval '1 second'
               WHERE order_id =
                   (SELECT order_id FROM outbox WHERE due_at <= now()
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING order_id""",
            lease,
        ).fetchone()
        return row[0] if row else None

    def wait(self, order: Order) -> None:
        self.execute(
            """UPDATE outbox SET due_at = pay_by FROM orders
               WHERE order_id = id AND id = %s AND reasons = %s""",
            *(order.id, order.reasons),
        )

    def ask_person(self, order: str, problem: str) -> None:
        self.execute(
            """UPDATE outbox SET due_at = now() + interval '1 hour', problem = %s
               WHERE order_id = %s""",
            *(problem, order),
        )

    def now(self) -> str:
        """A moment ago: a statement that is under way is not seen yet."""
        sql = "SELECT (now() - interval '5 seconds')::text"
        return (self.execute(sql).fetchone() or [""])[0]

    def meet(self, server: str, since: str | None) -> None:
        """Remembers a stock server, and until when it has everything."""
        self.execute(
            """INSERT INTO stock_servers
               VALUES (%s, coalesce(%s::text::timestamptz, '-infinity'))
               ON CONFLICT DO NOTHING""",
            *(server, since),
        )

    def check_again(self, server: str) -> None:
        """Looks again at what this server may have forgotten."""
        self.execute(
            """INSERT INTO outbox (order_id, due_at)
               SELECT id, now() FROM orders, stock_servers
               WHERE server = %s AND settled_at >= since AND settled_on <> %s
                   AND state IN ('sold', 'cancelled')
               ON CONFLICT DO NOTHING""",
            *(server, server),
        )


# --- the units in Redis or Valkey ---


class Answer(Enum):
    """An answer to a command on a reservation."""

    DONE = "done"
    INSUFFICIENT = "insufficient"
    OTHERWISE = "look at the reservation again"


# The first line raises an error unless the reservation is sold.
PUT_BACK = """
redis.call('INV.COMMIT', KEYS[1])
for i = 1, #ARGV, 2 do
  redis.call('INV.ADJUST', ARGV[i], ARGV[i + 1], 'ONCE', 'put-back:' .. KEYS[1])
end
return 'OK'"""

MARK = "shop:known-good"

# The mark is written only if the data set is the one that the connection was opened to.
WRITE_MARK = """
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local server = info:match('run_id:(%w+)') .. '/' .. info:match('master_replid:(%w+)')
if server == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return server"""


class Stock:
    """A connection to the stock server."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        # One connection that is never opened again by itself: `server` belongs to it.
        self.connection = redis.Redis(
            host=host,
            port=int(port),
            decode_responses=True,
            protocol=3,
            socket_timeout=10,
            single_connection_client=True,
            retry=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        info = self.connection.info("server") | self.connection.info("replication")
        self.server = f"{info['run_id']}/{info['master_replid']}"

    def reserve(self, reservation: str, lines: Lines, hold_ms: int) -> Answer:
        items = [word for line in lines for word in line]
        return self.ask("INV.RESERVE", reservation, "PX", hold_ms, "ITEMS", *items)

    def put_back(self, reservation: str, lines: Lines) -> Answer:
        """Puts the units of a sold reservation back on sale, each sku once."""
        items = [word for line in lines for word in line]
        return self.ask("EVAL", PUT_BACK, 1, reservation, *items)

    def state(self, reservation: str) -> str:
        found = self.answered("INV.GET", reservation)
        state = found["state"] if found else "unknown"
        if state not in RESERVATIONS:
            raise NeedsPersonError(f"reservation {reservation} is {state}")
        return state

    def ask(self, *words: Any) -> Answer:
        try:
            self.answered(*words)
        except redis.ResponseError as refusal:
            code = str(refusal).split(" ", 1)[0]
            if code == "INSUFFICIENT":
                return Answer.INSUFFICIENT
            if code in ("COMMITTED", "ROLLEDBACK", "EXPIRED", "NOTFOUND"):
                return Answer.OTHERWISE
            if code in ("REPLACED", "MISMATCH", "DRIFT", "FOREIGN", "WRONGTYPE"):
                raise NeedsPersonError(str(refusal)) from refusal
            raise
        return Answer.DONE

    def answered(self, *words: Any) -> Any:
        """Repeats the command while it is answered with TRYAGAIN."""
        for _ in range(200):
            try:
                return self.connection.execute_command(*words)
            except redis.ResponseError as refusal:
                if not str(refusal).startswith("TRYAGAIN"):
                    raise
                time.sleep(0.01)
        raise redis.TimeoutError(f"{words[0]} was answered with TRYAGAIN all the time")


# --- the money ---


class Payments:
    """A connection to the provider: a line of JSON for each request and answer."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.connection = socket.create_connection((host, int(port)), timeout=10)
        self.answers = self.connection.makefile("r")

    def ask(self, do: str, order: Order) -> str:
        request = {"do": do, "key": order.id, "amount": order.amount}
        self.connection.sendall(json.dumps(request).encode() + b"\n")
        line = self.answers.readline()
        answer = json.loads(line) if line else {"error": "no answer"}
        if answer.get("payment") not in PAYMENTS:
            raise OSError(f"the provider is in trouble: {answer}")
        return answer["payment"]


# --- the shop ---


class Shop:
    """A process of the shop. After a failure, drop it and open another one."""

    def __init__(self, settings: Json) -> None:
        self.hold_ms: int = settings.get("hold_ms", 60_000)
        self.pay_ms: int = settings.get("pay_ms", 900_000)
        self.lease: float = settings.get("lease", 60)
        self.memory: float = settings.get("memory", 80_000)
        self.orders = Orders(settings["postgres"])
        self.stock = Stock(settings["stock"])
        self.payments = Payments(settings["provider"])

    def close(self) -> None:
        for connection in (self.orders, self.stock, self.payments):
            connection.connection.close()

    def checkout(self, cart: Json) -> str:
        """Returns how far the order has come."""
        self.orders.place(cart, self.pay_ms / 1000)
        order = self.orders.get(cart["order"])
        reservation = order.reservation
        answer = self.stock.reserve(reservation, cart["lines"], self.hold_ms)
        # The units are held until the customer has paid.
        if answer is Answer.DONE:
            answer = self.stock.ask("INV.EXTEND", reservation, "PX", self.pay_ms)
        if answer is not Answer.DONE:
            return self.cancel(order)
        self.payments.ask(order.method, order)
        return self.finish(order.id)

    def cancel(self, order: Order) -> str:
        if order.state == "placed":
            self.orders.mark(order, "cancelling")
        return self.finish(order.id)

    def recover(self) -> int:
        """A round of the recovery job. Returns the number of orders looked at."""
        now = self.orders.now()
        known_good = self.stock.connection.get(MARK)
        self.orders.meet(self.stock.server, known_good)
        self.orders.check_again(self.stock.server)
        count = 0
        while order := self.orders.take_due(self.lease):
            try:
                self.finish(order)
            except NeedsPersonError as problem:
                self.orders.ask_person(order, str(problem))
            count += 1
        # What was settled before the round was answered before the mark is written.
        words = ("EVAL", WRITE_MARK, 1, MARK, self.stock.server, now)
        if self.stock.connection.execute_command(*words) != self.stock.server:
            raise OSError("the stock server has changed")
        return count

    def finish(self, id: str) -> str:
        """Brings an order to its end, or as far as it can go now."""
        for _ in range(20):
            order = self.orders.get(id)
            if order.state == "placed":
                payment = self.payments.ask("find", order)
                match step(payment, order.may_still_pay):
                    case "wait":
                        self.orders.wait(order)
                        return order.state
                    case "mark paid":
                        self.orders.mark(order, "paid")
                    case "cancel":
                        self.orders.mark(order, "cancelling")
                continue
            self.end_earlier_reservations(order)
            if self.carry_out(action(order.state, self.reservation(order)), order):
                self.orders.done(order)
                return self.orders.get(id).state
        raise OSError(f"order {id} is changed by others all the time")

    def reservation(self, order: Order) -> str:
        state = self.stock.state(order.reservation)
        return "forgotten" if state == "unknown" and order.age > self.memory else state

    def carry_out(self, what: str, order: Order) -> bool:
        """Returns whether nothing is left to do."""
        stock, reservation = self.stock, order.reservation
        match what:
            case "nothing":
                return self.orders.settle(order, order.state, stock.server)
            case "commit":
                return self.sold(order, stock.ask("INV.COMMIT", reservation))
            case "commit late":
                return self.sold(order, stock.ask("INV.COMMIT", reservation, "LATE"))
            case "renew":
                return self.renew(order)
            case "capture":
                captured = self.payments.ask("capture", order) == "captured"
                next_state = "sold" if captured else "cancelling"
                return self.orders.mark(order, next_state) and captured
            case "release":
                answer = stock.ask("INV.ROLLBACK", reservation, "FENCE")
                return answer is Answer.DONE and self.cancelled(order)
            case "put back":
                answer = stock.put_back(reservation, self.orders.lines(order.id))
                return answer is Answer.DONE and self.cancelled(order)
        raise NeedsPersonError(
            f"order {order.id} is {order.state}, and reservation {reservation} is forgotten"
        )

    def sold(self, order: Order, answer: Answer) -> bool:
        if answer is Answer.DONE:
            next_state = "committed" if order.state == "paid" else order.state
            settled = self.orders.settle(order, next_state, self.stock.server)
            return settled and next_state == "sold"
        if answer is Answer.INSUFFICIENT:
            self.orders.mark(order, "cancelling")
        return False

    def cancelled(self, order: Order) -> bool:
        """The units are free. Gives the money back."""
        self.payments.ask("end", order)
        return self.orders.settle(order, "cancelled", self.stock.server)

    def renew(self, order: Order) -> bool:
        """Makes a lost reservation again, under the next id of the order."""
        fenced = self.stock.ask("INV.ROLLBACK", order.reservation, "FENCE")
        if fenced is Answer.DONE and self.orders.renew(order):
            order, lines = self.orders.get(order.id), self.orders.lines(order.id)
            answer = self.stock.reserve(order.reservation, lines, self.hold_ms)
            if answer is Answer.INSUFFICIENT:
                self.orders.mark(order, "cancelling")
        return False

    def end_earlier_reservations(self, order: Order) -> None:
        """A server that has lost the fence of one of them may have it again."""
        for attempt in range(1, order.attempt):
            earlier = order.reservation_of(attempt)
            answer = self.stock.ask("INV.ROLLBACK", earlier, "FENCE")
            if answer is Answer.OTHERWISE:
                answer = self.stock.put_back(earlier, self.orders.lines(order.id))
            if answer is not Answer.DONE:
                raise OSError(f"reservation {earlier} has changed")


# --- the processes ---


def main() -> None:
    what, *rest = sys.argv[1:] or ["help"]
    settings: Json = json.loads(rest[0]) if rest else {}
    if what == "table":
        print(json.dumps(tables()))
    elif what == "checkout":
        checkouts(settings)
    elif what == "recover":
        recoveries(settings)
    else:
        sys.exit("usage: shop.py table | checkout SETTINGS | recover SETTINGS")


def tables() -> Json:
    """The decisions, to compare them with the document."""
    return {
        "action": {o: {r: action(o, r) for r in RESERVATIONS} for o in ORDERS},
        "step": {p: [step(p, True), step(p, False)] for p in PAYMENTS},
    }


def checkouts(settings: Json) -> None:
    """Serves the carts that it reads, a line of JSON each. It prints what became of them."""
    shop: Shop | None = None
    for line in sys.stdin:
        cart = json.loads(line)
        try:
            shop = shop or Shop(settings)
            print(cart["order"], shop.checkout(cart), flush=True)
        except (*BROKEN, NeedsPersonError) as error:
            print(cart["order"], f"broken: {type(error).__name__}", flush=True)
            if shop:
                shop.close()
            shop = None


def recoveries(settings: Json) -> None:
    """Runs the recovery job several times a second, until its input ends."""
    shop: Shop | None = None
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        try:
            shop = shop or Shop(settings)
            shop.recover()
        except BROKEN as error:
            print(f"broken: {type(error).__name__}", flush=True)
            if shop:
                shop.close()
            shop = None


if __name__ == "__main__":
    main()
