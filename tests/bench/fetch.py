# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure an image of some hundred MB from a server to a root file system, beside skopeo with umoci, and podman.

    python3 tests/bench/fetch.py [ROUNDS]

The registry is Debian's docker-registry on loopback with TLS; the image has three layers in gzip, the root file system of
unpack.py in the first. The same files as an App Container Image in gzip, signed by GnuPG, come from the tests' own HTTPS
server. All start with nothing and write to the same file system (/dev/shm where it is large enough, else build/bench);
they take turns within a round, and the first round does not count. "again" is a second image that differs in its last
layer. Only ratios within one table mean anything. Programs that are missing are left out and named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / place) for place in ("plugins/module_utils", "tests/integration", "tests/corpus")]
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
# What a host does: fetch, then the tree that a pod starts from.
ROCKET = """
import sys
sys.path.insert(0, {package!r})
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.options import FetchOptions, parse_connection
from _rocket.paths import Paths
from _rocket.store.store import Store
from _rocket.trust.late import LateVerifier
paths = Paths(data=sys.argv[1], local=sys.argv[4])
store = Store(paths)
options = FetchOptions(ca_file=sys.argv[2], connect_to=tuple(map(parse_connection, sys.argv[5:])), render=True)
Fetcher(store, LateVerifier(paths), options).fetch(sys.argv[3])
"""
NAME = "example.com/bench/web"


def quiet(*words: object) -> None:
    """Run a program; end the bench when it fails."""
    outcome = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise SystemExit(f"bench: {words} failed: {outcome.stderr[-2000:]}")


