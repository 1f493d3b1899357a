"""What the commands answer.

All times are aware datetimes in UTC. Later versions of the module may answer more fields;
they are ignored until this package knows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from .errors import Refusal

Items: TypeAlias = "Mapping[str, int] | Iterable[tuple[str, int]]"
"""Skus and quantities: ``{"SHOE": 2, "LACE@BERLIN": 1}``, or pairs of them."""

State: TypeAlias = Literal["reserved", "committed", "rolled_back", "expired", "replaced"]
"""What has become of a reservation."""

Split: TypeAlias = Literal["priority", "fewest", "none"]
"""How an item may be split over warehouses."""

AlertType: TypeAlias = Literal["LOW_STOCK", "OUT_OF_STOCK", "BACK_IN_STOCK"]
"""What an alert says about a product."""

Event: TypeAlias = Literal[
    "reserved",
    "replaced",
    "committed",
    "committed_late",
    "rolled_back",
    "expired",
    "repaired",
    "adjusted",
    "set",
    "transferred",
]
"""What caused a change of stock."""


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of a sku."""

    product: str
    quantity: int
    warehouse: str | None = None

    @property
    def sku(self) -> str:
        """The sku, as a command takes it."""
        return self.product if self.warehouse is None else f"{self.product}@{self.warehouse}"


@dataclass(frozen=True, slots=True)
class Held:
    """What a RESERVE or REPLACE holds, and until when."""

    id: str
    expires_at: datetime
    items: tuple[Line, ...]
    short: tuple[Line, ...] = ()
    """With ``partial``: what was missing."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A live reservation, or how one ended."""

    id: str
    state: State
    expires_at: datetime
    items: tuple[Line, ...]
    created_at: datetime | None = None
    resolved_at: datetime | None = None
    data: str | None = None
    buyer: str | None = None
    sold: tuple[Line, ...] = ()
    returned: tuple[Line, ...] = ()
    rolled_back: tuple[Line, ...] = ()
    asked: tuple[Line, ...] = ()
    short: tuple[Line, ...] = ()
    replaced_by: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it holds stock."""
        return self.state == "reserved"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """The stock of a product in one warehouse."""

    name: str
    priority: float
    """Infinite if the warehouse is closed."""
    is_closed: bool
    available: int
    reserved: int
    on_hand: int
    floor: int
    reservable: int


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of a product."""

    product: str
    available: int
    reserved: int
    on_hand: int
    floor: int
    reservable: int
    """What can be reserved: the number for a storefront."""
    threshold: int | None
    """The low-stock threshold; None if the alerts of the product are off."""
    warehouses: tuple[Warehouse, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A product whose keys cannot be read, because another client has written them."""

    product: str
    error: Refusal


@dataclass(frozen=True, slots=True)
class Quota:
    """What a buyer holds and has bought of a product."""

    limit: int | None
    held: int
    bought: int
    left: int | None


@dataclass(frozen=True, slots=True)
class Alert:
    """That a product was low, out of stock, or back in stock."""

    product: str
    type: AlertType
    available: int
    """The units that could be reserved."""
    threshold: int
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Audit:
    """The reserved counter of a sku, and what live reservations hold."""

    sku: str
    reserved: int
    held: int
    drift: int
    stray: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the feed: a change of a sku, and its counters afterwards."""

    entry: str
    """The id of the entry in the stream."""
    event: Event
    sku: str
    quantity: int
    available: int
    reserved: int
    timestamp: datetime
    reservation: str | None = None
    replaces: str | None = None
    note: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class AlertEntry:
    """An entry of the feed: an alert."""

    entry: str
    alert: Alert


FeedEntry: TypeAlias = "Change | AlertEntry"
"""An entry of the feed."""
