# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure unpacking an image, its image ID worked out in the same pass, beside GNU tar and sha512sum at the same time.

    python3 tests/bench/unpack.py [ROUNDS]

One root file system of some hundred MB and ten thousand files, made the same on every machine; half text, half noise. All read
the same uncompressed archive and write to the same file system (/dev/shm where it is large enough, else build/bench). They take
turns within a round, and the first round does not count. Only ratios within one table mean anything.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).resolve().parents[2]
FILES, DIRECTORIES = 12_000, 1_400
MANIFEST = b'{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/bench"}'
sys.path.insert(0, str(TOP / "plugins" / "module_utils"))


def make_tree(top: Path) -> int:
    """Make the root file system and return its bytes; sizes are spread as in a distribution's, up to 20 MB."""
    chance = random.Random(7)
    noise = chance.randbytes(1 << 20)
    text = " ".join(chance.choice(("the", "image", "of", "pod", "app", "run", "trust", "fetch")) for _turn in range(200_000)).encode()
    places = [top]
    top.mkdir(parents=True)
    for number in range(DIRECTORIES):
        place = chance.choice(places) / f"d{number}"
        if len(place.relative_to(top).parts) <= 8:
            place.mkdir()
            places.append(place)
    total = 0
    for number in range(FILES):
        size = min(int(chance.lognormvariate(8.6, 1.9)), 20 << 20)
        source = text if number % 2 else noise
        data = (source * (size // len(source) + 1))[:size]
        (chance.choice(places) / f"f{number}").write_bytes(data)
        total += size
    return total


def make_archive(place: Path) -> Path:
    """Make the archive with tar, so that it is nobody's own."""
    (place / "manifest").write_bytes(MANIFEST)
    archive = place / "bench.aci"
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(place / "manifest", "manifest")
        tar.add(place / "rootfs", "rootfs")
    return archive


def tar_and_digest(archive: Path, target: Path) -> None:
    """GNU tar, and sha512sum at the same time."""
    both = (["tar", "-xf", str(archive), "-C", str(target)], ["sha512sum", str(archive)])
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in both]
    for process in processes:
        if process.wait() != 0:
            raise SystemExit(f"bench: {process.args} failed")


def unpack(archive: Path, target: Path, listing: bool) -> None:
    """Our own, which forks a child for it."""
    from _rocket.image.extract import extract

    with open(archive, "rb") as file:
        extract(file.fileno(), str(target), listing=listing)


def measure(rows: dict[str, Callable[[Path], None]], place: Path, rounds: int) -> dict[str, list[float]]:
    """Unpack with all in turns; return the seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, work in rows.items():
            target = place / "target"
            target.mkdir()
            started = time.perf_counter()
            work(target)
            spent = time.perf_counter() - started
            shutil.rmtree(target)
            if number > 0:
                times[name].append(spent)
    return times


def main(arguments: list[str]) -> int:
    """Measure and print the table."""
    rounds = int(arguments[0]) if arguments else 7
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 3 << 30
    place = (memory / f"rocket-bench-{os.getpid()}") if roomy else TOP / "build" / "bench"
    try:
        total = make_tree(place / "rootfs")
        archive = make_archive(place)
        rows: dict[str, Callable[[Path], None]] = {
            "tar -x & sha512sum": lambda target: tar_and_digest(archive, target),
            "rocket, with image ID": lambda target: unpack(archive, target, False),
            "rocket, with image ID and listing": lambda target: unpack(archive, target, True),
        }
        times = measure(rows, place, rounds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    base = median(times["tar -x & sha512sum"])
    print(f"{f'unpack {total >> 20} MB, {FILES} files':38}{'median s':>10}{'min s':>8}{'x tar':>8}")
    for name, spent in times.items():
        print(f"{name:38}{median(spent):10.2f}{min(spent):8.2f}{median(spent) / base:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
