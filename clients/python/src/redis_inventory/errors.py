"""What can go wrong: one exception for each code.

A :class:`Refusal` is an answer. The command was refused and has changed nothing. The parts of
its text are attributes. They are None (or empty) if a later version of the module words the
text in another way; the class, and with it the code, stays.

After :class:`NoAnswer`, the command may have been carried out. Send it again with the same id
or token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, UTC
from typing import ClassVar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A name in a text with other words. It is in double quotes if it has a space, comma, semicolon,
# quote or backslash.
_NAME = r'(?:"(?:[^"\\]|\\.)*"|[^ ,;"\\]+)'
_SHORTAGE = re.compile(rf"({_NAME}) requested (\d+), available (-?\d+)( \(unknown sku\))?(?:; |$)", re.S)
_LINE = re.compile(rf"({_NAME}) (\d+)(?:, |$)", re.S)
_LISTED = re.compile(rf"({_NAME})(?:, |$)", re.S)


def time_of(milliseconds: int) -> datetime:
    """A time in Unix milliseconds."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def _plain(name: str) -> str:
    """A name as it was sent."""
    return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.S) if name.startswith('"') else name


def _all(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches that follow each other from the first to the last letter; none if others are between them."""
    found: list[re.Match[str]] = []
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            return []
        found.append(match)
        at = match.end()
    return found


@dataclass(frozen=True, slots=True)
class Shortage:
    """A sku that does not have enough units."""

    sku: str
    requested: int
    available: int
    is_unknown: bool
    """Whether there is no such sku: no counter, no warehouse, and nothing held."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A sku and a quantity in the text of an error."""

    sku: str
    quantity: int


class InventoryError(Exception):
    """Every exception of this package."""


class NoAnswer(InventoryError):
    """No answer came before the deadline of the retries. The command may have been carried out.

    The cause is the exception of the client library.
    """


class FeedTrimmed(InventoryError):
    """The feed was trimmed before this group had read it: entries are missing.

    Read the stock again. The feed goes on with the oldest entry that is left.
    """

    def __init__(self, missed: int | None) -> None:
        count = "some" if missed is None else str(missed)
        super().__init__(
            f"{count} entries of the feed were trimmed before they were read: read the stock again, and "
            "raise inv.feed-maxlen if that happens often"
        )
        self.missed = missed
        """How many entries are missing; None if the server does not know."""


class Refusal(InventoryError):
    """The server refused a command, which has changed nothing."""

    code: str = ""
    """The first word of the error."""
    is_temporary: bool = False
    """Whether the same command can succeed a moment later."""

    def __init__(self, text: str, words: Sequence[str] = ()) -> None:
        super().__init__(text)
        code, _, self.message = text.partition(" ")
        self.code = self.code or code
        self._read(self.message, words)

    def _read(self, message: str, words: Sequence[str]) -> None:
        """Takes the message apart. ``words`` are those of the command."""


class ServerRefusal(Refusal):
    """An error of the server itself, such as ``NOPERM``, ``OOM`` or ``LOADING``."""

    TEMPORARY: ClassVar[frozenset[str]] = frozenset(
        ["BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"]
    )

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.is_temporary = self.code in self.TEMPORARY


class InvalidRequest(Refusal):
    """``ERR``: an argument is wrong, or the present state does not allow it."""

    code = "ERR"


class CrossSlot(Refusal):
    """``CROSSSLOT``: in a cluster, reservations and products of a call need the same tag."""

    code = "CROSSSLOT"
    names: tuple[str, str] | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.names = None
        found = re.fullmatch(
            r"Keys in request don't hash to the same slot: reservations? (.*) need the same hash tag in braces",
            message,
            re.S,
        )
        if found:
            # A name may contain this word.
            parts = found[1].split(" and ")
            pairs = [(" and ".join(parts[:i]), " and ".join(parts[i:])) for i in range(1, len(parts))]
            if len(pairs) > 1:
                pairs = [pair for pair in pairs if pair[0] in words and pair[1] in words]
            self.names = pairs[0] if pairs else None


class TryAgain(Refusal):
    """``TRYAGAIN``: not now. This package has sent the command again until its deadline."""

    code = "TRYAGAIN"
    is_temporary = True
    skus: tuple[str, ...]
    """The skus of which more reservations are overdue than one command releases."""
    slot: int | None
    """The slot that is being moved."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.fullmatch(r"more reservations of (.*) are overdue than one command releases: .*", message, re.S)
        self.skus = tuple(_plain(name[1]) for name in _all(_LISTED, found[1])) if found else ()
        found = re.match(r"slot (\d+) is being moved", message)
        self.slot = int(found[1]) if found else None


class WrongType(Refusal):
    """``WRONGTYPE``: a key holds something that the command cannot use."""

    code = "WRONGTYPE"
    key: str | None
    found: str | None
    wanted: str | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.fullmatch(r"key (.*) holds (.*), not (.*)", message, re.S)
        self.key, self.found, self.wanted = found.groups() if found else (None, None, None)


class Foreign(Refusal):
    """``FOREIGN``: the reservation, or these units, may belong to another program."""

    code = "FOREIGN"
    reservation: str | None
    sku: str | None
    units: int | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.reservation = self.sku = self.units = None
        if found := re.match(r"the key of reservation (.*) is not a record of this module", message, re.S):
            self.reservation = found[1]
        elif found := re.match(
            r"(-?\d+) reserved units of (.*) belong to no reservation of this module", message, re.S
        ):
            self.units, self.sku = int(found[1]), found[2]


class Ended(Refusal):
    """The reservation has ended: one of the four classes below."""

    reservation: str | None
    at: datetime | None
    end: ClassVar[str] = ""
    """How the text goes on after the id."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.match(rf"reservation (.*) {self.end}", message, re.S)
        self.reservation = found[1] if found else None
        self.at = time_of(int(found[2])) if found else None


class Committed(Ended):
    """``COMMITTED``: the reservation was sold."""

    code = "COMMITTED"
    end = r"was committed at (\d+): use a new id for a new order$"


class RolledBack(Ended):
    """``ROLLEDBACK``: the reservation was rolled back."""

    code = "ROLLEDBACK"
    end = r"was rolled back at (\d+): use a new id for a new order$"


class Expired(Ended):
    """``EXPIRED``: the deadline has passed. ``commit(id, late=True)`` sells what is still available."""

    code = "EXPIRED"
    # It repeats the id.
    end = r"expired at (\d+): retry with a new id, or sell its units with INV\.COMMIT \1 LATE"


class Replaced(Ended):
    """``REPLACED``: another reservation has taken the place of this one."""

    code = "REPLACED"
    successor: str | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.fullmatch(r"reservation (.*) was replaced by (.*) at (\d+): use \2 instead", message, re.S)
        self.reservation, self.successor = (found[1], found[2]) if found else (None, None)
        self.at = time_of(int(found[3])) if found else None


class Mismatch(Refusal):
    """``MISMATCH``: the id or the token was used for something else."""

    code = "MISMATCH"
    reservation: str | None
    held: tuple[Quantity, ...]
    """The items for which the reservation was made, if they are others."""
    short: tuple[Quantity, ...]
    """What the reservation is short of, if it was made with ``partial``."""
    option: str | None
    """``DATA`` or ``BUYER``, if its text is another one."""
    asked: str | None
    """What the command that used the token first asked for, if the token is the reason."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.reservation = self.option = self.asked = None
        self.held = self.short = ()
        if found := re.fullmatch(
            r"reservation (.*?) already exists with other items \((.*)\): use a new id", message, re.S
        ):
            self.reservation, self.held = found[1], _quantities(found[2])
        elif found := re.fullmatch(
            r"reservation (.*?) was made with PARTIAL and is short of (.*): "
            r"repeat PARTIAL to accept that, or use a new id",
            message,
            re.S,
        ):
            self.reservation, self.short = found[1], _quantities(found[2])
        elif found := re.fullmatch(
            r"reservation (.*) already exists with these items but another (DATA|BUYER): use a new id",
            message,
            re.S,
        ):
            self.reservation, self.option = found[1], found[2]
        elif found := re.fullmatch(
            r"this ONCE token was already used with other arguments \((.*)\): use a new token",
            message,
            re.S,
        ):
            self.asked = found[1]


class NotFound(Refusal):
    """``NOTFOUND``: the reservation is unknown. It may have been sold long ago: look at the order."""

    code = "NOTFOUND"
    reservation: str | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.match(r"reservation (.*) is unknown: ", message, re.S)
        self.reservation = found[1] if found else None


class Drift(Refusal):
    """``DRIFT``: the counters hold less than the reservation says; see INV.REPAIR."""

    code = "DRIFT"
    sku: str | None
    held: int | None
    """The units that the reservation holds, or held."""
    reserved: int | None
    """The reserved counter; for a late commit, the units that came back."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.sku = self.held = self.reserved = None
        if found := re.match(
            r"the reserved counter of (.*) is (-?\d+), but this reservation holds (\d+): ", message, re.S
        ):
            self.sku, self.reserved, self.held = found[1], int(found[2]), int(found[3])
        elif found := re.match(r"the reservation held (\d+) of (.*), but only (-?\d+) were returned", message, re.S):
            self.held, self.sku, self.reserved = int(found[1]), found[2], int(found[3])


class LimitReached(Refusal):
    """``LIMIT``: the buyer may not take so many units."""

    code = "LIMIT"
    product: str | None
    buyer: str | None
    requested: int | None
    left: int | None
    limit: int | None

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.fullmatch(
            rf"({_NAME}) buyer ({_NAME}) requested (\d+), may take (\d+) more \(limit (\d+)\)",
            message,
            re.S,
        )
        self.product = _plain(found[1]) if found else None
        self.buyer = _plain(found[2]) if found else None
        self.requested, self.left, self.limit = (
            [int(found[3]), int(found[4]), int(found[5])] if found else [None, None, None]
        )


class Insufficient(Refusal):
    """``INSUFFICIENT``: there are not enough units."""

    code = "INSUFFICIENT"
    shortages: tuple[Shortage, ...]
    """Every sku that is short, in the order of the request."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        self.shortages = tuple(
            Shortage(_plain(found[1]), int(found[2]), int(found[3]), found[4] is not None)
            for found in _all(_SHORTAGE, message)
        )


class Overcommitted(Refusal):
    """``OVERCOMMITTED``: the count is below what is reserved, or units were sold before they came."""

    code = "OVERCOMMITTED"
    sku: str | None
    on_hand: int | None
    reserved: int | None
    """The units that are reserved, if they are the reason."""

    def _read(self, message: str, words: Sequence[str]) -> None:
        found = re.match(
            r"(.*) (?:cannot have|has) (-?\d+) on hand(?:, because (?:(\d+) are reserved|units were sold)|: )",
            message,
            re.S,
        )
        self.sku = found[1] if found else None
        self.on_hand = int(found[2]) if found else None
        self.reserved = int(found[3]) if found and found[3] else None


def _quantities(text: str) -> tuple[Quantity, ...]:
    return tuple(Quantity(_plain(found[1]), int(found[2])) for found in _all(_LINE, text))


_CLASSES: dict[str, type[Refusal]] = {
    kind.code: kind
    for kind in (
        InvalidRequest,
        CrossSlot,
        TryAgain,
        WrongType,
        Foreign,
        Committed,
        RolledBack,
        Expired,
        Replaced,
        Mismatch,
        NotFound,
        Drift,
        LimitReached,
        Insufficient,
        Overcommitted,
    )
}


def refusal(text: str, words: Sequence[str] = ()) -> Refusal:
    """The exception for the text of an error reply. ``words`` are those of the command."""
    return _CLASSES.get(text.partition(" ")[0], ServerRefusal)(text, words)


_SERVER_CODES = frozenset(
    [
        *ServerRefusal.TEMPORARY,
        "ASK",
        "BUSYGROUP",
        "BUSYKEY",
        "DENIED",
        "INPROG",
        "IOERR",
        "MISCONF",
        "MOVED",
        "NOGROUP",
        "NOPROTO",
        "NOSCRIPT",
        "NOTBUSY",
        "UNBLOCKED",
        "UNKILLABLE",
        "WRONGPASS",
    ]
)


def is_code(word: str) -> bool:
    """Whether this is the code of an error, and not the first word of a text whose ``ERR`` was taken off."""
    return word in _CLASSES or word in _SERVER_CODES