class Bench:
    """A registry with two images, and the ways to get them."""

    def __init__(self, place: Path) -> None:
        from fetch_site import Authority, Site
        from oci_tools import Layout, Registry

        self.place = place
        (place / "registry").mkdir(parents=True)
        (place / "authority").mkdir()
        (place / "policy.json").write_text(POLICY)
        authority = Authority(place / "authority")
        layout = Layout(place)
        self.size = unpack.make_tree(layout.root / "usr")
        layout.commit("base")
        for tag, text in (("one", "first"), ("two", "second")):
            (layout.root / "etc").mkdir(exist_ok=True)
            (layout.root / "etc" / "release").write_text(text)
            layout.commit(tag)
        self.registry = Registry(place / "registry", authority.certificate(), authority.file)
        self.names = {}
        for tag in ("one", "two"):
            self.registry.push(f"oci:{layout.path}:{tag}", f"bench/web:{tag}")
            self.names[tag] = f"{self.registry.host}/bench/web@{self.registry.digest(f'bench/web:{tag}')}"
        self.site = Site(authority.certificate())
        for tag in ("one", "two"):
            (layout.root / "etc" / "release").write_text(tag)
            self._publish(layout.root, tag)
        shutil.rmtree(layout.path)
        shutil.rmtree(place / "bundle")

    def _publish(self, root: Path, tag: str) -> None:
        """Build an image of the files, sign it, and serve both by name."""
        from fetch_site import discovery_page

        command = [sys.executable, str(TOP / "build" / "rocket"), f"--local-config={self.place}/etc"]
        path, home = self.place / f"{tag}.aci", self.place / "gpg"
        gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        if not home.is_dir():
            home.mkdir(mode=0o700)
            quiet(*gpg, "--quick-generate-key", "bench", "ed25519", "sign", "1d")
            quiet(*gpg, "--armor", "--output", self.place / "key.asc", "--export")
            listing = subprocess.run([*map(str, gpg), "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
            fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
            quiet(*command, "trust", f"--prefix={NAME}", f"--fingerprint={fingerprint}", self.place / "key.asc")
        labels = (f"--name={NAME}", f"--label=version={tag}", "--user=0", "--group=0", "--exec=/bin/true")
        quiet(*command, "image", "build", *labels, f"--output={path}", root)
        quiet(*command, "image", "sign", f"--gpg-homedir={home}", path)
        self.site.publish(path.read_bytes(), NAME, f"/{tag}.aci", signature=path.with_suffix(".aci.asc").read_bytes())
        self.site.pages["/bench/web?ac-discovery=1"] = discovery_page(f"{NAME} https://example.com/{{version}}.{{ext}}")
        path.unlink()

    def rocket(self, target: Path, tag: str) -> None:
        """Fetch, verify, store and render."""
        self._fetch(target, f"docker://{self.names[tag]}")

    def signed(self, target: Path, tag: str) -> None:
        """Find by name, fetch, verify the signature, store and render."""
        self._fetch(target, f"{NAME}:{tag}", f"example.com=127.0.0.1:{self.site.port}")

    def _fetch(self, target: Path, reference: str, *connections: str) -> None:
        script = ROCKET.format(package=str(TOP / "plugins" / "module_utils"))
        quiet(sys.executable, "-c", script, target / "data", self.registry.ca_file, reference, self.place / "etc", *connections)

    def umoci(self, target: Path, tag: str) -> None:
        """Copy into a layout, which skopeo verifies, and unpack it."""
        certificates = f"--src-cert-dir={self.registry.certificates}"
        quiet("skopeo", "--insecure-policy", "copy", certificates, f"docker://{self.names[tag]}", f"oci:{target}/layout:{tag}")
        quiet("umoci", "unpack", "--image", f"{target}/layout:{tag}", target / f"bundle-{tag}")

    def podman(self, target: Path, tag: str) -> None:
        """Pull into a storage of its own."""
        storage = ("--root", target / "storage", "--runroot", target / "run", "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs")
        options = (f"--cert-dir={self.registry.certificates}", f"--signature-policy={self.place}/policy.json")
        quiet("podman", *storage, "pull", "--quiet", *options, self.names[tag])


def measure(bench: Bench, rows: dict[str, Callable[[Path, str], None]], rounds: int) -> dict[str, list[float]]:
    """Have all take turns; return the seconds of each, of the first image and of one that shares its layers."""
    times: dict[str, list[float]] = {name + suffix: [] for name in rows for suffix in ("", ", again")}
    for number in range(rounds + 1):
        for name, work in rows.items():
            target = bench.place / "target"
            target.mkdir()
            for tag, suffix in (("one", ""), ("two", ", again")):
                started = time.perf_counter()
                work(target, tag)
                if number > 0:
                    times[name + suffix].append(time.perf_counter() - started)
            subprocess.run(["umount", "-q", str(target / "storage" / "overlay")], capture_output=True, check=False)
            shutil.rmtree(target)
    return times


def main(arguments: list[str]) -> int:
    """Measure and print the table."""
    rounds = int(arguments[0]) if arguments else 5
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 6 << 30
    place = (memory / f"rocket-bench-{os.getpid()}") if roomy else TOP / "build" / "bench"
    bench = None
    try:
        bench = Bench(place)
        known = {
            "rocket": ("", bench.rocket),
            "rocket, App Container Image": ("gpg", bench.signed),
            "skopeo copy + umoci unpack": ("umoci", bench.umoci),
            "podman pull": ("podman", bench.podman),
        }
        rows = {name: work for name, (program, work) in known.items() if not program or shutil.which(program)}
        times = measure(bench, rows, rounds)
    finally:
        if bench is not None:
            bench.registry.close()
            bench.site.close()
            subprocess.run(["gpgconf", "--homedir", str(place / "gpg"), "--kill", "all"], check=False)
        shutil.rmtree(place, ignore_errors=True)
    print(f"{f'image of {bench.size >> 20} MB, {unpack.FILES} files':44}{'median s':>10}{'min s':>8}{'rocket is':>12}")
    for name, spent in times.items():
        base = median(times["rocket, again" if name.endswith("again") else "rocket"])
        print(f"{name:44}{median(spent):10.2f}{min(spent):8.2f}{base / median(spent):11.2f}x")
    for name in known.keys() - rows.keys():
        print(f"missing: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
