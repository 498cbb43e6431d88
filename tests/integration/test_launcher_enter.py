# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""enter: the same confinement as the app's main (L6), pipes and terminals of the pod's own (L3, L30)."""

from __future__ import annotations

import os
import pty
import select

import pytest
from launcher_pods import until

pytestmark = pytest.mark.usefixtures("host")

FACTS = """
grep -E '^(Cap|NoNewPrivs|Sig(Ign|Blk)|Groups|Uid|Gid|Seccomp:)' /proc/self/status
for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done
cat /proc/self/cgroup /proc/self/oom_score_adj; umask; ulimit -n; ulimit -c; pwd; id; env | grep -v '^_=' | sort
"""


def enter_pod(pod, argv, tty=False, app="app", stdin=b""):
    """Run enter() in a forked process; return (exit status, output, error)."""
    from _rocket.errors import RocketError
    from _rocket.run.enter import enter

    (feed_read, feed), (out, out_child), (err, err_child) = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            for source, target in ((feed_read, 0), (out_child, 1), (err_child, 2)):
                os.dup2(source, target)
            os.close(feed)
            status = enter(str(pod.directory), pod.record, app, argv, tty)
        except RocketError as error:
            os.write(2, str(error).encode())
            status = 254
        finally:
            os._exit(status)
    for fd in (feed_read, out_child, err_child):
        os.close(fd)
    os.write(feed, stdin)
    os.close(feed)
    texts = {out: b"", err: b""}
    waiting = [out, err]
    while waiting:
        ready = select.select(waiting, [], [], 20)[0]
        if not ready:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError(f"enter hangs after {texts}")
        for fd in ready:
            chunk = os.read(fd, 65536)
            texts[fd] += chunk
            if not chunk:
                waiting.remove(fd)
    os.close(out), os.close(err)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), texts[out].decode(), texts[err].decode()


@pytest.fixture
def running(pod_of):
    """A running pod of one app as another user, whose log holds its facts."""

    def make(**members):
        pod = pod_of(f"{FACTS}\necho END; while :; do sleep 0.1; done", **members)
        assert pod.start() == "ok"
        until(lambda: "END" in pod.log())
        return pod

    return make


@pytest.mark.parametrize("user", ["web", "0"])
def test_l6_enter_has_exactly_the_apps_power(running, user):
    pod = running(user=user, group=user, supplementary_gids=[42], oom_score_adj=300, environment=[["A", "b"]], working_directory="/tmp")
    status, out, err = enter_pod(pod, ["/bin/sh", "-c", FACTS])
    assert (status, err) == (0, "")
    assert out.splitlines() == pod.log().split("END")[0].splitlines()


def test_l6_the_user_is_the_one_of_the_start_whatever_passwd_says_now(running):
    pod = running(user="web", group="web")
    (pod.directory / "apps/app/upper/etc").mkdir(exist_ok=True)
    assert enter_pod(pod, ["id", "-u"])[:2] == (0, "1000\n")
    root = pod.directory / "../pod/apps/app/upper/etc/passwd"
    root.write_text("web:x:0:0:web:/:/bin/sh\n")
    assert enter_pod(pod, ["id", "-u"])[:2] == (0, "1000\n")


def test_l3_streams_are_pipes_and_nothing_else_is_open(running):
    pod = running()
    os.set_inheritable(os.open("/etc", os.O_RDONLY | os.O_DIRECTORY), True)
    script = "for n in 0 1 2; do readlink /proc/$$/fd/$n; done; cd /proc/self/fd; echo *"
    status, out, _err = enter_pod(pod, ["/bin/sh", "-c", script])
    lines = out.splitlines()
    assert status == 0
    assert all(line.startswith("pipe:") for line in lines[:3])
    assert lines[3].split()[:3] == ["0", "1", "2"] and len(lines[3].split()) <= 4


def test_input_output_and_status_pass_through(running):
    pod = running()
    assert enter_pod(pod, ["cat"], stdin=b"through\n" * 5000) == (0, "through\n" * 5000, "")
    assert enter_pod(pod, ["/bin/sh", "-c", "echo oops >&2; exit 9"]) == (9, "", "oops\n")
    assert enter_pod(pod, ["/bin/sh", "-c", "kill -9 $$"])[0] == 137


def test_errors_are_told(running, pod_of):
    pod = running()
    assert "no such program in PATH" in enter_pod(pod, ["nowhere"])[2]
    assert "no app other" in enter_pod(pod, ["true"], app="other")[2]
    idle = pod_of("true", name="idle")
    assert "does not run" in enter_pod(idle, ["true"])[2]
    assert idle.run() == 0
    assert "does not run" in enter_pod(idle, ["true"])[2]


def test_l40_a_reused_process_number_is_not_entered(running):
    pod = running()
    path = pod.directory / "supervisor"
    supervisor, init = path.read_text().splitlines()
    path.write_text(f"{supervisor.split()[0]} 1\n{init}\n")
    assert "does not run" in enter_pod(pod, ["true"])[2]


def test_what_entered_ends_with_the_pod(running):
    pod = running()
    main = pod.pid
    import threading

    result = []

    def enter() -> None:
        result.append(enter_pod(pod, ["/bin/sh", "-c", "echo in; touch /in; sleep 1000"]))

    thread = threading.Thread(target=enter)
    thread.start()
    until((pod.directory / "apps/app/upper/in").exists)
    os.kill(main, 3)
    assert pod.wait() == 137
    thread.join(20)
    assert result[0][0] == 137


def test_l13_l30_a_terminal_is_the_pods_own(running):
    """The caller has a terminal; the program sees another one, of the pod's own devpts, with the caller's size."""
    pod = running()
    pid, master = pty.fork()
    if pid == 0:
        status = 99
        try:
            from _rocket.run.enter import enter

            os.environ["TERM"] = "vt100"
            script = "tty; stty size; echo TERM=$TERM; ls /dev/pts; read line; echo got $line; exit 5"
            status = enter(str(pod.directory), pod.record, "app", ["/bin/sh", "-c", script], True)
        finally:
            os._exit(status)
    text = b""
    sent = False
    while True:
        assert select.select([master], [], [], 20)[0], text
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        text += chunk
        if b"ptmx" in text and not sent:
            os.write(master, b"hello\r")
            sent = True
    _pid, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 5, text
    words = text.decode().split()
    assert words[0] == "/dev/pts/0"
    assert "TERM=vt100" in words and "got" in words
    assert words.count("hello") == 2  # the echo of the pod's terminal, and the answer
