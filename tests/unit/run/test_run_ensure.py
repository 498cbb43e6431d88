# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import json
import os

import pytest

from _rocket.errors import Busy, NotFound, PodError, TrustError, UsageError
from _rocket.record import replace
from _rocket.run.collect import Grace, collect, plan_gc
from _rocket.run.declaration import Declaration
from _rocket.run.ensure import Means, apply, observe, plan_pod
from _rocket.run.names import Names
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.pods import Pods
from _rocket.run.prepare import prepare, prepare_held, ready_pod

WEB = {"name": "shop", "apps": [{"name": "web", "image": "example.com/web", "environment": {"LOG_LEVEL": "info"}}]}


def trust(verdict, name):
    if verdict.kind == "insecure":
        raise TrustError("not trusted", where=name)


class Host:
    """One host: a store, a starter, and what the pod module does with them."""

    def __init__(self, store, starter) -> None:
        self.store, self.starter, self.paths = store, starter, store.paths
        self.means = Means(store, starter, trust)

    def plan(self, value="web", state="running"):
        value = WEB if value == "web" else value
        declaration = Declaration.from_json(value) if value else None
        self.observed = observe(self.paths, "shop", declaration, self.store)
        return plan_pod(declaration, self.observed, state)

    def ensure(self, value="web", state="running"):
        plan = self.plan(value, state)
        return plan, apply(plan, self.observed, self.means)

    def actions(self, value="web", state="running"):
        return [step.action for step in self.plan(value, state).steps]

    def changed(self, **environment):
        value = copy.deepcopy(WEB)
        value["apps"][0]["environment"] = environment
        return value

    @property
    def named(self):
        return Names(self.paths).find("shop")


@pytest.fixture
def host(make_store, starter):
    return Host(make_store(), starter)


def test_new_then_nothing(host):
    plan, status = host.ensure()
    assert [step.action for step in plan.steps] == ["prepare", "start"] and plan.before is None
    assert status.running and status.name == "shop" and status.generation == 1
    again = host.plan()
    assert not again.changed and again.drift == () and again.before == again.after


def test_what_is_planned_changes_nothing(host, tmp_path):
    before = sorted(os.walk(tmp_path))
    host.plan()
    assert sorted(os.walk(tmp_path)) == before


@pytest.mark.spec("D6")
def test_a_pod_that_ended_is_started_again_as_a_new_pod(host):
    _plan, first = host.ensure()
    host.starter.crash()
    plan, second = host.ensure()
    assert [step.action for step in plan.steps] == ["start"] and plan.drift == ("not running: exited",)
    assert plan.before == plan.after
    assert second.running and second.uuid != first.uuid and second.generation == 1


def test_a_change_says_where_and_is_made_before_the_old_one_stops(host):
    _plan, old = host.ensure()
    host.starter.calls.clear()
    plan, new = host.ensure(host.changed(LOG_LEVEL="debug", NEW="1"))
    assert [step.action for step in plan.steps] == ["prepare", "stop", "start"]
    assert plan.steps[0].reason == "declaration changed at apps[0].environment.LOG_LEVEL, apps[0].environment.NEW"
    assert host.starter.calls == [("stop", old.uuid), ("start", new.uuid)]
    assert (host.named.current, host.named.previous) == (2, 1)
    assert not host.plan(host.changed(LOG_LEVEL="debug", NEW="1")).changed


def test_no_value_of_the_declaration_is_in_a_reason(host):
    host.ensure()
    plan = host.plan(host.changed(LOG_LEVEL="s3cret"))
    assert "s3cret" not in json.dumps(plan.to_json())


def test_a_failing_prepare_leaves_the_old_pod_alone(host):
    host.ensure()
    value = {**host.changed(), "volumes": [{"name": "data", "kind": "host", "source": "/does/not/exist"}]}
    value["apps"][0]["mounts"] = [{"volume": "data", "path": "/d"}]
    host.starter.calls.clear()
    with pytest.raises(NotFound, match="P17"):
        host.ensure(value)
    assert host.starter.calls == [] and host.plan(WEB).steps == ()
    assert "garbage" in [pod.state for pod in Pods(host.paths).list()]


