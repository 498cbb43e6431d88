# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Isolators: values, scopes, and what must not stand together."""

from __future__ import annotations

import pytest

from _rocket.errors import SpecError
from _rocket.spec.isolators import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    ISOLATORS,
    Resource,
    SeccompSet,
    SelinuxContext,
    find_isolator,
    parse_isolators,
)

OS = "os/linux/"
CONTEXT = {"user": "u", "role": "r", "type": "t", "level": "s0:c1,c2"}
LIMIT = {"default": True, "limit": "1M"}


def read(scope, *pairs):
    return parse_isolators([{"name": name, "value": value} for name, value in pairs], "isolators", scope)


EVERY_ISOLATOR = (
    *("os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set", "os/linux/selinux-context", "os/linux/apparmor-profile"),
    *("os/linux/capabilities-remove-set", "os/linux/capabilities-retain-set", "os/linux/no-new-privileges", "os/linux/oom-score-adj"),
    *("os/linux/cpu-shares", "resource/cpu", "resource/memory", "resource/block-bandwidth", "resource/block-iops"),
    *("resource/network-bandwidth", "os/unix/sysctl"),
)
GOOD = [
    (OS + "seccomp-remove-set", {"set": ["reboot", "reboot"]}, SeccompSet(("reboot",))),
    (OS + "seccomp-remove-set", {"set": ["@appc.io/empty"], "errno": "ENOTSUP"}, SeccompSet(("@appc.io/empty",), "ENOTSUP")),
    (OS + "seccomp-retain-set", {"set": ["@appc.io/all", "read"], "errno": ""}, SeccompSet(("@appc.io/all", "read"))),
    (OS + "seccomp-retain-set", {"set": ["@docker/default-whitelist"]}, SeccompSet(("@docker/default-whitelist",))),
    (OS + "selinux-context", CONTEXT, SelinuxContext("u", "r", "t", "s0:c1,c2")),
    (OS + "apparmor-profile", {"profile": "web"}, "web"),
    (OS + "capabilities-remove-set", {"set": ["CAP_KILL"]}, ("CAP_KILL",)),
    (OS + "capabilities-retain-set", {"set": ["CAP_NET_ADMIN", "CAP_BPF"]}, ("CAP_NET_ADMIN", "CAP_BPF")),
    (OS + "no-new-privileges", False, False),
    (OS + "oom-score-adj", -1000, -1000),
    (OS + "cpu-shares", 262144, 262144),
    ("resource/cpu", {"request": "250m", "limit": "1.5"}, Resource(250, 1500)),
    ("resource/memory", {"limit": "1G"}, Resource(None, 10**9)),
    ("resource/memory", {"request": "0", "limit": "1Gi", "default": False}, Resource(0, 1 << 30)),
    ("resource/block-bandwidth", LIMIT, Resource(None, 10**6)),
    ("resource/block-iops", LIMIT, Resource(None, 10**6)),
    ("resource/network-bandwidth", LIMIT, Resource(None, 10**6)),
    ("os/unix/sysctl", {"net.core.somaxconn": "1", "kernel.sem": "1 2\t3"}, (("kernel.sem", "1 2\t3"), ("net.core.somaxconn", "1"))),
    ("appc.rocket/pids", {"limit": 64}, 64),
    ("appc.rocket/pids", 64, 64),
]


@pytest.mark.spec("T6", *EVERY_ISOLATOR)
@pytest.mark.parametrize(("name", "value", "parsed"), GOOD)
def test_values(name, value, parsed):
    scope = ISOLATORS[name][0][0]
    (isolator,) = read(scope, (name, value))
    assert isolator.parsed == parsed
    assert type(isolator.parsed) is type(parsed)
    assert isolator.to_json() == {"name": name, "value": value}
    assert isolator.known


def test_every_isolator_has_a_good_value_here():
    assert {name for name, _ignored, _ignored in GOOD} == set(ISOLATORS)
    assert {*EVERY_ISOLATOR, "appc.rocket/pids"} == set(ISOLATORS)


