# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The detached starter against programs that play ``rocket run-prepared``, and what `rocket run` imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from _rocket.errors import PodError
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.starter import DetachedStarter

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HEAVY = (
    "json re dataclasses typing enum argparse subprocess signal socket pathlib hashlib tempfile shutil logging requests cryptography yaml"
)


@pytest.fixture
def pod(paths):
    with PodDirectory.create(paths) as made:
        made.move("prepared")
    return made


@pytest.fixture
def script(paths, tmp_path):
    def write(body, deadline=20.0):
        program = tmp_path / "rocket.py"
        head = f"import os, sys\nout = int(sys.argv[2].partition('=')[2])\nuuid = sys.argv[3]\nfacts = {str(tmp_path / 'facts')!r}\n"
        program.write_text(head + body)
        return DetachedStarter(paths, [sys.executable, "-IS", str(program)], deadline)

    return write


def test_it_is_started_detached_and_sees_nothing_of_the_caller(pod, script, tmp_path):
    leak, other = os.pipe()
    os.set_inheritable(leak, True)
    os.environ["ROCKET_TEST_SECRET"] = "s3cret"
    starter = script(
        "import json, signal\n"
        "f = open(facts, 'w')\n"
        "json.dump({'fds': sorted(int(x) for x in os.listdir('/proc/self/fd')), 'out': out, 'own': f.fileno(),"
        " 'leader': os.getsid(0), 'parent': os.getppid(), 'env': sorted(os.environ), 'argv': sys.argv[1:],"
        " 'null': os.readlink('/proc/self/fd/0'), 'cwd': os.getcwd()}, f)\n"
        "f.close()\n"
        "os.write(out, b'ok\\n')\n"
    )
    try:
        starter.start("shop", pod.uuid)
    finally:
        del os.environ["ROCKET_TEST_SECRET"]
        os.close(leak)
        os.close(other)
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts["argv"] == ["run-prepared", f"--ready-fd={facts['out']}", pod.uuid]
    # One more is the listing's own.
    assert len(set(facts["fds"]) - {0, 1, 2, facts["out"], facts["own"]}) == 1
    assert facts["null"] == "/dev/null" and facts["cwd"] == "/"
    assert facts["leader"] != os.getsid(0) and facts["parent"] != os.getpid()
    assert "ROCKET_TEST_SECRET" not in facts["env"] and "HOME" not in facts["env"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os.write(out, b'exec /bin/web: no such file\\n')\n", "exec /bin/web: no such file"),
        ("", "without a word"),
        ("os.write(out, b'o')\nos.write(out, b'k')\n", "did not come up: ok (cut short)"),
        ("os.write(out, b'\\x1b[2Jevil\\n')\n", "x1b"),
    ],
)
def test_what_the_supervisor_says_is_the_error(pod, script, body, said):
    with pytest.raises(PodError) as caught:
        script(body).start("shop", pod.uuid)
    assert said in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_program_that_is_missing_is_said(pod, paths):
    with pytest.raises(PodError, match="cannot execute /does/not/exist"):
        DetachedStarter(paths, ["/does/not/exist"]).start("shop", pod.uuid)


def test_who_takes_too_long_is_killed(pod, script, tmp_path):
    starter = script("open(facts, 'w').write(str(os.getpid()))\nimport select\nselect.poll().poll()\n", deadline=3.0)
    with pytest.raises(PodError, match="3 seconds"):
        starter.start("shop", pod.uuid)
    pid = int((tmp_path / "facts").read_text())
    from _rocket.run.process import Process

    process = Process.of(pid)
    if process is not None:
        fd = process.pidfd()
        import select

        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(10000)
        os.close(fd)
    assert Process.of(pid) is None


@pytest.mark.parametrize(
    "module",
    ["pod_directory", "launch_record", "prepare", "reify", "declaration", "names", "pods", "process"],
)
def test_what_a_launch_imports_is_light(module):
    code = f"import sys; import _rocket.run.{module}; print(*(name for name in {HEAVY.split()} if name in sys.modules))"
    environment = {"PYTHONPATH": f"{REPOSITORY}/plugins/module_utils"}
    found = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
