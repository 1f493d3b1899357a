"""Mutants of cargo-mutants, built into one program with the tests. scripts/mutants.py uses this."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src/inventory", "src/engine", "src/ledger")
WORK = ROOT / "target/mutants"
TREE = WORK / "tree"

# The order in which mutants are tried is that of a hash with this seed: each part of a run is an even sample.
SEED = "20261201"

PROGRAM = """\
#![allow(warnings)]
extern crate self as redis_inventory;

#[path = "src/commands/mod.rs"]
pub mod commands;
#[path = "src/engine/mod.rs"]
pub mod engine;
#[path = "src/inventory/mod.rs"]
pub mod inventory;
#[path = "src/ledger/mod.rs"]
pub mod ledger;
#[path = "src/module.rs"]
mod module;
#[path = "src/server/mod.rs"]
mod server;

#[path = "tests/engine/main.rs"]
mod engine_tests;
#[path = "tests/inventory/main.rs"]
mod inventory_tests;

/// The number of the mutant that this process carries out, or 0.
pub fn mutant() -> u32 {
    static NUMBER: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var("INV_MUTANT").map_or(0, |number| number.parse().unwrap())
    });
    *NUMBER
}
"""

MANIFEST = """\
[package]
name = "redis-inventory"
version = "{version}"
edition = "2024"
autobins = false
autolib = false
autotests = false

[[test]]
name = "mutants"
path = "mutants.rs"

[features]
faults = []

[profile.dev]
opt-level = 1
debug = false

[workspace]

[dependencies]
{dependencies}

[dev-dependencies]
{tests}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(text):
    say(f"error: {text}")
    sys.exit(1)


class Mutant:
    """A mutant of cargo-mutants' list."""

    def __init__(self, entry):
        self.file = entry["file"]
        self.span = entry["span"]
        self.replacement = entry["replacement"]
        self.function = entry["function"] and entry["function"]["span"]
        self.is_body = entry["genre"] == "FnValue"
        # Without the place, which changes with each line above it.
        self.what = re.sub(r"^[^:]*:\d+:\d+: ", "", entry["name"])
        line = self.span["start"]["line"]
        self.line = (ROOT / self.file).read_text().split("\n")[line - 1].strip()
        hunk = "\n".join(
            line for line in entry["diff"].split("\n") if not line.startswith("@@")
        )
        self.key = hashlib.sha256(f"{self.file}\n{hunk}".encode()).hexdigest()[:16]

    def __str__(self):
        return f"{self.file}:{self.span['start']['line']}: {self.what}"


def mutants(extra):
    """All mutants, in the order in which they are tried."""
    command = ["cargo", "mutants", "--list", "--json", "--diff", *extra]
    output = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = [Mutant(entry) for entry in json.loads(output or "[]")]
    found = [mutant for mutant in found if mutant.file.startswith(FOLDERS)]
    # The same change may be possible at two places that look alike.
    seen = Counter()
    for mutant in sorted(
        found, key=lambda mutant: (mutant.file, mutant.span["start"]["line"])
    ):
        seen[mutant.key] += 1
        if seen[mutant.key] > 1:
            mutant.key += f"-{seen[mutant.key]}"
    return sorted(
        found,
        key=lambda mutant: hashlib.sha256(f"{SEED}{mutant.key}".encode()).digest(),
    )


def place(text, position):
    """The offset of a line and column, both from 1, in a text."""
    lines = text.split("\n")
    return (
        sum(len(line) + 1 for line in lines[: position["line"] - 1])
        + position["column"]
        - 1
    )


class Source:
    """A source file that is written with mutants."""

    def __init__(self, file):
        self.file = file
        self.text = (ROOT / file).read_text()

    def range(self, span):
        return place(self.text, span["start"]), place(self.text, span["end"])

    def with_one(self, mutant):
        begin, end = self.range(mutant.span)
        return self.text[:begin] + mutant.replacement + self.text[end:]

    def with_switches(self, bodies):
        """Writes each body once more for each mutant. `bodies` has the mutants by number, by the span of the body.

        Returns the text and, by line, the numbers of those mutants that an error in this line is due to.
        """
        pieces, blame, line, at = [], {}, 1, 0

        def write(text, numbers=()):
            nonlocal line
            pieces.append(text)
            for _ in range(text.count("\n") + 1):
                blame.setdefault(line, set()).update(numbers)
                line += 1
            line -= 1

        for (begin, end), own in sorted(bodies.items()):
            write(self.text[at:begin])
            write("\nmatch crate::mutant() {\n", own)
            for number, mutant in own.items():
                first, last = self.range(mutant.span)
                changed = (
                    self.text[begin:first] + mutant.replacement + self.text[last:end]
                )
                write(f"{number} => {{\n{changed}\n}}\n", [number])
            write(f"_ => {{\n{self.text[begin:end]}\n}}\n}}\n", own)
            at = end
        write(self.text[at:])
        return "".join(pieces), blame


