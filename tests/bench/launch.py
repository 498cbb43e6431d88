# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure launch to exit of `/bin/true` in a container without network: rocket beside crun, runc and podman.

    python3 tests/bench/launch.py [ROUNDS]

All run the same root file system. The launchers take turns within a round, because the machine's noise changes slower than
that; the first round warms up and does not count. Only ratios within one table mean anything. All of it happens in a mount
namespace of its own, without the second cgroup hierarchy of a hybrid host, which crun refuses; files lie under build/bench
and are removed at the end. Needs root; exit status 1 when rocket itself cannot be measured.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[2]
PLACE = TOP / "build" / "bench"
ROOTFS = PLACE / "rootfs"
NAME = "example.com/bench"


class Launcher(NamedTuple):
    """One row of the table.

    Attributes:
        name: what the row is called.
        command: what is measured; `{n}` in a word is the number of the round, `{before}` what the next wrote.
        before: what is done first, without being measured.
        tidy: what is done after the last round.
    """

    name: str
    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    tidy: tuple[str, ...] = ()


def make_rootfs() -> None:
    """Make the root file system: one static busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("bench: the program busybox is missing; install busybox-static")
    for directory in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (ROOTFS / directory).mkdir(parents=True)
    shutil.copy2(busybox, ROOTFS / "bin" / "busybox")
    (ROOTFS / "bin" / "true").symlink_to("busybox")
    (ROOTFS / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n", encoding="utf-8")
    (ROOTFS / "etc" / "group").write_text("root:x:0:\n", encoding="utf-8")


def checked(*command: str) -> str:
    """Run a step of the preparation and return its output; end with its errors when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def rocket() -> list[Launcher]:
    """Install the runtime under build/bench, put the image in its store, and return its rows."""
    sys.path.insert(0, str(TOP / "plugins" / "module_utils"))
    from _rocket.host import install
    from _rocket.image.build import build
    from _rocket.spec.image_manifest import parse_image_manifest

    link = PLACE / "rocket"
    install.apply(install.plan_install(str(PLACE / "runtime"), interpreter="/usr/bin/python3", link=str(link)))
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": NAME,
        "labels": [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": _arch()}],
        "app": {"exec": ["/bin/true"], "user": "0", "group": "0"},
    }
    image = str(PLACE / "bench.aci")
    build(str(ROOTFS), parse_image_manifest(json.dumps(manifest).encode()), image)
    base = (str(link), f"--dir={PLACE / 'data'}", f"--local-config={PLACE / 'etc'}", f"--system-config={PLACE / 'usr'}")
    base = (*base, "--insecure-options=image")
    checked(*base, "fetch", image)
    collect = (*base, "gc", "--grace-period=0")
    prepare = (*base, "prepare", "--quiet", "--net=none", NAME)
    return [
        Launcher("rocket run", (*base, "run", "--net=none", NAME), tidy=collect),
        Launcher("rocket run-prepared", (*base, "run-prepared", "{before}"), before=prepare),
    ]


def _arch() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "aarch64"}.get(machine, machine)


def _bundle(program: str) -> Path:
    bundle = PLACE / f"bundle-{program}"
    if bundle.exists():
        return bundle
    bundle.mkdir()
    subprocess.run([program, "spec"], cwd=bundle, check=True, stdout=subprocess.DEVNULL)
    path = bundle / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["process"].update(terminal=False, args=["/bin/true"])
    config["root"] = {"path": str(ROOTFS), "readonly": True}
    path.write_text(json.dumps(config), encoding="utf-8")
    return bundle


def others() -> list[Launcher]:
    """Return the rows of the launchers that are installed."""
    rows = []
    if shutil.which("crun"):
        places = ("crun", "--root", str(PLACE / "state-crun"), "--cgroup-manager", "disabled")
        rows.append(Launcher("crun, no cgroup", (*places, "run", "--bundle", str(_bundle("crun")), f"bare-{os.getpid()}-{{n}}")))
    for program in ("crun", "runc"):
        if shutil.which(program):
            command = (
                program,
                "--root",
                str(PLACE / f"state-{program}"),
                "run",
                "--bundle",
                str(_bundle(program)),
                f"bench-{os.getpid()}-{{n}}",
            )
            rows.append(Launcher(program, command))
    if shutil.which("podman"):
        # Its defaults are above what a confined root may ask for.
        ulimits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
        places = ("--root", str(PLACE / "podman"), "--runroot", str(PLACE / "podman-run"), "--cgroup-manager", "cgroupfs")
        rows.append(
            Launcher(
                "podman run",
                ("podman", *places, "run", "--rm", "--network", "none", *ulimits, "--rootfs", str(ROOTFS), "/bin/true"),
            )
        )
    return rows


