"""Records the first minute of README.md in a terminal, as an asciinema cast and as an animated SVG.

scripts/record.sh starts the server and runs this. The commands come from the document, the answers from the server. A
person's pauses are added: nobody could read it otherwise.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import shlex
import struct
import tempfile
import termios
import time
from html import escape
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
COLUMNS, ROWS = 102, 30

# Seconds: for each key, before Enter, after an answer, for each of its lines, and at the end.
KEY, ENTER, ANSWER, LINE, END = 0.03, 0.4, 0.9, 0.12, 5.0


class Terminal:
    """A program in a terminal, and the times at which it wrote what."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.events: list[tuple[float, str]] = []
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.Stream(self.screen)
        self.start = time.monotonic()
        child, self.master = pty.fork()
        if child == 0:
            os.execvpe(command[0], command, environment)
        fcntl.ioctl(
            self.master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        )

    def read(self, seconds: float) -> None:
        """Records what is written within this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                continue
            text = os.read(self.master, 65536).decode()
            self.events.append((time.monotonic() - self.start, text))
            self.stream.feed(text)

    def line(self) -> str:
        """The line with the cursor."""
        return self.screen.display[self.screen.cursor.y].rstrip()

    def wait_for(self, prompt: str) -> None:
        deadline = time.monotonic() + 10
        while self.line() != prompt:
            assert time.monotonic() < deadline, f"no {prompt!r}: {self.screen.display}"
            self.read(0.02)

    def type(self, line: str, prompt: str) -> None:
        """Types a command like a person, and waits until it is answered and read."""
        for key in line:
            os.write(self.master, key.encode())
            self.read(KEY)
        self.read(ENTER)
        written = len(self.events)
        os.write(self.master, b"\r")
        self.read(0.05)
        self.wait_for(prompt)
        lines = sum(text.count("\n") for _, text in self.events[written:])
        self.read(ANSWER + LINE * lines)


def commands() -> list[tuple[str, float]]:
    """The commands of the first minute, each with the seconds to wait before it."""
    document = (ROOT / "README.md").read_text()
    section = document.split("## The first minute\n")[1].split("\n## ")[0]
    found = []
    for before, block in re.findall(
        r"(?s)(.*?)```redis\n(.*?)```", section.replace("\r", "")
    ):
        wait = re.search(r"(\d+) seconds later:\s*$", before)
        pause = float(wait[1]) if wait else 0.0
        for line in re.findall(r"(?m)^127\.0\.0\.1:6379> (.*)$", block):
            found.append((line, pause))
            pause = 0.0
    assert len(found) > 8, found
    return found


def record(cli: str, port: int) -> list[tuple[float, str]]:
    with tempfile.TemporaryDirectory() as home:
        # The program has the name that the document uses, wherever it is.
        program = Path(home) / "redis-cli"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(cli)} "$@"\n')
        program.chmod(0o755)
        environment = {
            "HOME": home,
            "PATH": f"{home}:/usr/bin:/bin",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PS1": "$ ",
            "REDISCLI_HISTFILE": "/dev/null",
        }
        terminal = Terminal(["sh", "-i"], environment)
        terminal.wait_for("$")
        terminal.read(0.5)
        prompt = f"127.0.0.1:{port}>"
        terminal.type("redis-cli" if port == 6379 else f"redis-cli -p {port}", prompt)
        for line, pause in commands():
            terminal.read(pause)
            terminal.type(line, prompt)
        return terminal.events


def write_cast(path: Path, events: list[tuple[float, str]]) -> None:
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": ROWS,
        "title": "redis-inventory: the first minute",
        "env": {"TERM": "xterm-256color"},
    }
    lines = [json.dumps(header)]
    lines += [json.dumps([round(at, 3), "o", text]) for at, text in events]
    path.write_text("\n".join(lines) + "\n")


# --- the picture ---

CELL, HEIGHT, SIZE = 8.43, 18, 14
# The picture changes at most this often, in seconds: every change makes it larger.
FRAME = 0.1
MARGIN, BAR = 14, 30
COLOURS = {
    "default": "#d7dae0",
    "black": "#6b7280",
    "red": "#ef6b73",
    "green": "#8cc570",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#d7dae0",
    "brightblack": "#7f8694",
}

Runs = tuple[tuple[int, str, str], ...]


def runs(row: dict[int, pyte.screens.Char]) -> Runs:
    """The texts of a row with their columns and colours."""
    found: list[tuple[int, str, str]] = []
    for column in range(COLUMNS):
        char = row[column]
        colour = COLOURS.get(char.fg, COLOURS["default"])
        if found and found[-1][2] == colour:
            start, text, _ = found[-1]
            found[-1] = (start, text + char.data, colour)
        else:
            found.append((column, char.data, colour))
    return tuple(
        (start + len(text) - len(text.lstrip()), text.strip(), colour)
        for start, text, colour in found
        if text.strip()
    )


class Page:
    """Everything that was on the screen, as one long page: what each of its rows showed from when on, and how far the
    screen had moved down the page."""

    def __init__(self, events: list[tuple[float, str]]) -> None:
        screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000)
        stream = pyte.Stream(screen)
        self.rows: dict[int, list[tuple[float, Runs]]] = {}
        self.tops: list[tuple[float, int]] = [(0.0, 0)]
        self.shown = -FRAME
        for index, (at, text) in enumerate(events):
            stream.feed(text)
            if index + 1 < len(events) and events[index + 1][0] - self.shown < FRAME:
                continue
            self.shown = at
            top = len(screen.history.top)
            if top != self.tops[-1][1]:
                self.tops.append((at, top))
                # What has left the screen in this moment was on it, however briefly.
                for number, row in enumerate(screen.history.top):
                    self.show(number, at, runs(row))
            for number in range(ROWS):
                self.show(top + number, at, runs(screen.buffer[number]))
        self.seconds = events[-1][0] + END

    def show(self, number: int, at: float, content: Runs) -> None:
        versions = self.rows.setdefault(number, [])
        if (versions[-1][1] if versions else ()) != content:
            versions.append((at, content))


def draw(page: Page) -> str:
    """The page as SVG. Without animations, it shows the end."""
    width = round(COLUMNS * CELL + 2 * MARGIN)
    height = BAR + ROWS * HEIGHT + 2 * MARGIN
    frames: dict[str, str] = {}

    def share(at: float) -> str:
        return f"{100 * at / page.seconds:.2f}".rstrip("0").rstrip(".") + "%"

    def animation(steps: str) -> str:
        return frames.setdefault(steps, f"a{len(frames)}")

    texts = []
    for number, versions in sorted(page.rows.items()):
        y = number * HEIGHT + SIZE
        for index, (at, content) in enumerate(versions):
            if not content:
                continue
            is_last = index + 1 == len(versions)
            steps = f"0%{{visibility:hidden}}{share(at)}{{visibility:visible}}"
            if not is_last:
                steps += f"{share(versions[index + 1][0])}{{visibility:hidden}}"
            spans = "".join(
                f'<tspan x="{start * CELL:g}"'
                + (f' fill="{colour}"' if colour != COLOURS["default"] else "")
                + f">{escape(text)}</tspan>"
                for start, text, colour in content
            )
            hidden = "" if is_last else ' visibility="hidden"'
            texts.append(
                f'<text class="{animation(steps)}" y="{y}"{hidden}>{spans}</text>'
            )
    scroll = "".join(
        f"{share(at)}{{transform:translateY({-top * HEIGHT}px)}}"
        for at, top in page.tops
    )
    last = -page.tops[-1][1] * HEIGHT
    duration = f"{page.seconds:.2f}s"
    styles = "".join(
        f"@keyframes {name}{{{steps}}}.{name}{{animation-name:{name}}}"
        for steps, name in frames.items()
    )
    dots = "".join(
        f'<circle cx="{20 + 20 * index}" cy="{BAR // 2 + 3}" r="6" fill="{colour}"/>'
        for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>redis-inventory: the first minute</title>
<style>
text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:{COLOURS["default"]};white-space:pre}}
text,.page{{animation-duration:{duration};animation-timing-function:step-end;animation-iteration-count:infinite}}
@keyframes page{{{scroll}}}.page{{animation-name:page}}
{styles}
@media (prefers-reduced-motion:reduce){{text,.page{{animation:none}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#1e2127"/>{dots}
<svg x="{MARGIN}" y="{BAR + MARGIN}" width="{width - MARGIN}" height="{ROWS * HEIGHT}"><g class="page" transform="translate(0 {last})">
{chr(10).join(texts)}
</g></svg>
</svg>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cli", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("out", type=Path, help="the files, without .cast and .svg")
    options = parser.parse_args()
    events = record(options.cli, options.port)
    write_cast(options.out.with_suffix(".cast"), events)
    options.out.with_suffix(".svg").write_text(draw(Page(events)))
    print(f"recorded {events[-1][0]:.0f} seconds")


if __name__ == "__main__":
    main()
