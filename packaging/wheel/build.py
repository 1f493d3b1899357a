"""Builds the wheel of redis_inventory_module with a given module, as scripts/dist-wheel.sh does.

A wheel is a zip archive with a few files of metadata. It is written here, and not by a build system, so that nothing
has to be fetched and the same commit gives the same bytes: the files are sorted, and all have the time of the commit.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import stat
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = Path(__file__).parent / "redis_inventory_module"
NAME = "redis_inventory_module"


def metadata(version: str) -> str:
    description = (Path(__file__).parent / "README.md").read_text()
    return (
        "Metadata-Version: 2.1\n"
        f"Name: {NAME.replace('_', '-')}\n"
        f"Version: {version}\n"
        "Summary: The module redis-inventory for Redis and Valkey, which reserves stock, as a file to load\n"
        "License: MIT\n"
        "Keywords: redis,valkey,module,inventory,reservation\n"
        "Classifier: License :: OSI Approved :: MIT License\n"
        "Classifier: Operating System :: POSIX :: Linux\n"
        "Classifier: Programming Language :: Python :: 3\n"
        "Classifier: Topic :: Database\n"
        "Requires-Python: >=3.9\n"
        "Description-Content-Type: text/markdown\n"
        "License-File: LICENSE\n"
        f"\n{description}"
    )


def contents(module: Path, version: str, tag: str) -> dict[str, tuple[bytes, int]]:
    """The files of the wheel, with their permissions."""
    info = f"{NAME}-{version}.dist-info"
    texts = {
        f"{info}/METADATA": metadata(version),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: redis-inventory ({version})\nRoot-Is-Purelib: false\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nredis-inventory-module = {NAME}.__main__:main\n",
        f"{info}/top_level.txt": f"{NAME}\n",
    }
    files = {name: (text.encode(), 0o644) for name, text in texts.items()}
    for source in sorted(PACKAGE.glob("*.py")):
        files[f"{NAME}/{source.name}"] = (source.read_bytes(), 0o644)
    files[f"{NAME}/redis.conf"] = ((ROOT / "redis.conf").read_bytes(), 0o644)
    files[f"{info}/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), 0o644)
    # The server loads only a module that may be executed.
    files[f"{NAME}/libredis_inventory.so"] = (module.read_bytes(), 0o755)
    record = f"{info}/RECORD"
    lines = [
        f"{name},{digest(data)},{len(data)}\n"
        for name, (data, _) in sorted(files.items())
    ]
    files[record] = ("".join([*lines, f"{record},,\n"]).encode(), 0o644)
    return files


def digest(data: bytes) -> str:
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return "sha256=" + encoded.rstrip("=")


def write(path: Path, files: dict[str, tuple[bytes, int]]) -> None:
    # A zip archive cannot have a time before 1980.
    moment = max(int(os.environ["SOURCE_DATE_EPOCH"]), 315532800)
    with zipfile.ZipFile(path, "w") as wheel:
        # The format recommends that the metadata come last.
        for name in sorted(
            files,
            key=lambda name: (".dist-info/" in name, name.endswith("RECORD"), name),
        ):
            data, permissions = files[name]
            entry = zipfile.ZipInfo(name, time.gmtime(moment)[:6])
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | permissions) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data, compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--tag", required=True)
    options = parser.parse_args()
    path = options.folder / f"{NAME}-{options.version}-{options.tag}.whl"
    write(path, contents(options.module, options.version, options.tag))
    print(path)


if __name__ == "__main__":
    main()
