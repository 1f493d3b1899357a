"""Writes src/redis_inventory/_sync from src/redis_inventory/_async.

    python3 clients/python/generate_sync.py            writes the files
    python3 clients/python/generate_sync.py --check    fails if they are not up to date

Both have the same methods, so only those in asyncio are written by a person.
"""

from __future__ import annotations

import sys
from pathlib import Path

# In this order.
WORDS = [
    ("await asyncio.sleep(", "time.sleep("),
    ("import asyncio", "import time"),
    ("async def __aiter__", "def __iter__"),
    ("async def ", "def "),
    ("async for ", "for "),
    ("await ", ""),
    ("AsyncIterator", "Iterator"),
    ("AsyncGenerator[FeedEntry, None]", "Generator[FeedEntry, None, None]"),
    ("AsyncGenerator", "Generator"),
    ("AsyncConnection", "Connection"),
    ("AsyncInventory", "Inventory"),
    ("AsyncFeed", "Feed"),
    ("connect_async", "connect"),
]

SOURCE = Path(__file__).parent / "src" / "redis_inventory" / "_async"


def sync(name: str, text: str) -> str:
    """The file without asyncio."""
    for word, other in WORDS:
        text = text.replace(word, other)
    note = f"# Written by generate_sync.py from _async/{name}.\n" if text else ""
    return note + text


def main() -> None:
    target = SOURCE.parent / "_sync"
    for source in sorted(SOURCE.glob("*.py")):
        text = sync(source.name, source.read_text())
        file = target / source.name
        if sys.argv[1:] != ["--check"]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            sys.exit(f"{file} is not up to date: run python3 clients/python/generate_sync.py")


main()