SET = [{}, {"set": []}, {"set": None}, {"set": "CAP_KILL"}, {"set": [1]}, {"set": [""]}, {"set": ["a", None]}, [], "x", 1]
BAD = {
    OS + "seccomp-remove-set": [
        *SET,
        *({"set": [name]} for name in ("Reboot", "a b", "reboot\n", "reboots", "@x", "@/x", "@", "@a/../b", "@x/y", "@appc.io/all")),
        {"set": ["reboot", "reboots"]},
        *({"set": ["reboot"], "errno": errno} for errno in ("EFOO", "eperm", 1, "1", " EPERM")),
    ],
    OS + "seccomp-retain-set": [*SET, {"set": ["@appc.io/empty"]}, {"set": ["@appc.io/other"]}, {"set": ["read", "-1"]}],
    OS + "selinux-context": [{}, *({**CONTEXT, part: value} for part in CONTEXT for value in ("", None, 1, "a b", "a\n", "\0"))]
    + [{**CONTEXT, part: "a:b"} for part in ("user", "role", "type")],
    OS + "apparmor-profile": [{}, {"profile": ""}, {"profile": "a\nb"}, {"profile": " a"}, {"profile": 1}, "web"],
    OS + "capabilities-remove-set": [*SET, {"set": ["CAP_FLY"]}, {"set": ["KILL"]}, {"set": ["cap_kill"]}, {"set": ["ALL"]}],
    OS + "capabilities-retain-set": [*SET, {"set": ["CAP_ALL"]}, {"set": ["CAP_KILL", "CAP_KILL "]}],
    OS + "no-new-privileges": ["true", 1, 0, {}, []],
    OS + "oom-score-adj": [-1001, 1001, True, "1", {}],
    OS + "cpu-shares": [1, 262145, True, "2"],
    "resource/cpu": [
        {},
        {"limit": "0"},
        {"limit": True},
        {"request": "2", "limit": "1"},
        {"limit": "1", "default": True},
        "1",
        1,
        {"limit": "-1"},
    ],
    "resource/memory": [
        {},
        {"limit": None},
        {"limit": "16m"},
        {"limit": "4095"},
        {"request": "16m", "limit": "1G"},
        {"limit": 1.5},
        {"request": "2G", "limit": "1G"},
        {"limit": "1G", "default": True},
        {"limit": "1G", "default": "yes"},
    ],
    "resource/block-bandwidth": [{}, {"limit": "1M"}, {"default": True}, {"default": False, "limit": "1M"}, {**LIMIT, "request": "1"}],
    "resource/block-iops": [{"default": "true", "limit": "1"}, {"default": True, "limit": "0"}],
    "resource/network-bandwidth": [{"default": 1, "limit": "1"}, {**LIMIT, "limit": "1MB"}],
    "os/unix/sysctl": [
        {},
        [],
        "x",
        {"net.x": 1},
        {"net.x": "1\n2"},
        {"net.x": "1\0"},
        {"net/x": "1"},
        {"net..x": "1"},
        {"net.": "1"},
        {"net": "1"},
    ]
    + [{key: "1"} for key in ("kernel.core_pattern", "kernel.semx", "vm.swappiness", "Net.x", "fs.file-max", "../net.x", "net.x\n", "")],
    "appc.rocket/pids": [{}, {"limit": 0}, {"limit": "64"}, 0, -1, True, "64", {"limit": True}, 1 << 23],
}


@pytest.mark.spec("I5", *EVERY_ISOLATOR)
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_refused_values(name, value):
    with pytest.raises(SpecError) as refused:
        read(ISOLATORS[name][0][0], (name, value))
    assert str(refused.value).startswith("isolators[0].value")
    assert refused.value.rule in ("I3", "I4", "I5")
    assert "\n" not in str(refused.value)


def test_every_isolator_has_bad_values_here():
    assert set(BAD) == set(ISOLATORS)


@pytest.mark.spec("T6")
@pytest.mark.parametrize("name", [*ISOLATORS, "example.com/unknown"])
@pytest.mark.parametrize("item", [{}, {"value": None}])
def test_a_value_is_required(name, item):
    with pytest.raises(SpecError, match=r"^isolators\[0\]\.value: is required \(T6\)$"):
        parse_isolators([{"name": name, **item}], "isolators", "app")


@pytest.mark.spec("I2", "M12")
def test_an_unknown_isolator_is_kept_as_it_is():
    value = [{"name": "example.com/color", "value": {"x": [1, None]}, "why": "art"}]
    (isolator,) = parse_isolators(value, "isolators", "pod")
    assert isolator.parsed is None
    assert not isolator.known
    assert [isolator.to_json()] == value


@pytest.mark.spec("P11")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value, _ignored in GOOD if ISOLATORS[name][0] == ("app",)])
def test_an_isolator_of_apps_is_refused_on_a_pod(name, value):
    with pytest.raises(SpecError, match="belongs on an app, not on a pod") as refused:
        read("pod", (name, value))
    assert refused.value.rule == "P11"


def test_an_isolator_of_pods_is_refused_on_an_app():
    with pytest.raises(SpecError, match="belongs on a pod, not on an app"):
        read("app", ("os/unix/sysctl", {"net.core.somaxconn": "1"}))


