# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The life of real pods: statuses, namespaces, event handlers, signals, limits, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from launcher_pods import BUSYBOX, make_app, make_tree, until, volume

pytestmark = pytest.mark.usefixtures("host")


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_status_of_the_app_is_that_of_the_pod(pod_of, script, status):
    pod = pod_of(script)
    assert pod.run() == status
    assert pod.status()["exit_status"] == status
    assert pod.status()["state"] == "exited"
    assert f'"exit_status":{status}' in (pod.directory / "ended").read_text()


@pytest.mark.spec("P2")
def test_zero_lets_the_others_go_on_and_another_status_stops_them(tree, pod_with):
    apps = [
        make_app("ends", tree, "exit 0"),
        make_app("fails", tree, "while ! test -e /data/go; do sleep 0.05; done; exit 7"),
        make_app("lasts", tree, "trap 'echo told; exit 0' TERM; touch /data/go; while :; do sleep 0.05; done"),
    ]
    pod = pod_with(apps)
    shared = pod.directory / "volumes/data"
    shared.mkdir(parents=True)
    for app in apps:
        app["mounts"] = [volume(shared, "/data")]
    assert pod.start() == "ok"
    assert pod.wait() == 7
    assert pod.log("lasts") == "told\n"
    assert pod.status("ends")["exit_status"] == 0


@pytest.mark.spec("P1", "E1")
def test_apps_share_namespaces_and_not_their_roots(tree, pod_with, tmp_path):
    script = "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; hostname; touch /mark-$AC_APP_NAME; ls / | grep mark"
    pod = pod_with([make_app("one", tree, script), make_app("two", tree, script)])
    assert pod.run() == 0
    one, two = pod.log("one").splitlines(), pod.log("two").splitlines()
    assert one[:4] == two[:4]
    assert one[4] != two[4] and one[5] != two[5]
    assert one[6] == two[6] == "rocket-test"
    assert (one[7:], two[7:]) == (["mark-one"], ["mark-two"])
    for name, text in zip(("pid", "net", "ipc", "uts"), one):
        assert os.readlink(f"/proc/self/ns/{name}") != text


def test_host_network_is_only_by_name(tree, pod_with):
    pod = pod_with([make_app("app", tree, "readlink /proc/self/ns/net")], network="host")
    assert pod.run() == 0
    assert pod.log().strip() == os.readlink("/proc/self/ns/net")


@pytest.mark.spec("P20")
def test_loopback_is_up(pod_of):
    pod = pod_of("cat /proc/net/fib_trie")
    assert pod.run() == 0
    assert "127.0.0.1" in pod.log()


@pytest.mark.spec("E2")
def test_the_environment_is_made_from_nothing(pod_of):
    pod = pod_of(
        "env", environment=[["COLOUR", "blue"], ["PATH", "/bin"], ["AC_APP_NAME", "forged"], ["AC_OTHER", "x"]], user="web", group="web"
    )
    os.environ["OF_THE_CALLER"] = "secret"
    try:
        assert pod.run() == 0
    finally:
        del os.environ["OF_THE_CALLER"]
    found = dict(line.split("=", 1) for line in pod.log().splitlines())
    found.pop("SHLVL", None), found.pop("PWD", None)  # the shell's own
    assert found == {
        "PATH": "/bin", "AC_APP_NAME": "app", "container": "rocket", "COLOUR": "blue",
        "HOME": "/srv/web", "USER": "web", "LOGNAME": "web", "SHELL": "/bin/ash",
    }  # fmt: skip


@pytest.mark.spec("E3")
def test_the_working_directory_is_that_of_the_app_for_event_handlers_too(pod_of, tree):
    (tree / "srv/inner").mkdir(parents=True)
    handlers = {"pre_start": ["/bin/sh", "-c", "pwd"], "post_stop": ["/bin/sh", "-c", "pwd"]}
    pod = pod_of("pwd", working_directory="/srv/inner", **handlers)
    assert pod.run() == 0
    assert pod.log() == "/srv/inner\n" * 3
    other = pod_of("pwd", name="other", **handlers)
    assert other.run() == 0
    assert other.log() == "/\n" * 3


@pytest.mark.spec("M9", "P22")
def test_event_handlers_come_before_and_after_main_in_its_root(pod_of):
    pod = pod_of(
        "cat /order; echo main >> /order; exit 5",
        pre_start=["/bin/sh", "-c", "sleep 0.2; echo pre > /order"],
        post_stop=["/bin/sh", "-c", "cat /order; readlink /proc/self/ns/mnt; exit 6"],
    )
    assert pod.run() == 5
    assert pod.log().splitlines()[:3] == ["pre", "pre", "main"]
    status = pod.status()
    assert (status["pre_start"], status["exit_status"], status["post_stop"]) == (0, 5, 6)


