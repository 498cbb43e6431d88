# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The order of confinement, on a recording kernel: what protects the host is which step comes before which."""

from __future__ import annotations

import os

import pytest

from _rocket.errors import LaunchError
from _rocket.run.linux import capabilities, confine
from _rocket.run.linux import constants as c
from _rocket.run.linux.identity import Identity

LAST_CAPABILITY = 40


class RecordingKernel:
    """Takes every call, as (name, arguments); answers what a kernel with 41 capabilities would."""

    def __init__(self, cwd="/work"):
        self.calls = []
        self._cwd = cwd

    def __getattr__(self, name):
        def call(*values):
            self.calls.append((name, *values))
            return 99

        return call

    def prctl(self, option, value=0, third=0):
        self.calls.append(("prctl", option, value, third))
        if option == c.PR_CAPBSET_READ and value > LAST_CAPABILITY:
            raise LaunchError("prctl: Invalid argument", errno=22)
        return 1

    def getcwd(self):
        self.calls.append(("getcwd",))
        return self._cwd

    def names(self):
        return [call[0] for call in self.calls]

    def first(self, *call):
        return next(index for index, made in enumerate(self.calls) if made[: len(call)] == call)

    def last(self, *call):
        return max(index for index, made in enumerate(self.calls) if made[: len(call)] == call)


def app(**members):
    return {
        "name": "web", "exec": ["/bin/web"], "environment": [], "working_directory": "/work", "capabilities": ["CAP_CHOWN", "CAP_SETUID"],
        "no_new_privileges": True, "oom_score_adj": 100, **members,
    }  # fmt: skip


def run(identity=None, terminal=-1, **members):
    kernel = RecordingKernel()
    who = identity or Identity(uid=1000, gid=1001, groups=(7,))
    confine.execute(kernel, confine.Command(app(**members), ("/bin/web", "x"), who, terminal, (-1, 11, 12)))
    return kernel


def test_descriptors_are_closed_before_the_working_directory_is_opened():
    kernel = run()
    assert kernel.first("close_from", confine.PROGRAM_FD + 1) < kernel.first("openat2", c.AT_FDCWD, "/work") < kernel.first("getcwd")


def test_the_working_directory_is_opened_without_magic_links():
    kernel = run()
    call = kernel.calls[kernel.first("openat2", c.AT_FDCWD, "/work")]
    assert call[4] & c.RESOLVE_NO_MAGICLINKS
    assert call[3] & os.O_DIRECTORY


def test_a_working_directory_outside_the_root_is_refused():
    kernel = RecordingKernel(cwd="(unreachable)/etc")
    with pytest.raises(LaunchError, match="outside the root"):
        confine.enter_working_directory(kernel, "/work")


def test_privileges_go_in_the_one_order_that_works():
    kernel = run()
    order = [
        kernel.last("prctl", c.PR_CAPBSET_DROP),
        kernel.first("setgroups", [7]),
        kernel.first("setresgid", 1001),
        kernel.first("setresuid", 1000),
        kernel.first("prctl", c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL),
        kernel.first("capset", 0, 0, 0),
        kernel.first("prctl", c.PR_SET_NO_NEW_PRIVS, 1),
        kernel.first("execve"),
    ]
    assert order == sorted(order)
    assert kernel.names()[-1] == "execve"


def test_what_needs_root_comes_before_root_is_given_up():
    kernel = run()
    gone = kernel.first("setresuid")
    assert all(
        kernel.last(name) < gone
        for name in ("write", "set_limit", "new_session_keyring", "setsid", "default_signals", "umask", "default_personality")
    )


@pytest.mark.spec("os/linux/capabilities-retain-set enforced")
def test_root_keeps_exactly_its_bounding_set_and_others_nothing():
    wanted = capabilities.mask(["CAP_CHOWN", "CAP_SETUID"])
    assert ("capset", wanted, wanted, 0) in run(Identity(uid=0, gid=0)).calls
    assert ("capset", 0, 0, 0) in run().calls


@pytest.mark.spec("os/linux/capabilities-retain-set enforced", "os/linux/capabilities-remove-set enforced")
def test_every_capability_of_the_kernel_that_was_not_asked_for_is_dropped():
    dropped = {call[2] for call in run().calls if call[:2] == ("prctl", c.PR_CAPBSET_DROP)}
    kept = {capabilities.NAMES.index("CHOWN"), capabilities.NAMES.index("SETUID")}
    assert dropped == set(range(LAST_CAPABILITY + 1)) - kept


@pytest.mark.spec("os/linux/no-new-privileges enforced")
def test_no_new_privileges_is_set_only_when_asked():
    assert ("prctl", c.PR_SET_NO_NEW_PRIVS, 1, 0) not in run(no_new_privileges=False).calls


def test_a_terminal_becomes_the_controlling_one_of_a_new_session():
    kernel = run(terminal=20)
    assert kernel.first("setsid") < kernel.first("ioctl", 20, c.TIOCSCTTY)
    assert [call[1:] for call in kernel.calls if call[0] == "dup_to"] == [(20, 0), (20, 1), (20, 2)]


@pytest.mark.parametrize("name", ["CAP_NOTHING", "CHOWN", "cap_chown", ""])
def test_unknown_capabilities_are_refused(name):
    with pytest.raises(LaunchError, match="no capability"):
        capabilities.mask([name])


@pytest.mark.spec("M6")
def test_programs_are_found_in_the_path_and_only_executable_ones(tmp_path):
    for directory, mode in (("one", 0o644), ("two", 0o755)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "web").touch(mode)
        (tmp_path / directory / "web").chmod(mode)
    assert confine.find_program("web", f"{tmp_path}/none:{tmp_path}/one:{tmp_path}/two") == f"{tmp_path}/two/web"
    assert confine.find_program("./web", "") == "./web"
    with pytest.raises(LaunchError, match="not executable"):
        confine.find_program("web", f"{tmp_path}/one")
    with pytest.raises(LaunchError, match="no such program"):
        confine.find_program("sh", f"{tmp_path}")


@pytest.mark.spec("E2")
def test_names_of_the_executor_cannot_be_set_by_an_image():
    own = [["AC_APP_NAME", "x"], ["AC_METADATA_URL", "http://evil"], ["container", "none"], ["PATH", "/own"], ["HOME", "/h"]]
    found = confine.environment(app(environment=own), Identity(uid=0, gid=0), "vt100")
    assert (found["AC_APP_NAME"], found["container"], found["PATH"], found["HOME"], found["TERM"]) == (
        "web",
        "rocket",
        "/own",
        "/h",
        "vt100",
    )
    assert "AC_METADATA_URL" not in found
    assert "TERM" not in confine.environment(app(), Identity(uid=0, gid=0))