def test_the_scopes_of_the_table():
    assert {name for name, (scopes, _ignored) in ISOLATORS.items() if scopes == ("app", "pod")} == {
        OS + "selinux-context",
        OS + "apparmor-profile",
        "resource/cpu",
        "resource/memory",
        "resource/block-bandwidth",
        "resource/block-iops",
        "resource/network-bandwidth",
        "appc.rocket/pids",
    }


@pytest.mark.spec("I5")
@pytest.mark.parametrize(
    ("pairs", "path"),
    [
        ([(OS + "seccomp-remove-set", {"set": ["read"]}), (OS + "seccomp-retain-set", {"set": ["read"]})], "isolators[1].name"),
        ([(OS + "seccomp-retain-set", {"set": ["read"]}), (OS + "seccomp-remove-set", {"set": ["read"]})], "isolators[1].name"),
        (
            [(OS + "capabilities-retain-set", {"set": ["CAP_KILL"]}), (OS + "capabilities-remove-set", {"set": ["CAP_KILL"]})],
            "isolators[1].name",
        ),
        (
            [(OS + "capabilities-remove-set", {"set": ["CAP_KILL"]}), (OS + "capabilities-retain-set", {"set": ["CAP_KILL"]})],
            "isolators[1].name",
        ),
        ([(OS + "cpu-shares", 4), ("resource/cpu", {"request": "1"})], "isolators[0].name"),
        ([("resource/cpu", {"limit": "1"}), ("x", 1), ("resource/cpu", {"limit": "2"})], "isolators[2].name"),
        ([("x", 1), ("x", 1)], "isolators[1].name"),
    ],
)
def test_what_must_not_stand_together(pairs, path):
    with pytest.raises(SpecError) as refused:
        read("app", *pairs)
    assert (refused.value.path, refused.value.rule) == (path, "I5")


def test_a_cpu_limit_and_shares_may_stand_together():
    assert len(read("app", (OS + "cpu-shares", 4), ("resource/cpu", {"limit": "1"}))) == 2


def test_the_message_about_a_pair_names_both_once():
    with pytest.raises(SpecError) as refused:
        read("app", (OS + "capabilities-remove-set", {"set": ["CAP_KILL"]}), (OS + "capabilities-retain-set", {"set": ["CAP_KILL"]}))
    assert "capabilities-retain-set and os/linux/capabilities-remove-set exclude" in str(refused.value)


@pytest.mark.spec("I3")
def test_a_request_is_the_limit_where_absent():
    assert Resource(None, 5).guaranteed == 5
    assert Resource(0, 5).guaranteed == 0
    assert Resource(3, None).guaranteed == 3


def test_capabilities_are_those_of_the_kernel():
    assert len(CAPABILITIES) == 41
    assert (CAPABILITIES[0], CAPABILITIES[12], CAPABILITIES[21], CAPABILITIES[27], CAPABILITIES[31], CAPABILITIES[40]) == (
        "CAP_CHOWN",
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
        "CAP_MKNOD",
        "CAP_SETFCAP",
        "CAP_CHECKPOINT_RESTORE",
    )
    assert len(set(DEFAULT_CAPABILITIES)) == 14
    assert set(DEFAULT_CAPABILITIES) < set(CAPABILITIES)
    assert "CAP_SYS_ADMIN" not in DEFAULT_CAPABILITIES


def test_a_capability_nearly_named_is_suggested():
    with pytest.raises(SpecError, match="did you mean CAP_NET_ADMIN"):
        read("app", (OS + "capabilities-retain-set", {"set": ["NET_ADMIN"]}))


def test_finding():
    isolators = read("app", ("x", 1), ("resource/cpu", {"limit": "1"}))
    assert find_isolator(isolators, "resource/cpu") is isolators[1]
    assert find_isolator(isolators, "y") is None


@pytest.mark.parametrize(
    "value", [None, {}, "x", [1], [None], [[]], [{"name": 1, "value": 1}], [{"value": 1}], [{"name": "A", "value": 1}]]
)
def test_shapes(value):
    with pytest.raises(SpecError):
        parse_isolators(value, "isolators", "app")


def test_a_scope_that_is_none_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="scope"):
        parse_isolators([], "", "host")


def test_the_message_about_a_pair_in_the_other_order():
    with pytest.raises(SpecError, match="capabilities-remove-set and os/linux/capabilities-retain-set exclude"):
        read("app", (OS + "capabilities-retain-set", {"set": ["CAP_KILL"]}), (OS + "capabilities-remove-set", {"set": ["CAP_KILL"]}))


def test_a_missing_limit_is_named():
    with pytest.raises(SpecError, match=r"^isolators\[0\]\.value\.limit: is required"):
        read("app", ("resource/block-iops", {"default": True}))
