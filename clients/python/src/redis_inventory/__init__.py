"""Stock and reservations in Redis or Valkey, with the module redis-inventory.

    import redis
    from redis_inventory import Insufficient, Inventory

    shop = Inventory(redis.Redis(socket_timeout=1))
    try:
        shop.reserve("order-1", {"SHOE": 2}, ttl=900)
    except Insufficient as short:
        print(short.shortages)

In asyncio, :class:`AsyncInventory` has the same methods. What the commands do is described in
the documentation of the module.
"""

from ._async.feed import AsyncFeed
from ._async.inventory import AsyncInventory
from ._sync.feed import Feed
from ._sync.inventory import Inventory
from .errors import (
    Committed,
    CrossSlot,
    Drift,
    Ended,
    Expired,
    FeedTrimmed,
    Foreign,
    Insufficient,
    InvalidRequest,
    InventoryError,
    LimitReached,
    Mismatch,
    NoAnswer,
    NotFound,
    Overcommitted,
    Quantity,
    Refusal,
    Replaced,
    RolledBack,
    ServerRefusal,
    Shortage,
    TryAgain,
    WrongType,
)
from .names import new_id, tag_of, tagged
from .results import (
    Alert,
    AlertEntry,
    AlertType,
    Audit,
    Change,
    Event,
    FeedEntry,
    Held,
    Items,
    Line,
    Quota,
    Reservation,
    Split,
    State,
    Stock,
    Unreadable,
    Warehouse,
)
from .retry import Retry

__all__ = [
    "Alert",
    "AlertEntry",
    "AlertType",
    "AsyncFeed",
    "AsyncInventory",
    "Audit",
    "Change",
    "Committed",
    "CrossSlot",
    "Drift",
    "Ended",
    "Event",
    "Expired",
    "Feed",
    "FeedEntry",
    "FeedTrimmed",
    "Foreign",
    "Held",
    "Insufficient",
    "InvalidRequest",
    "Inventory",
    "InventoryError",
    "Items",
    "LimitReached",
    "Line",
    "Mismatch",
    "NoAnswer",
    "NotFound",
    "Overcommitted",
    "Quantity",
    "Quota",
    "Refusal",
    "Replaced",
    "Reservation",
    "Retry",
    "RolledBack",
    "ServerRefusal",
    "Shortage",
    "Split",
    "State",
    "Stock",
    "TryAgain",
    "Unreadable",
    "Warehouse",
    "WrongType",
    "new_id",
    "tag_of",
    "tagged",
]