@pytest.mark.spec("M9")
def test_a_failing_pre_start_stops_the_start_and_no_post_stop_runs(pod_of):
    pod = pod_of("echo main", pre_start=["/bin/false"], post_stop=["/bin/echo", "post"])
    announced = pod.start()
    assert pod.wait() == 254
    assert "pre-start ended with status 1" in announced and "app app" in announced
    assert pod.log() == ""
    assert pod.status()["post_stop"] is None


def test_a_missing_program_is_told(pod_of):
    pod = pod_of(exec=["/no/such"])
    assert "cannot execute: No such file" in pod.start()
    assert pod.wait() == 254
    pod = pod_of(exec=["nowhere"], name="other")
    assert "no such program in PATH" in pod.start()
    assert pod.wait() == 254


@pytest.mark.spec("M6")
def test_a_bare_name_is_looked_up_in_the_path_of_the_app(pod_of, tree):
    (tree / "opt").mkdir()
    (tree / "opt/hello").write_text("#!/bin/sh\necho hello $1\n")
    (tree / "opt/hello").chmod(0o755)
    pod = pod_of(exec=["hello", "you"], environment=[["PATH", "/bin:/opt"]])
    assert pod.run() == 0
    assert pod.log() == "hello you\n"


@pytest.mark.spec("P22")
def test_stop_is_sigterm_then_sigkill(tree, pod_with):
    apps = [
        make_app("polite", tree, "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"),
        make_app("deaf", tree, "trap '' TERM; echo up; while :; do sleep 0.05; done", post_stop=["/bin/echo", "after"]),
    ]
    pod = pod_with(apps, stop_timeout=1)
    assert pod.start() == "ok"
    until(lambda: pod.log("polite") and pod.log("deaf"))
    os.kill(pod.pid, signal.SIGTERM)
    assert pod.wait() == 137
    assert pod.status("polite")["exit_status"] == 0
    assert pod.log("deaf") == "up\nafter\n"


def test_sigquit_ends_everything_at_once(pod_of):
    pod = pod_of("trap '' TERM QUIT; echo up; while :; do sleep 0.05; done", post_stop=["/bin/echo", "after"])
    pod.record["stop_timeout"] = 600
    assert pod.start() == "ok"
    until(pod.log)
    os.kill(pod.pid, signal.SIGQUIT)
    assert pod.wait(10) == 137
    assert pod.log() == "up\n"


@pytest.mark.parametrize("name", ["HUP", "USR1", "USR2", "WINCH"])
def test_signals_are_forwarded(pod_of, name):
    pod = pod_of(f"trap 'echo got {name}; exit 0' {name}; echo up; while :; do sleep 0.05; done")
    assert pod.start() == "ok"
    until(pod.log)
    os.kill(pod.pid, getattr(signal, f"SIG{name}"))
    assert pod.wait() == 0
    assert pod.log() == f"up\ngot {name}\n"


def test_killing_the_supervisor_leaves_no_process(pod_of):
    pod = pod_of("sleep 1000 & sleep 1000 & echo up; wait")
    assert pod.start() == "ok"
    until(pod.log)
    _supervisor, init = pod.pids()
    members = [int(pid) for pid in Path(pod.cgroup("pids"), "app/cgroup.procs").read_text().split()]
    assert len(members) == 3
    os.kill(pod.pid, signal.SIGKILL)
    assert pod.wait() == -9
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (init, *members)), what="the end of every process")


def test_orphans_are_reaped(pod_of):
    pod = pod_of("for i in 1 2 3 4 5; do (true & ) ; done; sleep 0.3; ps -o pid,stat,comm | grep -c ' Z' ; true")
    assert pod.run() == 0
    assert pod.log() == "0\n"


def test_what_an_app_leaves_running_ends_with_its_main(tree, pod_with):
    apps = [
        make_app("leaves", tree, "sleep 1000 & exit 0"),
        make_app("looks", tree, "while ps -o args | grep -q '[s]leep 1000'; do sleep 0.05; done; echo gone"),
    ]
    pod = pod_with(apps)
    assert pod.run() == 0
    assert pod.log("looks") == "gone\n"