def test_a_start_that_fails_brings_the_previous_generation_back(host):
    host.ensure()
    host.starter.refusals = 1
    with pytest.raises(PodError) as caught:
        host.ensure(host.changed(LOG_LEVEL="debug"))
    assert caught.value.code == "rolled-back" and "no such file" in str(caught.value)
    assert host.named.current == 1 and not host.plan(WEB).changed
    assert host.actions(host.changed(LOG_LEVEL="debug")) == ["prepare", "stop", "start"]


def test_when_nothing_comes_up_the_error_says_both(host):
    host.ensure()
    host.starter.refusals = 2
    with pytest.raises(PodError) as caught:
        host.ensure(host.changed(LOG_LEVEL="debug"))
    assert caught.value.code == "rollback-failed"


def test_a_first_start_that_fails_is_tried_again(host):
    host.starter.refusals = 1
    with pytest.raises(PodError, match="did not start"):
        host.ensure()
    _plan, status = host.ensure()
    assert status.running


def test_an_image_that_is_missing_is_predicted_and_refused(host, make_image):
    value = copy.deepcopy(WEB)
    value["apps"][0]["image"] = "example.com/other:2.0"
    plan = host.plan(value)
    assert plan.changed and [step.action for step in plan.steps] == ["fetch", "prepare", "start"]
    with pytest.raises(NotFound, match=r"example\.com/other:2\.0"):
        apply(plan, host.observed, host.means)
    assert host.named is None
    host.store.records.append(make_image("example.com/other", "b", "2.0"))
    assert host.ensure(value)[1].running


def test_a_newer_import_under_the_same_name_is_another_generation(host, make_image):
    host.ensure()
    host.store.records.insert(0, make_image(digit="c", version="1.1"))
    plan = host.plan()
    assert plan.steps[0].reason.startswith("image changed at apps[0].image.id")
    assert host.ensure()[1].running


def test_other_words_for_the_same_pod_do_not_restart_it(host, make_image):
    _plan, before = host.ensure()
    value = copy.deepcopy(WEB)
    value["apps"][0]["image"] = "example.com/web:1.0"
    plan, after = host.ensure(value)
    assert [step.action for step in plan.steps] == ["record"] and after.uuid == before.uuid
    assert not host.plan(value).changed


def test_prepared_touches_nothing_that_runs_and_is_what_starts_next(host):
    _plan, old = host.ensure()
    new = host.changed(LOG_LEVEL="debug")
    host.starter.calls.clear()
    plan, _status = host.ensure(new, "prepared")
    assert [step.action for step in plan.steps] == ["prepare"] and host.starter.calls == []
    assert not host.plan(new, "prepared").changed
    staged = host.named.staged_pod
    plan, status = host.ensure(new)
    assert [step.action for step in plan.steps] == ["stop", "start"] and status.uuid == staged
    assert host.starter.calls == [("stop", old.uuid), ("start", staged)]


def test_prepared_and_never_started(host):
    _plan, status = host.ensure(state="prepared")
    assert status.state == "prepared" and not host.plan(state="prepared").changed
    plan, started = host.ensure()
    assert [step.action for step in plan.steps] == ["start"] and started.uuid == status.uuid


def test_going_back_on_what_was_only_prepared(host):
    _plan, running = host.ensure()
    host.ensure(host.changed(LOG_LEVEL="debug"), "prepared")
    plan, status = host.ensure()
    assert [step.action for step in plan.steps] == ["record"] and status.uuid == running.uuid and status.running
    assert not host.plan().changed and host.named.staged == 0


