"""Ids and tags.

In a cluster, and on a server with tagged keys, a reservation has to be in the slot of its
products, so its id carries their tag: ``{SHOE}:order-1`` for the product ``SHOE``, and
``{shop7}:order-1`` for ``{shop7}:SHOE``.
"""

from __future__ import annotations

import os
import time
import uuid


def tag_of(name: str) -> str:
    """The tag of a product, sku or reservation: what is in its braces, or the whole name."""
    _, brace, rest = name.partition("{")
    tag, end, _ = rest.partition("}")
    return tag if brace and end and tag else name


def tagged(tag: str, name: str) -> str:
    """A name with this tag: ``tagged("shop7", "order-1")`` is ``{shop7}:order-1``."""
    return f"{{{tag}}}:{name}"


def new_id(tag: str | None = None) -> str:
    """A new id for a reservation, or a new token, with a tag if one is given.

    It is a UUID, version 7, so later ids sort after earlier ones. If an order has a number, that
    is the better id: it is the same when the process starts again.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    bits = (milliseconds & (1 << 48) - 1) << 80 | random
    bits = bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    name = str(uuid.UUID(int=bits))
    return name if tag is None else tagged(tag, name)
