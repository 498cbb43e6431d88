# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Units are a pure function of the name; nothing else can reach them."""

from __future__ import annotations

import os

import pytest

from _rocket import command
from _rocket.audit import chain
from _rocket.errors import HostError, PodError, SpecError
from _rocket.host import entry, systemd
from _rocket.paths import Paths
from _rocket.record import replace
from _rocket.run.names import Named, Names
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.reify import Generation
from _rocket.spec.canonical import digest

UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
LAUNCHER = "/usr/local/libexec/rocket/current/rocket"

HOSTILE = [
    "",
    "..",
    "a/b",
    "../../etc/passwd",
    "a\0b",
    "%i",
    "a%h",
    "a\nExecStart=/bin/sh",
    "a\x1b[2J",
    "a b",
    "a;b",
    "a$b",
    "a'b",
    'a"b',
    "a\\x2d",
    "-a",
    "a-",
    "A",
    "a@b",
    "a" * 300,
    "\u202ea",
]


class Program:
    """systemctl and journalctl of no host: remembers the calls, answers what it was told."""

    def __init__(self, **answers):
        self.calls = []
        self.answers = answers

    def __call__(self, argv, seconds=60):
        self.calls.append(" ".join(argv))
        status, output, errors = self.answers.get(argv[1].lstrip("-").replace("-", "_"), (0, "", ""))
        return command.Outcome(status, output, errors)


@pytest.fixture
def starter(tmp_path, paths):
    root = tmp_path / "libexec"
    (root / "current").mkdir(parents=True)
    (root / "current" / "rocket").write_text("")
    (tmp_path / "units").mkdir()

    def make(**answers):
        return systemd.SystemdStarter(paths, root=str(root), units=str(tmp_path / "units"), program=Program(**answers))

    return make


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_none_never_becomes_a_unit(name, starter):
    """L19, L20: a naive f-string makes a unit with a second ExecStart, or a path outside the directory."""
    made = starter()
    for call in (
        systemd.unit_name,
        lambda n: systemd.unit_text(n, LAUNCHER),
        lambda n: made.start(n, n),
        lambda n: made.stop(n, n, 1),
        made.enable,
        made.disable,
        made.forget,
    ):
        with pytest.raises(SpecError):
            call(name)
    assert made._program.calls == [] and os.listdir(made.units) == []


@pytest.mark.parametrize("word", ["/a b", "/a%h", "/a\nExecStart=/x", "relative", "/a;b", "/a$b"])
def test_directories_with_a_meaning_to_systemd_are_refused(word):
    with pytest.raises(HostError):
        systemd.unit_text("shop", word)


def test_the_text_is_a_pure_function_and_starts_one_command():
    text = systemd.unit_text("shop", LAUNCHER)
    assert text == systemd.unit_text("shop", LAUNCHER)
    starts = [line for line in text.splitlines() if line.startswith("Exec")]
    assert starts == [f"ExecStart={LAUNCHER} run-prepared shop"]


def test_other_directories_of_the_host_reach_the_command():
    options = entry.global_options(Paths(data="/srv/rocket", local="/etc/other"))
    assert options == ("--dir=/srv/rocket", "--local-config=/etc/other")
    assert f"{LAUNCHER} --dir=/srv/rocket --local-config=/etc/other run-prepared shop" in systemd.unit_text("shop", LAUNCHER, options)
    assert entry.global_options(Paths()) == ()


def test_a_relaxation_is_seen_in_the_unit_and_absent_without_one(starter):
    made = starter()
    assert "insecure" not in made.text("shop")
    made._insecure = ("image",)
    assert " --insecure-options=image run-prepared shop\n" in made.text("shop")


def test_systemd_itself_finds_nothing_wrong(program, tmp_path):
    verify = program("systemd-analyze")
    launcher = tmp_path / "rocket"
    launcher.write_text("")
    launcher.chmod(0o755)
    if set(str(launcher)) - systemd._PLAIN:
        pytest.skip("missing ability: a temporary directory with a plain name")
    path = tmp_path / "rocket-shop.service"
    path.write_text(systemd.unit_text("shop", str(launcher)))
    outcome = command.run([verify, "verify", "--man=no", str(path)])
    said = [line for line in (outcome.output + outcome.errors).splitlines() if "rocket-shop" in line]
    assert said == []
    path.write_text(systemd.unit_text("shop", str(launcher)).replace("KillMode=mixed", "KillMood=mixed"))
    broken = command.run([verify, "verify", "--man=no", str(path)])
    assert "KillMood" in broken.output + broken.errors


def test_start_writes_reloads_and_starts_once(starter):
    made = starter()
    made.start("shop", UUID)
    assert made._program.calls == ["systemctl daemon-reload", "systemctl start -- rocket-shop.service"]
    assert made.is_current("shop")
    assert os.stat(f"{made.units}/rocket-shop.service").st_mode & 0o777 == 0o644
    assert os.path.samefile(f"{made.units}/multi-user.target.wants/rocket-shop.service", f"{made.units}/rocket-shop.service")
    made._program.calls.clear()
    made.start("shop", UUID)
    assert made._program.calls == ["systemctl start -- rocket-shop.service"]