def test_stopped(host):
    host.ensure()
    plan, stopped = host.ensure(None, "stopped")
    assert [step.action for step in plan.steps] == ["stop"] and stopped.state == "exited"
    assert (plan.before["state"], plan.after["state"]) == ("running", "stopped")
    assert not host.plan(None, "stopped").changed and not host.plan(WEB, "stopped").changed
    assert host.ensure(None, "running")[1].running


def test_stopped_of_an_unknown_pod_is_as_wanted(host):
    assert not host.plan(None, "stopped").changed
    with pytest.raises(UsageError):
        host.plan(None, "running")
    with pytest.raises(UsageError):
        host.plan(WEB, "restarted")


def test_a_pod_that_ended_by_itself_and_is_to_be_stopped_is_written_down(host):
    host.ensure()
    host.starter.crash()
    host.starter.calls.clear()
    plan, _status = host.ensure(None, "stopped")
    assert [step.action for step in plan.steps] == ["record"] and host.named.wanted == "stopped"
    assert host.starter.calls == [("stop", host.named.pod)], "its unit would start it when the host boots"
    assert not host.plan(None, "stopped").changed


@pytest.mark.parametrize(("state", "running"), [("running", True), ("stopped", False)])
def test_what_starts_the_pod_at_boot_is_put_right_and_the_pod_goes_on(host, state, running):
    host.ensure()
    if not running:
        host.ensure(None, "stopped")
    observed = replace(observe(host.paths, "shop"), kept="its unit differs")
    plan = plan_pod(None, observed, state)
    assert [(step.action, step.reason) for step in plan.steps] == [("settle", "its unit differs")] and plan.drift == ("its unit differs",)
    host.starter.calls.clear()
    apply(plan, observed, host.means)
    assert ("settle", running) in host.starter.calls and "start" not in dict(host.starter.calls)


def test_a_pod_that_is_started_anyway_needs_nothing_put_right(host):
    host.ensure()
    host.starter.crash()
    observed = replace(observe(host.paths, "shop"), kept="its unit differs")
    assert [step.action for step in plan_pod(None, observed, "running").steps] == ["start"]


def test_absent_removes_all_traces_of_it_and_no_other(host):
    host.ensure()
    host.ensure(host.changed(A="1"))
    stranger = prepare(host.paths, host.store, host.observed.generation, standing=trust)
    os.rename(f"{host.paths.pods('prepared')}/{stranger}/origin.json", f"{host.paths.pods('prepared')}/{stranger}/x")
    plan, status = host.ensure(None, "absent")
    assert [step.action for step in plan.steps] == ["stop", "remove"] and status is None
    assert ("forget", "shop") in host.starter.calls
    assert Pods(host.paths).uuids() == (stranger,) and Names(host.paths).list() == ()
    assert not os.path.exists(f"{host.paths.names}/shop")
    assert not host.plan(None, "absent").changed


def test_a_plan_of_yesterday_is_not_applied(host):
    host.ensure()
    plan = host.plan(host.changed(A="1"))
    observed = host.observed
    host.ensure(host.changed(B="1"))
    with pytest.raises(Busy, match="meanwhile"):
        apply(plan, observed, host.means)


def test_trust_is_asked_again_at_every_prepare(host, make_image):
    from _rocket.record import replace
    from _rocket.store.verdict import Verdict

    host.ensure()
    host.starter.crash()
    host.store.records[0] = replace(host.store.records[0], verdict=Verdict("insecure"))
    with pytest.raises(TrustError):
        host.ensure()
    with pytest.raises(TrustError):
        ready_pod(host.paths, host.store, "shop", standing=trust)
    with pytest.raises(TypeError):
        prepare(host.paths, host.store, host.observed.generation)


def test_a_unit_starts_the_prepared_pod_or_a_new_one_of_the_same_generation(host):
    _plan, status = host.ensure()
    host.starter.crash()
    first = ready_pod(host.paths, host.store, "shop", standing=trust)
    assert first != status.uuid and ready_pod(host.paths, host.store, "shop", standing=trust) == first
    assert Pods(host.paths).status(first).digest == status.digest
    with Names(host.paths).lock("shop"):
        assert ready_pod(host.paths, host.store, "shop", standing=trust) == first


