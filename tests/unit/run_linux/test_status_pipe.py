# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What goes over the status pipe, and the kernel port's refusals."""

from __future__ import annotations

import os

import pytest

from _rocket.errors import LaunchError
from _rocket.run.linux import report
from _rocket.run.linux.kernel import Kernel


def through(send):
    reading, writing = os.pipe()
    send(writing)
    os.close(writing)
    data = os.read(reading, 1 << 17)
    os.close(reading)
    return data


def test_messages_arrive_whole_even_in_pieces():
    data = through(lambda fd: (report.send(fd, "built", identity={"uid": 1}), report.send(fd, "terminal", master=9)))
    assert report.parse(data[:7], "x") == ([], data[:7])
    messages, rest = report.parse(data, "x")
    assert [message["kind"] for message in messages] == ["built", "terminal"] and rest == b""


def test_an_error_arrives_as_it_was():
    error = LaunchError("what", where="where", hint="do", code="mine", errno=5, call="mount")
    with pytest.raises(LaunchError) as raised:
        report.parse(through(lambda fd: report.send_error(fd, error)), "x")
    assert raised.value.to_json() == error.to_json()


def test_four_bytes_are_the_error_number_of_execve():
    with pytest.raises(LaunchError, match="/bin/app: cannot execute: No such file"):
        report.parse((2).to_bytes(4, "little"), "/bin/app")


def test_an_impossible_length_is_refused():
    with pytest.raises(LaunchError, match="impossible length"):
        report.parse((0x80000000 | report.LIMIT + 1).to_bytes(4, "little"), "x")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"d", b"d1:", b"s5:abc", b"s-1:", b"i:", b"i1x:", b"i1:i2:", b"l9999999:", b"d1:i1:i2:", b"s1:\xff", b"d1:s4:kindi1:",
        b"l1:" * 9 + b"i1:", b"d1:s4:kinds5:error", b"x1:", b"i" + b"9" * 40 + b":", __import__("marshal").dumps({"kind": "built"}),
    ],
)  # fmt: skip
def test_what_a_hostile_program_writes_is_refused(body):
    with pytest.raises(LaunchError, match="cannot be read"):
        report.parse((0x80000000 | len(body)).to_bytes(4, "little") + body, "x")


def test_a_forged_error_brings_no_members_of_its_own():
    data = through(
        lambda fd: report.send(fd, "error", what="w", where="x", hint="h", code="c", facts={"where": "y", "self": "z", "errno": 2})
    )
    with pytest.raises(LaunchError) as raised:
        report.parse(data, "x")
    assert raised.value.facts == {"errno": 2}


def test_text_of_an_image_travels_whole():
    identity = {"name": "\udcff:\n", "groups": [1, 2], "uid": 2**31 - 2, "home": "ä" * 5000}
    messages, _rest = report.parse(through(lambda fd: report.send(fd, "built", identity=identity, warnings=["w"])), "x")
    assert messages == [{"kind": "built", "identity": identity, "warnings": ["w"]}]


def test_what_is_too_long_for_a_message_is_an_error_of_the_image():
    with pytest.raises(LaunchError, match="too long"):
        report.send(-1, "built", identity={"home": "x" * (report.LIMIT + 1)})


def test_the_kernel_names_call_and_object():
    with pytest.raises(LaunchError, match="/no/such: openat2: No such file") as raised:
        Kernel().openat2(-100, "/no/such", os.O_PATH, 0)
    assert raised.value.facts["errno"] == 2


def test_a_nul_in_a_path_never_reaches_the_kernel():
    with pytest.raises(LaunchError, match="NUL"):
        Kernel().openat2(-100, "/etc\0/passwd", os.O_PATH, 0)


def test_descriptors_of_raw_calls_are_close_on_exec():
    fd = Kernel().openat2(-100, "/", os.O_PATH, 0)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_other_machines_are_refused(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: type("U", (), {"machine": "riscv64"}))
    with pytest.raises(LaunchError, match="riscv64"):
        Kernel()
