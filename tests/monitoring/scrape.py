"""Tests monitoring/ and docs/operations.md: a server and its replica, each scraped by
prometheus-redis-exporter, and Prometheus with the rules, all on private loopback ports.

Run it with scripts/test-monitoring.sh, which finds the programs. The settings of the
exporter and of Prometheus are taken from the document, and the exporter's user from
redis.conf, so that the published text is what is tested. The first failed check ends it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/operations.md").read_text()
RULES = ROOT / "monitoring/redis-inventory.rules.yml"
DASHBOARD = ROOT / "monitoring/redis-inventory.dashboard.json"
SCRIPT = ROOT / "monitoring/redis-inventory.lua"
PASSWORD = "one of a test"
SOON = 20.0

# A release build cannot be made to panic, and an index is complete within moments: only promtool tests these.
NOT_PROVOKED = {"InventoryPanics", "InventoryIndexNotReady"}


def wait_until(what: str, check: Callable[[], Any], limit: float = SOON) -> Any:
    """Waits until the check returns something, and returns that."""
    deadline = time.monotonic() + limit
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"gave up after {limit} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def answers(url: str) -> bool:
    try:
        get(url)
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextlib.contextmanager
def running(
    arguments: list[Any], log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; its output is shown if a check fails."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | environment,
        )
    try:
        yield process
    except Exception:
        print(f"--- {log.name} ---\n{log.read_text()[-1500:]}---")
        raise
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


class Shop:
    """A server with the module and the shipped user `exporter`, and its exporter."""

    def __init__(self, folder: Path, master: Shop | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        self.port, self.exporter_port = free_port(), free_port()
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            "appendonly yes",
            'save ""',
            "repl-diskless-sync-delay 0",
            "enable-debug-command yes",
            "enable-module-command yes",
            f"loadmodule {os.environ['INV_MODULE']}",
            shipped_user(),
        ]
        if master:
            lines.append(f"replicaof 127.0.0.1 {master.port}")
        (folder / "server.conf").write_text("\n".join(lines))
        self.redis = redis.Redis(port=self.port, decode_responses=True)

    @contextlib.contextmanager
    def run(self) -> Iterator[subprocess.Popen[bytes]]:
        settings = exporter_settings()
        assert settings["REDIS_EXPORTER_SCRIPT"].endswith(SCRIPT.name)
        settings |= {
            "REDIS_ADDR": f"redis://127.0.0.1:{self.port}",
            "REDIS_PASSWORD": PASSWORD,
            "REDIS_EXPORTER_SCRIPT": str(SCRIPT),
        }
        listen = f"--web.listen-address=127.0.0.1:{self.exporter_port}"
        server = [os.environ["INV_SERVER"], self.folder / "server.conf"]
        exporter = [os.environ["INV_EXPORTER"], listen, *settings.pop("ARGS").split()]
        with running(server, self.folder / "server.log") as process:
            wait_until("the server answers", self.is_up)
            with running(exporter, self.folder / "exporter.log", **settings):
                wait_until("the exporter answers", lambda: answers(self.url()))
                yield process

    def is_up(self) -> bool:
        try:
            return self.redis.ping()
        except redis.exceptions.RedisError:
            return False

    def url(self) -> str:
        return f"http://{self.instance()}/metrics"

    def instance(self) -> str:
        return f"127.0.0.1:{self.exporter_port}"

    def ask(self, line: str) -> Any:
        return self.redis.execute_command(*line.split())

    def is_refused(self, line: str, code: str) -> None:
        try:
            answer = self.ask(line)
        except redis.exceptions.ResponseError as error:
            # redis-py removes words that it knows from the front.
            assert str(error).startswith(code) or type(error).__name__.startswith(
                code
            ), error
        else:
            raise AssertionError(f"{line} was not refused: {answer}")

    def info(self) -> dict[str, Any]:
        """INFO inv."""
        return self.redis.info("inv")

    def exported(self) -> dict[str, float]:
        """The numbers that the exporter reports, except those of products and consumer groups."""
        found = re.findall(
            r'^redis_script_values\{.*?key="(\w+)".*?\} (\S+)$',
            get(self.url()),
            re.MULTILINE,
        )
        return {key: float(value) for key, value in found}


def shipped_user() -> str:
    lines = (ROOT / "redis.conf").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("# user exporter ")]
    return line.removeprefix("# ").replace(
        "SHA-256-OF-A-PASSWORD", hashlib.sha256(PASSWORD.encode()).hexdigest()
    )


def block(language: str, word: str) -> str:
    """The code block of the document in this language that contains this word."""
    blocks = re.findall(
        rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    [found] = [text for text in blocks if word in text]
    return found


def exporter_settings() -> dict[str, str]:
    pairs = [
        line.partition("=")
        for line in block("ini", "REDIS_EXPORTER_SCRIPT").splitlines()
    ]
    return {name: value.strip('"') for name, _, value in pairs}


class Prometheus:
    def __init__(self, folder: Path, shops: list[Shop]) -> None:
        self.folder, self.port = folder, free_port()
        settings = block("yaml", "scrape_configs")
        settings, count = re.subn(
            r"/etc/prometheus/redis-inventory\.rules\.yml", str(RULES), settings
        )
        assert count == 1
        targets = ", ".join(shop.instance() for shop in shops)
        settings, count = re.subn(r"targets: \[.*\]", f"targets: [{targets}]", settings)
        assert count == 1
        often = "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
        (folder / "prometheus.yml").write_text(often + settings)

    def run(self) -> contextlib.AbstractContextManager[Any]:
        return running(
            [
                os.environ["INV_PROMETHEUS"],
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            self.folder / "prometheus.log",
        )

    def is_up(self) -> bool:
        return answers(f"http://127.0.0.1:{self.port}/-/ready")

    def api(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        try:
            answer = get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        return json.loads(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        return self.api("query", query=expression)["result"]

    def rules(self) -> dict[str, Any]:
        return {
            rule["name"]: rule
            for group in self.api("rules")["groups"]
            for rule in group["rules"]
        }

    def active(self) -> dict[tuple[str, str], str]:
        """Pending and firing alerts by name and server, with their summaries."""
        found = {}
        for alert in self.api("alerts")["alerts"]:
            labels = alert["labels"]
            found[labels["alertname"], labels["instance"]] = alert["annotations"][
                "summary"
            ]
        return found


def sell(shop: Shop) -> None:
    """Runs some of every command of a shop, and checks the resulting numbers."""
    shop.ask("CONFIG SET inv.feed-maxlen 200")
    shop.ask("XGROUP CREATE inventory:feed erp $ MKSTREAM")
    shop.ask("SET stock:available:P 20")
    shop.ask("SET stock:available:PLENTY 1000")
    for number in range(8):
        shop.ask(f"INV.RESERVE R{number} ITEMS P 1")
    for number in range(3):
        shop.ask(f"INV.COMMIT R{number}")
    shop.ask("INV.ROLLBACK R3")
    for number in range(2):
        shop.ask(f"INV.RESERVE LATE{number} PX 20 ITEMS P 1")
    wait_until("both have ended", lambda: shop.info()["inv_expired_total"] == 2)
    shop.ask("INV.COMMIT LATE0 LATE")
    shop.is_refused("INV.RESERVE BIG ITEMS P 1000", "INSUFFICIENT")
    shop.is_refused("INV.COMMIT LATE1", "EXPIRED")
    shop.is_refused("INV.COMMIT R3", "ROLLEDBACK")
    for units in (11, 10, 11, 10):
        shop.ask(f"INV.SET P AVAILABLE {units}")
    shop.ask("INV.RESERVE OLD ITEMS P 1")
    shop.ask("INV.REPLACE OLD NEW ITEMS P 1")
    shop.ask("XREADGROUP GROUP erp worker COUNT 2 STREAMS inventory:feed >")
    # As inv mirror does when it has read everything.
    added = shop.redis.xinfo_stream("inventory:feed")["entries-added"]
    shop.ask(f"XGROUP CREATE inventory:feed inv-mirror $ ENTRIESREAD {added}")
    expected = {
        "inv_holds": 5,
        "inv_index_ready": 1,
        "inv_reserved_total": 12,
        "inv_replaced_total": 1,
        "inv_committed_total": 3,
        "inv_late_commits_total": 1,
        "inv_rolled_back_total": 1,
        "inv_expired_total": 2,
        "inv_refused_insufficient_total": 1,
        "inv_refused_expired_total": 1,
        "inv_refused_rolledback_total": 1,
        "inv_alerts_total": 1,
        "inv_alerts_held_back_total": 1,
        "inv_panics_total": 0,
    }
    exported = shop.exported()
    assert {key: exported.get(key) for key in expected} == expected, exported


def check_fields(shop: Shop) -> None:
    # Values that change with time are compared by name only. Texts and values per database are not exported. The length of
    # the feed is exported as well.
    def steady(numbers: dict[str, Any]) -> dict[str, Any]:
        assert "inv_overdue_ms" in numbers
        return {
            name: value
            for name, value in numbers.items()
            if isinstance(value, int | float) and name != "inv_overdue_ms"
        }

    info, exported = steady(shop.info()), steady(shop.exported())
    info["inv_feed_length"] = shop.redis.xlen("inventory:feed")
    # A float is exact up to 2^53, and no value is larger.
    assert info, "INFO inv is there"
    assert exported == info, f"INFO inv: {info}\nexported: {exported}"


def selectors(expression: str) -> set[str]:
    """The series of an expression, without the values that an alert excludes."""
    found = re.findall(r"\b((?:redis_\w+|up)\b(?:\{[^}]*\})?)", expression)
    return {re.sub(r',? *\w+!="[^"]*"', "", selector) for selector in found}


def dashboard_expressions() -> dict[str, list[str]]:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] and dashboard["panels"]
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert names == {"datasource", "job", "instance"}
    found: dict[str, list[str]] = {}
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = (
                target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
            )
            expression = expression.replace("$instance", ".*")
            assert "$" not in expression.replace('"$1"', ""), expression
            found.setdefault(panel["title"], []).append(expression)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert query, variable
            found[variable["name"]] = [
                f"count by ({query[2]}) ({query[1].replace('$job', '.*')})"
            ]
    return found


def labelled(
    prometheus: Prometheus, query: str, label: str, shop: Shop
) -> dict[str, float]:
    """The values of this server by a label."""
    return {
        series["metric"][label]: float(series["value"][1])
        for series in prometheus.query(query)
        if series["metric"]["instance"] == shop.instance()
    }


def check_queries(prometheus: Prometheus, shop: Shop) -> int:
    """Checks that each series of the rules and the dashboard exists. The shop keeps working, so that rates have values."""
    wanted = dashboard_expressions()
    for name, rule in prometheus.rules().items():
        wanted[name] = sorted(selectors(rule["query"]))

    def has_value(what: str, query: str) -> None:
        def look() -> list[Any]:
            shop.ask("INV.RESERVE MORE-* ONCE more ITEMS P 1")
            return prometheus.query(query)

        wait_until(f"{what}: {query} has a value", look)

    for what, queries in wanted.items():
        for query in queries:
            has_value(what, query)
    # Labels that the dashboard makes of the names of series.
    low = [
        labelled(prometheus, query, "product", shop) for query in wanted["Low products"]
    ]
    assert low == [{"P": 8}, {"P": 6}, {"P": 10}], low
    groups = [
        labelled(prometheus, query, "group", shop)
        for panel, queries in wanted.items()
        if "consumer groups" in panel
        for query in queries[:2]
    ]
    assert [set(found) for found in groups] == [{"erp", "inv-mirror"}] * 2, groups
    assert groups[1] == {"erp": 2, "inv-mirror": 0}, groups
    return sum(map(len, wanted.values()))


def check_document(names: set[str]) -> None:
    headings = set(re.findall(r"^#+ (Inventory\w+)$", DOCUMENT, re.MULTILINE))
    assert headings == names, (
        f"docs/operations.md lacks a heading or has an extra one: {headings ^ names}"
    )


def burst(shop: Shop, *lines: str) -> list[Any]:
    with shop.redis.pipeline(transaction=False) as pipeline:
        for line in lines:
            pipeline.execute_command(*line.split())
        return pipeline.execute(raise_on_error=False)


def provoke(
    prometheus: Prometheus, master: Shop, replica: Shop, replica_process: Any
) -> set[str]:
    """Causes the conditions of the alerts. Returns the alerts that fired."""
    seen = set()

    def comes(name: str, shop: Shop) -> None:
        what = wait_until(
            f"{name} of {shop.instance()}",
            lambda: prometheus.active().get((name, shop.instance())),
        )
        assert "<" not in what and "{{" not in what, what
        seen.add(name)
        print(f"  {name}: {what}")

    # The replica loses its master and gets it back; then it is stopped.
    replica.ask("REPLICAOF 127.0.0.1 1")
    comes("InventoryReplicaWithoutMaster", replica)
    replica.ask(f"REPLICAOF 127.0.0.1 {master.port}")
    wait_until(
        "the replica is back",
        lambda: replica.redis.info("replication")["master_link_status"] == "up",
    )
    wait_until(
        "the master reports its lag",
        lambda: prometheus.query("redis_connected_slave_lag_seconds"),
    )
    replica_process.send_signal(signal.SIGSTOP)

    master.ask("SET reservation:SCRIPT its-own")
    comes("InventoryForeignRecords", master)
    master.ask("DEL reservation:SCRIPT")

    master.ask("SET stock:available:D 100")
    master.ask("INV.RESERVE DRIFT ITEMS D 1")
    master.ask("SET stock:reserved:D 0")
    master.is_refused("INV.COMMIT DRIFT", "DRIFT")
    comes("InventoryDrift", master)

    master.ask("SET stock:available:U 100")
    burst(master, "INV.RESERVE UNITS PX 50 ITEMS U 5", "SET stock:reserved:U 2")
    comes("InventoryUnitsUnexplained", master)

    master.ask("INCRBY stock:reserved:U 3")
    comes("InventoryNotManaged", master)
    comes("InventoryCountersWrong", master)
    master.ask("INV.REPAIR U FORCE")
    comes("InventoryUnitsRepaired", master)

    master.ask("SET stock:available:B 100")
    burst(master, "INV.RESERVE BLOCKED PX 50 ITEMS B 5", "SET stock:reserved:B 5.0")
    comes("InventoryReleasesBlocked", master)
    master.ask("SET stock:reserved:B 5")

    burst(master, *["INV.ADJUST B 1"] * 150)
    comes("InventoryMirrorBehind", master)
    burst(master, *["INV.ADJUST B 1"] * 200)
    comes("InventoryMirrorOvertaken", master)

    master.ask("SET inventory:feed text")
    master.ask("CONFIG SET inv.feed-maxlen 100")
    master.ask("INV.ADJUST B 1")
    comes("InventoryFeedErrors", master)
    master.ask("CONFIG SET inv.feed-maxlen 0")
    master.ask("DEL inventory:feed")

    # One write, so that no sweep runs in between: all holds are overdue when their units are requested.
    master.ask("SET stock:available:T 600")
    many = [f"INV.RESERVE T{number} PX 1 ITEMS T 1" for number in range(600)]
    replies = burst(master, *many, "DEBUG SLEEP 1.5", "INV.RESERVE ALL ITEMS T 600")
    assert isinstance(replies[-1], redis.exceptions.TryAgainError), replies[-1]
    comes("InventoryReleasesLate", master)
    comes("InventoryTryAgain", master)

    # While writes are paused, nothing is released.
    master.ask("INV.RESERVE PAUSED PX 100 ITEMS B 1")
    master.ask("CLIENT PAUSE 600000 WRITE")
    comes("InventoryReleasesStopped", master)
    master.ask("CLIENT UNPAUSE")

    # A folder prevents the RDB from being written.
    (master.folder / "dump.rdb/full").mkdir(parents=True)
    master.ask("BGSAVE")
    comes("InventoryNotPersisted", master)

    used = master.redis.info("memory")["used_memory"]
    master.ask(f"CONFIG SET maxmemory {used + used // 50}")
    comes("InventoryMemoryShort", master)
    master.ask("CONFIG SET maxmemory-policy allkeys-random")
    comes("InventoryEvictionPolicy", master)
    with contextlib.suppress(redis.exceptions.RedisError):
        burst(master, "CONFIG SET maxmemory 1", "SET more memory")
    comes("InventoryCountersEvicted", master)
    master.ask("CONFIG SET maxmemory 0")

    comes("InventoryServerDown", replica)
    comes("InventoryReplicaBehind", master)
    # The rules of no user may name a command of a module that is unloaded.
    rules = [
        rule for rule in shipped_user().split()[2:] if not rule.startswith("+inv.")
    ]
    master.ask(f"ACL SETUSER exporter reset {' '.join(rules)}")
    master.ask("MODULE UNLOAD inv")
    comes("InventoryModuleMissing", master)
    return seen


def check_exporter(shop: Shop) -> None:
    """The exporter's user has all rights it needs: only the slow log, which shows customers' data, is refused."""
    log = (shop.folder / "exporter.log").read_text()
    assert "level=error" not in log, log
    refused = {entry["object"] for entry in shop.redis.acl_log()}
    assert all(name.startswith("slowlog") for name in refused), refused


def end(_signal: int, _frame: Any) -> None:
    """SIGTERM ends what was started and removes the folder; another SIGTERM does not interrupt this."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("ended by SIGTERM")


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as open_things:
        folder = Path(name)
        master = Shop(folder / "master")
        replica = Shop(folder / "replica", master)
        open_things.enter_context(master.run())
        replica_process = open_things.enter_context(replica.run())
        prometheus = Prometheus(folder, [master, replica])
        open_things.enter_context(prometheus.run())

        sell(master)
        wait_until("the replica follows", lambda: replica.info()["inv_holds"] == 5)
        for shop in (master, replica):
            check_fields(shop)
            check_exporter(shop)
        # While writes are paused, a script that may write would have to wait.
        master.ask("CLIENT PAUSE 1000 WRITE")
        started = time.monotonic()
        check_fields(master)
        assert time.monotonic() - started < 1
        print(
            f"INFO inv: {len(master.exported())} numbers in the scrape, as they are there"
        )

        wait_until("Prometheus answers", prometheus.is_up)
        count = check_queries(prometheus, master)
        print(f"rules and dashboard: {count} series and expressions have values")
        made = f'redis_script_values{{instance="{master.instance()}", key="inv_reserved_total"}} == 13'
        wait_until(
            "Prometheus has the number of reservations", lambda: prometheus.query(made)
        )

        rules = prometheus.rules()
        check_document(set(rules))
        broken = {
            name: rule["lastError"]
            for name, rule in rules.items()
            if rule["health"] != "ok"
        }
        assert not broken, broken
        assert not prometheus.active(), prometheus.active()
        print(f"alerts: none of {len(rules)} fires if all is well; now causing each:")
        seen = provoke(prometheus, master, replica, replica_process)
        assert seen == set(rules) - NOT_PROVOKED, seen ^ set(rules)


if __name__ == "__main__":
    main()
