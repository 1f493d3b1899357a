"""Whether the tests notice changes of the rules. scripts/mutants.sh calls this.

cargo-mutants lists its mutants: changes of one place of src/inventory, src/engine or src/ledger. Many of them are built into one
program, which carries out the one that INV_MUTANT names, because a build takes longer than the tests. Each function is written
once for itself and once for each of its mutants. A mutant that does not compile in this way is built alone.

Each result is appended to target/mutants/tried.jsonl at once, so an interrupted run continues where it stopped. A mutant that
was missed is tried again when the tests have changed.
"""

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Timer

from mutants_program import BODIES, FOLDERS, ROOT, WORK, Program, die, mutants, say

TRIED = WORK / "tried.jsonl"
EQUIVALENT = ROOT / "tests/equivalent-mutants.txt"
REPORT = ROOT / "docs/internals/mutants.md"

# The number of mutants in one program.
BATCH = 300
MEMORY_KB = 4 << 20
# Suites that take less time than this run first, together.
SHORT = 2.0


class Tests:
    """The tests, in the order in which they notice a mutant the soonest."""

    def __init__(self, path):
        names = subprocess.run(
            [path, "--list"], capture_output=True, text=True, check=True
        ).stdout
        names = re.findall(r"^(\S+): test$", names, re.MULTILINE)
        modules = sorted({"::".join(name.split("::")[:2]) + "::" for name in names})
        times = {}
        for module in modules:
            begun = time.monotonic()
            if failed := self.run(path, 0, [module], 1800):
                die(f"without a mutant, {failed} fails")
            times[module] = time.monotonic() - begun
        short = [module for module in modules if times[module] < SHORT]
        long = sorted(set(modules) - set(short), key=times.get)
        self.stages = [
            (stage, sum(times[module] for module in stage))
            for stage in [short, *([one] for one in long)]
            if stage
        ]
        took = ", ".join(
            f"{' '.join(stage) if len(stage) == 1 else len(stage)} {took:.1f} s"
            for stage, took in self.stages
        )
        say(f"mutants: the tests take {sum(times.values()):.0f} s: {took}")

    @staticmethod
    def run(path, number, filters, limit):
        """Runs tests. Returns the name of the first that fails, `timeout`, or None."""
        environment = os.environ | {
            "INV_MUTANT": str(number),
            "RUST_BACKTRACE": "0",
            "INV_SIM_WORLDS": "1000",
        }
        # A mutant that allocates without end must not take all memory.
        limited = f'ulimit -v {MEMORY_KB}; exec "$0" "$@"'
        command = ["sh", "-c", limited, path, "--test-threads", "2", *filters]
        process = subprocess.Popen(
            command,
            env=environment,
            # Random tests find no place here to keep what failed.
            cwd=WORK,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        is_late = []

        def end(*_):
            is_late.append(True)
            os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(limit, end)
        timer.start()
        failed = None
        try:
            for line in process.stdout:
                if match := re.match(r"test (\S+) .*FAILED", line):
                    failed = match[1]
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            status = process.wait()
        finally:
            timer.cancel()
        if failed:
            return failed
        if is_late:
            return "timeout"
        return "an abort" if status else None

    def notice(self, path, number):
        for stage, took in self.stages:
            if failed := self.run(path, number, stage, 30 + 10 * took):
                return failed
        return None


def suite():
    """Names the tests as they are now."""
    digest = hashlib.sha256()
    for path in sorted(
        p
        for folder in ("engine", "inventory", "common")
        for p in (ROOT / "tests" / folder).rglob("*.rs")
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit():
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def tried(first=False):
    """The latest result of each mutant, or the first one."""
    results = {}
    if TRIED.exists():
        for line in TRIED.read_text().splitlines():
            # The last line may be incomplete.
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if not (first and result["key"] in results):
                results[result["key"]] = result
    return results


def equivalent():
    """The mutants that change nothing, with the reason. Each is three lines: the mutant, its line of code, the reason."""
    known = {}
    if EQUIVALENT.exists():
        text = "\n".join(
            line
            for line in EQUIVALENT.read_text().split("\n")
            if not line.startswith("#")
        )
        for block in re.split(r"\n\s*\n", text.strip()):
            lines = [line.strip() for line in block.split("\n")]
            if len(lines) < 3:
                die(
                    f"{EQUIVALENT.name}: this is not a mutant, its line and a reason: {block}"
                )
            known[lines[0], lines[1]] = " ".join(lines[2:])
    return known


def is_equivalent(mutant, known):
    return (f"{mutant.file}: {mutant.what}", mutant.line) in known


class Run:
    """Tries mutants until there are no more, or the time is over."""

    def __init__(self, options):
        self.end = time.monotonic() + options.minutes * 60 if options.minutes else None
        self.jobs = options.jobs
        self.tests = None
        self.program = Program()
        self.suite, self.commit = suite(), commit()

    def is_over(self):
        return self.end is not None and time.monotonic() > self.end

    def note(self, mutant, result, by, begun):
        entry = {
            "key": mutant.key,
            "mutant": str(mutant),
            "code": mutant.line,
            "result": result,
            "by": by,
            "seconds": round(time.monotonic() - begun, 1),
            "tests": self.suite,
            "commit": self.commit,
        }
        with TRIED.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        if result == "missed":
            say(f"missed: {mutant}\n        {mutant.line}")

    def attempt(self, mutant, number):
        if self.is_over():
            return
        begun = time.monotonic()
        by = self.tests.notice(self.program.path, number)
        result = "missed" if by is None else "timeout" if by == "timeout" else "caught"
        self.note(mutant, result, by, begun)

    def ready(self):
        self.tests = self.tests or Tests(self.program.path)

    def all(self, wanted):
        alone = []
        while wanted and not self.is_over():
            batch, wanted = wanted[:BATCH], wanted[BATCH:]
            begun = time.monotonic()
            here, others = self.program.build_many(batch)
            alone += others
            say(
                f"mutants: {len(here)} of {len(batch)} built in {time.monotonic() - begun:.0f} s; {len(wanted)} to come"
            )
            if self.is_over():
                say("mutants: the build took all the time: --most makes it shorter")
            if not here:
                continue
            self.ready()
            with ThreadPoolExecutor(self.jobs) as pool:
                list(
                    pool.map(lambda item: self.attempt(item[1], item[0]), here.items())
                )
        for mutant in alone:
            if self.is_over():
                break
            begun = time.monotonic()
            if not self.program.build_one(mutant):
                self.note(mutant, "unviable", "the compiler", begun)
                continue
            self.ready()
            self.attempt(mutant, 0)


def score(known_mutants, first=False):
    """The results of these mutants: the caught, those that nothing notices, and the others."""
    results, same = tried(first), equivalent()
    sums, missed, equal = Counter(), [], []
    for mutant in known_mutants:
        result = results.get(mutant.key)
        if not result:
            continue
        kind = result["result"]
        if kind == "missed" and is_equivalent(mutant, same):
            kind = "equivalent"
            equal.append(mutant)
        elif kind == "missed":
            missed.append(mutant)
        sums[kind] += 1
    return sums, missed, equal


def percent(sums):
    noticed = sums["caught"] + sums["timeout"]
    counted = noticed + sums["missed"]
    return 100 * noticed / counted if counted else 100.0


def write_report(everything):
    sums, missed, equal = score(everything)
    firsts, _, _ = score(everything, first=True)
    same = equivalent()
    count = sum(sums.values())
    lines = [
        "# Mutants",
        "",
        "<!-- make mutants writes this page. -->",
        "",
        "A mutant is the code with one change: a comparison turned around, a condition negated, a function that returns a",
        "constant. If the tests still pass, they do not check what the change broke. `make mutants` tries the mutants that",
        "cargo-mutants finds in `src/inventory`, `src/engine` and `src/ledger` with the tests that need no server. It tries",
        "them in an order drawn once, so those tried are an even sample, except for those that do not compile together with",
        "others: they are built alone, at the end. An interrupted run continues where it stopped.",
        "",
        f"At commit {commit()}:",
        "",
        "| mutants | number |",
        "| --- | ---: |",
        f"| all | {len(everything)} |",
        f"| tried | {count} |",
        f"| caught by a failing test | {sums['caught']} |",
        f"| caught because a test did not end | {sums['timeout']} |",
        f"| missed | {sums['missed']} |",
        f"| equivalent: the change makes no difference | {sums['equivalent']} |",
        f"| unviable: the change does not compile | {sums['unviable']} |",
        "",
        f"**{percent(sums):.1f} %** of those that compile and make a difference were caught.",
        f"At the first try it was {percent(firsts):.1f} %; tests were then written for those that were missed. So expect about",
        "as many of those that were not tried yet to be caught.",
    ]
    if missed:
        lines += ["", "## Missed", ""]
        lines += [
            f"- `{mutant.file}`: {mutant.what}: `{mutant.line}`"
            for mutant in sorted(missed, key=str)
        ]
    if equal:
        lines += [
            "",
            "## Equivalent",
            "",
            "`tests/equivalent-mutants.txt` lists these, with the reasons.",
            "",
        ]
        for mutant in sorted(equal, key=str):
            lines += [
                f"- `{mutant.file}`: {mutant.what}: `{mutant.line}`",
                f"  {same[f'{mutant.file}: {mutant.what}', mutant.line]}",
            ]
    REPORT.write_text("\n".join(lines) + "\n")


def changed_since(reference):
    """The options of cargo-mutants for the mutants of what has changed, or None if nothing has."""
    command = ["git", "diff", "--merge-base", reference, "--", *FOLDERS]
    difference = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    if not difference:
        return None
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / "change.diff"
    path.write_text(difference)
    return ["--in-diff", str(path)]


def main():
    parser = argparse.ArgumentParser(description="Tries mutants of the rules.")
    parser.add_argument(
        "--minutes", type=float, help="end after this time; the next run goes on"
    )
    parser.add_argument(
        "--since",
        metavar="COMMIT",
        help="only what has changed since this commit; fails if one is missed",
    )
    parser.add_argument("--file", action="append", help="only this file")
    parser.add_argument(
        "--missed", action="store_true", help="only those that were missed before"
    )
    parser.add_argument(
        "--report", action="store_true", help="try nothing; only write the report"
    )
    parser.add_argument(
        "--most", type=int, help="try at most this many; the next run goes on"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    options = parser.parse_args()

    files = [word for folder in FOLDERS for word in ("--file", f"{folder}/**")]
    everything = mutants(files)
    for mutant in everything:
        if mutant.is_body:
            BODIES[mutant.file, json.dumps(mutant.function)] = mutant.span
    wanted = everything
    if options.since:
        extra = changed_since(options.since)
        changed = {str(mutant) for mutant in mutants(extra)} if extra else set()
        wanted = [mutant for mutant in everything if str(mutant) in changed]
        say(f"mutants: {len(wanted)} in what has changed since {options.since}")
    if options.file:
        wanted = [mutant for mutant in wanted if mutant.file in options.file]
    mine = wanted
    results, same, now = tried(), equivalent(), suite()

    def is_open(mutant):
        result = results.get(mutant.key)
        if not result:
            return not options.missed
        return (
            result["result"] == "missed"
            and result["tests"] != now
            and not is_equivalent(mutant, same)
        )

    wanted = [mutant for mutant in wanted if is_open(mutant)]
    # What was missed comes first: a test may have been written for it.
    wanted.sort(key=lambda mutant: mutant.key not in results)
    wanted = wanted[: options.most]
    if wanted and not options.report:
        say(f"mutants: {len(wanted)} of {len(mine)} to try")
        Run(options).all(wanted)
    sums, missed, _ = score(mine)
    say(
        f"mutants: {sum(sums.values())} of {len(mine)} tried: {dict(sums)}; {percent(sums):.1f} % caught"
    )
    if options.since:
        for mutant in missed:
            say(f"missed: {mutant}\n        {mutant.line}")
        sys.exit(1 if missed else 0)
    write_report(everything)


if __name__ == "__main__":
    main()
