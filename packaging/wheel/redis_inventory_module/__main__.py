"""`redis-inventory-module` and `python -m redis_inventory_module`: prints the path of the module."""

import argparse
import os
import sys

from redis_inventory_module import configuration, module


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="redis-inventory-module",
        description="Prints the path of the module redis-inventory for Redis and Valkey, which this package contains.",
        epilog='Example: valkey-server "$(redis-inventory-module --conf)" --loadmodule "$(redis-inventory-module)"',
    )
    parser.add_argument(
        "--conf",
        action="store_true",
        help="print the path of the recommended configuration of a server instead",
    )
    if parser.parse_args().conf:
        print(configuration())
        return 0
    path = module()
    # The server refuses a module that may not be executed. Some installers do not keep this permission.
    if not os.access(path, os.X_OK):
        print(
            f"error: {path} may not be executed, so no server would load it: chmod 755 {path}",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