class Program:
    """The tests with all of the code in one crate, in a folder of its own."""

    def __init__(self):
        TREE.mkdir(parents=True, exist_ok=True)
        for folder in ("src", "tests"):
            mirror(ROOT / folder, TREE / folder)
        manifest = (ROOT / "Cargo.toml").read_text()
        section = dict(
            re.findall(
                r"^\[([^\]\n]+)\]\n(.*?)(?=^\[|\Z)", manifest, re.MULTILINE | re.DOTALL
            )
        )
        tests = [
            line
            for line in section["dev-dependencies"].split("\n")
            if re.match(r"(fastrand|proptest) ", line)
        ]
        version = re.search(r'^version = "(.*)"', section["package"], re.MULTILINE)[1]
        text = MANIFEST.format(
            version=version,
            dependencies=section["dependencies"].strip(),
            tests="\n".join(tests),
        )
        update(TREE / "Cargo.toml", text)
        update(TREE / "mutants.rs", PROGRAM)
        shutil.copyfile(ROOT / "Cargo.lock", TREE / "Cargo.lock")
        self.changed = set()
        self.path = None
        # What the compiler said about the errors of the last build.
        self.said = ""

    def write(self, files):
        for file in self.changed - files.keys():
            update(TREE / file, (ROOT / file).read_text())
        for file, text in files.items():
            update(TREE / file, text)
        self.changed = set(files)

    def build(self):
        """Builds the program. Returns the places of errors, of which there are none if it was built."""
        command = [
            "cargo",
            "test",
            "--quiet",
            "--no-run",
            "--test",
            "mutants",
            "--message-format",
            "json",
        ]
        # What an interrupted incremental build leaves may not link.
        environment = os.environ | {
            "CARGO_TARGET_DIR": str(WORK / "build"),
            "CARGO_INCREMENTAL": "0",
        }
        built = subprocess.run(
            command,
            cwd=TREE,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        errors, self.said = [], ""
        for line in built.stdout.splitlines():
            message = json.loads(line)
            if message["reason"] == "compiler-artifact" and message["executable"]:
                self.path = message["executable"]
            if (
                message["reason"] == "compiler-message"
                and message["message"]["level"] == "error"
            ):
                self.said += message["message"]["rendered"]
                errors.append(
                    {
                        (span["file_name"], n)
                        for span in spans(message["message"])
                        for n in lines_of(span)
                    }
                )
        if built.returncode and not errors:
            die(f"the program could not be built: {built.stderr}")
        return errors if built.returncode else []

    def build_many(self, batch):
        """Builds one program with these mutants. Returns those that it has, by number, and the others."""
        bodies_of = functions(batch)
        here = {
            n + 1: mutant for n, mutant in enumerate(batch) if id(mutant) in bodies_of
        }
        while here:
            files, blame = {}, {}
            for file in {mutant.file for mutant in here.values()}:
                bodies = defaultdict(dict)
                for number, mutant in here.items():
                    if mutant.file == file:
                        bodies[bodies_of[id(mutant)]][number] = mutant
                files[file], blame[file] = Source(file).with_switches(bodies)
            self.write(files)
            errors = self.build()
            if not errors:
                break
            # What an error is about is the narrowest of its places.
            wrong = set()
            for places in errors:
                candidates = [
                    blame.get(file, {}).get(line, set()) for file, line in places
                ]
                candidates = [numbers for numbers in candidates if numbers]
                wrong |= min(candidates, key=len) if candidates else set()
            if not wrong & here.keys():
                die(
                    f"the program cannot be built, and no mutant is the reason:\n{self.said}"
                )
            here = {
                number: mutant for number, mutant in here.items() if number not in wrong
            }
        kept = {id(mutant) for mutant in here.values()}
        return here, [mutant for mutant in batch if id(mutant) not in kept]

    def build_one(self, mutant):
        self.write({mutant.file: Source(mutant.file).with_one(mutant)})
        return not self.build()


def spans(message):
    for child in [message, *message["children"]]:
        yield from child["spans"]


def lines_of(span):
    return range(
        span["line_start"], min(span["line_end"], span["line_start"] + 200) + 1
    )


def mirror(source, target):
    """Makes a folder the same as another one. Files that are the same keep their times, so that cargo does not build again."""
    names = {path.relative_to(source) for path in source.rglob("*.rs")}
    for path in target.rglob("*.rs"):
        if path.relative_to(target) not in names:
            path.unlink()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        update(target / name, (source / name).read_text())


def update(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


BODIES = {}


def functions(batch):
    """The span of the body around each mutant. cargo-mutants tells it with those mutants that replace the body."""
    found = {}
    for mutant in batch:
        own = mutant.function and BODIES.get((mutant.file, json.dumps(mutant.function)))
        if own:
            found[id(mutant)] = Source(mutant.file).range(own)
    # A function within another one is part of its body, which can be written once only.
    kept, ends = {}, {}
    for mutant in sorted(
        batch, key=lambda mutant: (mutant.file, found.get(id(mutant), (0, 0)))
    ):
        if id(mutant) not in found:
            continue
        body = found[id(mutant)]
        last = ends.get(mutant.file)
        if last and last != body and body[0] < last[1]:
            continue
        ends[mutant.file] = body
        kept[id(mutant)] = body
    return kept
