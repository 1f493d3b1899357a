"""redis-inventory, a module for Redis and Valkey that reserves stock.

This package contains the module, a library that the server loads, and no code to call. For Python programs that
make reservations there is the package redis-inventory.
"""

from pathlib import Path

__all__ = ["configuration", "module"]

_FOLDER = Path(__file__).resolve().parent


def module() -> Path:
    """The path of the module, for `loadmodule`."""
    return _FOLDER / "libredis_inventory.so"


def configuration() -> Path:
    """The path of the recommended configuration of a server, redis.conf."""
    return _FOLDER / "redis.conf"