@pytest.mark.spec("P21")
def test_all_output_reaches_the_log(pod_of):
    pod = pod_of("seq 1 60000; (sleep 0.1; echo last) & exit 0")
    assert pod.run() == 0
    lines = pod.log().splitlines()
    assert lines[:60000] == [str(number) for number in range(1, 60001)]


def test_the_foreground_gets_a_copy_with_names_when_there_are_several(tree, pod_with):
    reading, writing = os.pipe()
    pod = pod_with([make_app("one", tree, "echo hello; printf rest"), make_app("two", tree, "echo world")])
    pod.start(foreground=True, prepare=lambda: (os.dup2(writing, 1), os.dup2(writing, 2)))
    os.close(writing)
    assert pod.wait() == 0
    lines = os.read(reading, 65536).decode().splitlines()
    os.close(reading)
    assert sorted(lines) == ["one: hello", "one: rest", "two: world"]
    assert pod.log("one") == "hello\nrest"


@pytest.mark.spec("resource/memory enforced")
def test_a_memory_limit_is_enforced(pod_of):
    pod = pod_of("dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived $?")
    pod.record["apps"][0]["limits"]["memory_limit"] = 32 << 20
    pod.run()
    assert "survived 137" in pod.log() or pod.status()["exit_status"] == 137
    assert pod.status()["isolators"][0]["outcome"] == "enforced"
    assert pod.status()["isolators"][0]["effective"] == str(32 << 20)


@pytest.mark.spec("I1")
def test_the_pod_bounds_its_apps(pod_of):
    pod = pod_of("dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived $?")
    pod.record["limits"]["memory_limit"] = 32 << 20
    pod.record["apps"][0]["limits"]["memory_limit"] = 1 << 30
    pod.run()
    assert "survived 137" in pod.log() or pod.status()["exit_status"] == 137
    modified = [row for row in pod.status()["isolators"] if row["outcome"] == "modified"]
    assert [row["name"] for row in modified] == ["memory_limit"]


def test_a_fork_bomb_stops_at_its_limit(pod_of):
    pod = pod_of("i=0; while test $i -lt 40; do sleep 5 & i=$((i+1)); done; echo all")
    pod.record["apps"][0]["limits"]["pids"] = 20
    assert pod.run() != 0
    assert "all" not in pod.log().splitlines()


def test_nothing_stays_behind(tree, pod_with, host):
    for index in range(3):
        pod = pod_with([make_app("app", tree, "true")], name=f"pod{index}")
        assert pod.run() == 0
        assert not Path(pod.cgroup("pids")).exists()
    assert Path("/proc/self/mountinfo").read_text() == host


def test_a_terminal_that_never_reads_does_not_hold_the_pod(pod_of):
    """A full pipe nobody reads: the log still gets everything."""
    from _rocket.run.stage1 import output

    reading, writing = os.pipe()
    pod = pod_of("yes | head -c 3000000; exit 0")
    output_stall = output.STALL
    output.STALL = 0.5
    try:
        pod.start(foreground=True, prepare=lambda: (os.dup2(writing, 1), os.dup2(writing, 2)))
        assert pod.wait() == 0
    finally:
        output.STALL = output_stall
        os.close(reading), os.close(writing)
    assert len(pod.log()) == 3000000


def test_the_programs_run_under_emulation_too(program, tmp_path):
    from _rocket.run.linux import programs

    emulator = program("qemu-aarch64-static")
    shim = tmp_path / "exec"
    shim.write_bytes(programs.exec_program("aarch64"))
    shim.chmod(0o755)
    reading, writing = os.pipe()
    place = {"close_fds": False, "preexec_fn": lambda: os.dup2(writing, 3)}
    done = subprocess.run([emulator, "-0", "/no/such", str(shim), "x"], check=False, **place)
    assert done.returncode == 127
    assert int.from_bytes(os.read(reading, 16), "little") == 2
    done = subprocess.run([emulator, "-0", BUSYBOX, str(shim), "echo", "argument"], check=False, stdout=subprocess.PIPE, **place)
    assert done.stdout == b"argument\n"
    # Without descriptor 3 the image runs it as its own interpreter: it must end instead of executing anything.
    done = subprocess.run([emulator, "-0", BUSYBOX, str(shim), "echo", "argument"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (127, b"")
    os.close(reading), os.close(writing)


def test_make_tree_is_what_the_tests_think(tmp_path):
    assert (make_tree(tmp_path / "t") / "bin/sh").resolve().name == "busybox"