def test_a_pod_without_a_name_has_a_unit_of_its_uuid(starter):
    made = starter()
    made.start("", UUID)
    assert made._program.calls[-1] == f"systemctl start -- rocket-{UUID}.service"


def test_a_changed_unit_is_written_again(starter):
    made = starter()
    made.write("shop")
    with open(f"{made.units}/rocket-shop.service", "a") as unit:
        unit.write("ExecStartPost=/bin/true\n")
    assert not made.is_current("shop")
    assert made.write("shop") and made.is_current("shop")


def test_without_a_runtime_nothing_is_started(starter, tmp_path):
    made = starter()
    os.unlink(made.launcher)
    with pytest.raises(HostError, match="runtime is not installed"):
        made.start("shop", UUID)
    assert made._program.calls == [] and os.listdir(made.units) == []


@pytest.fixture
def ended(paths):
    """A pod that does not run any more."""
    with PodDirectory.create(paths, UUID) as pod:
        pod.move("run")


def test_stop_of_what_is_not_loaded_is_no_error(starter, ended):
    starter(stop=(5, "", "Unit rocket-shop.service not loaded.")).stop("shop", UUID, 1)
    with pytest.raises(PodError, match="did not stop: busy"):
        starter(stop=(1, "", "busy")).stop("shop", UUID, 1)


def test_a_stop_is_on_record_where_there_is_something_to_stop(starter, paths):
    """Before systemd is asked: by then it cannot be refused any more."""
    pod = PodDirectory.create(paths, UUID)
    pod.move("run")
    made = starter()

    def stopped(argv, seconds=60):
        pod.unlock()
        told.append([(event["action"], event["subject"]) for event in chain.events(chain.files(paths))])
        return command.Outcome(0, "", "")

    told = []
    made._program = stopped
    made.stop("shop", UUID, 1)
    made.stop("shop", UUID, 1)
    assert told == [[("stop", UUID)]] * 2


def test_a_stopped_pod_does_not_come_back_at_boot(starter, ended):
    made = starter()
    made.start("shop", UUID)
    made.stop("shop", UUID, 1)
    assert os.listdir(f"{made.units}/multi-user.target.wants") == []
    assert made.is_current("shop")


def test_forget_leaves_no_trace(starter):
    made = starter()
    made.start("shop", UUID)
    made.forget("shop")
    assert os.listdir(made.units) == ["multi-user.target.wants"]
    assert os.listdir(f"{made.units}/multi-user.target.wants") == []
    assert made._program.calls[-2:] == ["systemctl daemon-reload", "systemctl reset-failed -- rocket-shop.service"]
    made._program.calls.clear()
    made.forget("shop")
    assert made._program.calls == []


def test_systemd_waits_longer_than_the_pod_gives_its_apps(starter, paths):
    names = Names(paths)
    manifest = {"apps": []}
    generation = Generation("shop", digest(manifest), {"stop_timeout": 300}, manifest, {})
    with names.lock("shop"):
        named = names.keep(Named("shop"), generation)
        names.write(replace(named, current=named.latest))
    assert "TimeoutStopSec=330\n" in starter().text("shop")
    assert "TimeoutStopSec=30\n" in starter().text("other")


@pytest.mark.parametrize(("state", "active"), [("active", True), ("activating", True), ("failed", False), ("inactive", False)])
def test_is_active(starter, state, active):
    assert starter(show=(0, state + "\n", "")).is_active("shop") is active


def test_an_app_that_a_stop_ended_is_no_failure_of_the_unit(starter):
    """The supervisor passes 128 + SIGTERM on; without this line every systemctl stop leaves a failed unit."""
    assert "\nSuccessExitStatus=143\n" in starter().text("shop")


def test_why_a_pod_did_not_start_is_what_it_told_systemd(starter):
    """The journal has what apps write as well: one that writes "rocket: all is well" must not speak for us."""
    made = starter(start=(1, "", "Job failed"), show=(0, "/srv: no such directory\n", ""), no_pager=(0, "rocket: all is well\n", ""))
    with pytest.raises(PodError, match="shop: did not start: /srv: no such directory; see journalctl -u rocket-shop"):
        made.start("shop", UUID)
    made = starter(start=(1, "", "Job failed"), show=(0, "\n", ""), no_pager=(0, "rocket: all is well\n", ""))
    with pytest.raises(PodError, match="shop: did not start: Job failed; see"):
        made.start("shop", UUID)


def test_a_unit_that_somebody_changed_or_disabled_is_drift(starter):
    """Without a restart of the pod: it is the next boot that would miss it."""
    made = starter()
    assert made.drift("shop", running=True) == "its unit differs"
    made.settle("shop", running=True)
    assert made.drift("shop", running=True) == "" and "systemctl start" not in " ".join(made._program.calls)
    with open(f"{made.units}/rocket-shop.service", "a") as unit:
        unit.write("User=nobody\n")
    assert made.drift("shop", running=True) == "its unit differs"
    made.settle("shop", running=True)
    made.disable("shop")
    assert made.drift("shop", running=True) == "its unit is not started at boot"
    made.settle("shop", running=True)
    assert made.drift("shop", running=True) == ""
    assert made.drift("shop", running=False) == "its unit is started at boot"
    made.settle("shop", running=False)
    assert made.drift("shop", running=False) == "" and os.listdir(f"{made.units}/multi-user.target.wants") == []