def launch(row: Launcher, number: int) -> float | str:
    """Launch once; return the milliseconds to its exit, or the first line of what went wrong."""
    before = checked(*row.before) if row.before else ""
    command = [word.replace("{n}", str(number)).replace("{before}", before) for word in row.command]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    spent = (time.perf_counter() - started) * 1000
    return spent if done.returncode == 0 else (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]


def measure(rows: list[Launcher], rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Launch all in turns; return the milliseconds of each row, and what was wrong with those that cannot run."""
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    wrong: dict[str, str] = {}
    for number in range(rounds + 1):
        for row in rows:
            if row.name in wrong:
                continue
            spent = launch(row, number)
            if isinstance(spent, str):
                wrong[row.name] = spent
                del times[row.name]
            elif number > 0:
                times[row.name].append(spent)
    return times, wrong


def table(times: dict[str, list[float]], wrong: dict[str, str]) -> str:
    """Return the table: median and minimum in milliseconds, and the ratio of the median to crun's."""
    base = median(times["crun"]) if times.get("crun") else 0.0
    lines = [f"{'launch to exit of /bin/true':30}{'median ms':>12}{'min ms':>10}{'x crun':>9}"]
    for name, spent in sorted(times.items(), key=lambda item: median(item[1])):
        ratio = f"{median(spent) / base:.2f}" if base else "-"
        lines.append(f"{name:30}{median(spent):12.1f}{min(spent):10.1f}{ratio:>9}")
    lines.extend(f"{name:30}  cannot run here: {reason}" for name, reason in wrong.items())
    return "\n".join(lines)


def clean() -> None:
    """Remove all of it, with what podman left mounted under it; never across a mount that stays."""
    for place in sorted((place for place in _mounts() if place.startswith(f"{PLACE}/")), reverse=True):
        subprocess.run(["umount", place], check=True)
    shutil.rmtree(PLACE, ignore_errors=True)


def _groups() -> set[Path]:
    """The cgroup that podman makes for its own and leaves behind, in each hierarchy."""
    found = [path for pattern in ("libpod_parent", "*/libpod_parent") for path in Path("/sys/fs/cgroup").glob(pattern)]
    return {path for path in found if (path / "cgroup.procs").exists()}  # not what lies in the covered hierarchy


def adopt_orphans() -> None:
    """Become the parent of what outlives its launcher (podman's conmon), so that it can be waited for."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
        raise OSError(ctypes.get_errno(), "prctl PR_SET_CHILD_SUBREAPER")


def wait_for_orphans(seconds: float = 20) -> None:
    """Wait until no child is left; what stays for longer than `seconds` is named."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return
    raise SystemExit(f"bench: something that a launcher started still runs after {seconds} seconds; see ps --ppid {os.getpid()}")


def _mounts() -> list[str]:
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]


def enter_own_namespace(arguments: list[str]) -> None:
    """Start again in a mount namespace of its own, where nothing that is mounted concerns the host."""
    if os.environ.get("BENCH_NAMESPACE") != os.readlink("/proc/self/ns/mnt"):
        word = f'BENCH_NAMESPACE=$(readlink /proc/self/ns/mnt) exec {sys.executable} "$@"'
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-c", word, "sh", __file__, *arguments])
    if "/sys/fs/cgroup/unified" in _mounts():
        # Covered, not unmounted: crun and podman make directories there.
        subprocess.run(["mount", "-t", "tmpfs", "bench", "/sys/fs/cgroup/unified"], check=True)


def main(arguments: list[str]) -> int:
    """Measure and print the table; return the exit status."""
    if os.geteuid() != 0:
        raise SystemExit("bench: starting pods needs root")
    enter_own_namespace(arguments)
    adopt_orphans()
    rounds = int(arguments[0]) if arguments else 20
    clean()
    PLACE.mkdir(parents=True)
    groups = _groups()
    rows: list[Launcher] = []
    try:
        make_rootfs()
        rows = [*rocket(), *others(), Launcher("python3 -IS -c pass (floor)", ("/usr/bin/python3", "-IS", "-c", "pass"))]
        times, wrong = measure(rows, rounds)
    finally:
        for row in rows:
            if row.tidy:
                subprocess.run(row.tidy, check=False, stdout=subprocess.DEVNULL)
        wait_for_orphans()
        clean()
        for group in _groups() - groups:
            for inner in sorted(group.glob("**/"), reverse=True):
                inner.rmdir()
    print(table(times, wrong))
    return 0 if "rocket run" in times else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