def test_what_is_prepared_is_all_there(host):
    value = {**WEB, "volumes": [{"name": "data", "kind": "empty", "mode": "1770", "uid": 5, "gid": 6}]}
    value["apps"] = [{**WEB["apps"][0], "mounts": [{"volume": "data", "path": "/d"}]}]
    mask = os.umask(0o077)
    try:
        _plan, status = host.ensure(value, "prepared")
    finally:
        os.umask(mask)
    location = f"{host.paths.pods('prepared')}/{status.uuid}"
    found = os.stat(f"{location}/volumes/data")
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o1770, 5, 6)
    assert os.stat(f"{location}/apps/web/upper").st_mode & 0o7777 == 0o751
    assert sorted(os.listdir(f"{location}/apps/web")) == ["root", "upper", "work"]
    assert sorted(os.listdir(location)) == ["apps", "launch", "lock", "origin.json", "pod", "volumes"]


@pytest.mark.spec("P19")
def test_a_source_behind_a_link_is_refused(host, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    value = {**WEB, "volumes": [{"name": "data", "kind": "host", "source": f"{tmp_path}/link/x"}]}
    with pytest.raises(PodError, match="P19"):
        host.ensure(value)
    assert Names(host.paths).list() == ()


def test_images_in_use_are_those_of_kept_generations_and_of_pods(host, make_image):
    host.store.records.append(make_image("example.com/two", "b"))
    host.store.records.append(make_image("example.com/three", "c"))
    for name in ("web", "two", "three"):
        value = copy.deepcopy(WEB)
        value["apps"][0]["image"] = f"example.com/{name}"
        host.ensure(value)
    used = Names(host.paths).images_in_use()
    assert used == {"sha512-" + digit * 128 for digit in "abc"}
    collect(plan_gc(host.paths, Grace(garbage=0)), host.paths)
    assert Names(host.paths).images_in_use() == {"sha512-" + digit * 128 for digit in "bc"}


@pytest.mark.parametrize("phase", ["create", "fill", "prepared"])
def test_a_crash_while_preparing_leaves_what_gc_understands(host, phase):
    observed = observe(host.paths, "shop", Declaration.from_json(WEB), host.store)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if phase == "create":
                PodDirectory.create(host.paths)
            elif phase == "fill":
                prepare_held(host.paths, host.store, observed.generation, standing=trust)
            else:
                prepare(host.paths, host.store, observed.generation, standing=trust)
            status = 0
        finally:
            # Whatever happens: a second pytest must not go on from here.
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    (pod,) = Pods(host.paths).list()
    assert pod.state == ("prepared" if phase == "prepared" else "aborted-prepare")
    assert host.ensure()[1].running
    collect(plan_gc(host.paths, Grace(garbage=0, prepared=0)), host.paths)
    assert [pod.state for pod in Pods(host.paths).list()] == ["running"]


@pytest.mark.parametrize("after", ["prepare", "stop", "write"])
def test_a_crash_while_replacing_is_finished_by_the_next_run(host, after, monkeypatch):
    host.ensure()
    new = host.changed(A="1")

    class Crash(BaseException):
        pass

    def crash(*_args, **_kwargs):
        raise Crash

    if after == "prepare":
        monkeypatch.setattr(host.starter, "stop", crash)
    elif after == "stop":
        stopping = host.starter.stop
        monkeypatch.setattr(host.starter, "stop", lambda *args: (stopping(*args), crash()))
    else:
        monkeypatch.setattr(host.starter, "start", crash)
    with pytest.raises(Crash):
        host.ensure(new)
    monkeypatch.undo()
    assert host.plan(new).changed
    assert host.ensure(new)[1].running and not host.plan(new).changed
    assert host.named.previous == 1
