# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The runtime: content-addressed, intact or replaced, kept while in use."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from _rocket.errors import Busy, HostError
from _rocket.host import collect, contents, install, zipapp


@pytest.fixture
def sources(monkeypatch):
    """A small package: the installation is the same for one file as for a hundred."""
    real = contents.sources()
    command = [
        "audit/__init__.py",
        "audit/actor.py",
        "cli/__init__.py",
        *(f"cli/{name}.py" for name in ("main", "context", "options", "output", "version")),
    ]
    kept = {name: data for name, data in real.items() if "/" not in name or name.startswith("host/") or name in command}
    monkeypatch.setattr(contents, "sources", lambda: dict(kept))
    return kept


@pytest.fixture
def place(tmp_path):
    return {"root": str(tmp_path / "libexec"), "link": str(tmp_path / "bin" / "rocket")}


def current(place):
    return f"{place['root']}/{os.readlink(place['root'] + '/current')}"


def test_installed_it_runs_and_the_next_plan_is_empty(sources, place):
    plan = install.plan_install(**place)
    assert [step.action for step in plan.steps] == ["install", "link", "link"]
    assert plan.before is None and not os.path.exists(place["root"])
    install.apply(plan)
    again = install.plan_install(**place)
    assert not again.changed and again.drift == ()
    outcome = subprocess.run([place["link"], "version"], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert f"runtime {current(place)}" in outcome.stdout
    assert not install.plan_install(**place).changed, "running it changed it"


def test_the_launcher_is_isolated_from_its_caller(sources, place, tmp_path):
    install.apply(install.plan_install(**place))
    (tmp_path / "_rocket.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "os.py").write_text("raise SystemExit('hijacked')")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x", "PATH": "/usr/bin:/bin"}
    outcome = subprocess.run(
        [place["link"], "version"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    with open(place["link"]) as launcher:
        assert launcher.readline() == f"#!{os.path.realpath(sys.executable)} -IS\n"


def test_the_directory_runs_too(sources, place):
    install.apply(install.plan_install(**place))
    outcome = subprocess.run([sys.executable, "-IS", current(place), "version"], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_everything_is_compiled_and_readable_by_all_under_any_umask(sources, place):
    old = os.umask(0o077)
    try:
        install.apply(install.plan_install(**place))
    finally:
        os.umask(old)
    directory = current(place)
    compiled = 0
    for parent, directories, files in os.walk(directory):
        for name in directories:
            assert os.stat(f"{parent}/{name}").st_mode & 0o777 == 0o755
        for name in files:
            mode = os.stat(f"{parent}/{name}").st_mode & 0o777
            assert mode == {"rocket": 0o755, "lock": 0o600}.get(name, 0o644), name
            if name.endswith(".pyc"):
                compiled += 1
                with open(f"{parent}/{name}", "rb") as code:
                    assert code.read(8)[4:] == b"\x01\0\0\0", "not an unchecked hash"
    assert compiled == len(sources) + 1  # and __main__


def damaged_source(directory):
    with open(f"{directory}/_rocket/errors.py", "a") as target:
        target.write("# changed\n")


def damaged_code(directory):
    cache = f"{directory}/_rocket/__pycache__"
    name = sorted(name for name in os.listdir(cache) if name.startswith("errors."))[0]
    with open(f"{cache}/{name}", "r+b") as target:
        target.seek(-1, 2)
        target.write(b"\xff")


def removed(directory):
    os.unlink(f"{directory}/_rocket/plan.py")


def shadowing(directory):
    with open(f"{directory}/json.py", "w") as target:
        target.write("raise SystemExit('hijacked')")


def writable(directory):
    os.chmod(f"{directory}/_rocket/errors.py", 0o666)


def link(directory):
    os.rename(f"{directory}/_rocket/errors.py", f"{directory}/../errors.py")
    os.symlink("../../errors.py", f"{directory}/_rocket/errors.py")


def unlisted(directory):
    os.unlink(f"{directory}/files.json")


def unlocked(directory):
    os.unlink(f"{directory}/lock")


@pytest.mark.parametrize("harm", [damaged_source, damaged_code, removed, shadowing, writable, link, unlisted, unlocked])
def test_any_damage_is_seen_and_repaired(sources, place, harm):
    install.apply(install.plan_install(**place))
    harm(current(place))
    plan = install.plan_install(**place)
    assert [step.action for step in plan.steps] == ["install"]
    assert plan.drift and "damaged" in plan.drift[0]
    install.apply(plan)
    assert not install.plan_install(**place).changed
    assert not [name for name in os.listdir(place["root"]) if name.startswith(".")]


def test_other_content_is_another_directory_and_the_old_one_stays(sources, place, monkeypatch):
    install.apply(install.plan_install(**place))
    old = current(place)
    monkeypatch.setattr(contents, "sources", lambda: {**sources, "errors.py": sources["errors.py"] + b"# new\n"})
    plan = install.plan_install(**place)
    assert [step.action for step in plan.steps] == ["install", "link"]
    install.apply(plan)
    assert current(place) != old and os.path.isdir(old)
    assert plan.before == {"digest": os.path.basename(old)}


def test_an_interpreter_that_others_may_replace_is_refused(sources, place, tmp_path):
    weak = tmp_path / "python3"
    weak.write_text("#!/bin/sh\n")
    weak.chmod(0o777)
    with pytest.raises(HostError, match="others than its user may replace"):
        install.plan_install(interpreter=str(weak), **place)
    with pytest.raises(HostError, match="no such interpreter"):
        install.plan_install(interpreter=str(tmp_path / "none"), **place)


def test_an_interpreter_that_fails_leaves_nothing(sources, place, tmp_path):
    bad = tmp_path / "python3"
    bad.write_text("#!/bin/sh\necho is Python 2.7 >&2; exit 1\n")
    bad.chmod(0o755)
    with pytest.raises(HostError, match=r"cannot run rocket: is Python 2\.7"):
        install.apply(install.plan_install(interpreter=str(bad), **place))
    assert os.listdir(place["root"]) == []


def test_a_file_in_the_way_of_the_command_is_not_replaced(sources, place):
    os.makedirs(os.path.dirname(place["link"]))
    with open(place["link"], "w") as other:
        other.write("somebody else's")
    with pytest.raises(HostError, match="in the way"):
        install.plan_install(**place)


def test_a_plan_of_other_sources_is_not_applied(sources, place, monkeypatch):
    plan = install.plan_install(**place)
    monkeypatch.setattr(contents, "sources", lambda: {**sources, "errors.py": b""})
    with pytest.raises(HostError, match="plan again"):
        install.apply(plan)


def test_read_only_usr_means_opt(monkeypatch):
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _path: ReadOnly)
    assert install.default_places() == ("/opt/rocket", "/opt/bin/rocket")


@pytest.fixture
def two(sources, place, monkeypatch):
    install.apply(install.plan_install(**place))
    old = current(place)
    monkeypatch.setattr(contents, "sources", lambda: {**sources, "errors.py": sources["errors.py"] + b"# new\n"})
    install.apply(install.plan_install(**place))
    return old


def test_a_runtime_that_a_process_runs_from_is_kept(two, place):
    """The launcher itself holds the lock; a naive check of current alone would remove the code of live supervisors."""
    root = place["root"]
    code = (
        f"import sys; sys.argv = ['rocket', 'version']; __file__ = {two + '/rocket'!r}\n"
        f"text = open(__file__).read().replace('os._exit(status)', 'pass')\n"
        "exec(compile(text, __file__, 'exec'))\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-IS", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line == "ready\n":
                break
        assert collect.in_use(root) == [os.path.basename(two)]
        assert not collect.plan_collect(root).changed
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()
    assert collect.in_use(root) == []


def test_unused_runtimes_are_removed_and_current_stays(two, place):
    pytest.importorskip("_rocket.image.remove")
    os.mkdir(f"{place['root']}/.staged-4194305")
    plan = collect.plan_collect(place["root"])
    assert {os.path.basename(step.subject) for step in plan.steps} == {os.path.basename(two), ".staged-4194305"}
    assert len(collect.apply(plan)) == 2
    assert collect.installed(place["root"]) == [collect.current(place["root"])]
    assert not collect.plan_collect(place["root"]).changed


def test_the_lock_goes_before_the_files_do(two, place, monkeypatch):
    """A launcher that waits for the lock finds it unlinked and starts again; else it would run from half a runtime."""
    from _rocket.image import remove

    seen = []
    monkeypatch.setattr(remove, "remove_tree", lambda path: seen.append((path, os.path.exists(f"{path}/lock"))))
    collect.apply(collect.plan_collect(place["root"]))
    assert seen == [(two, False)]


def test_uninstalled_nothing_is_left_but_not_while_something_runs(two, place):
    with open(f"{two}/lock") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(Busy, match="stop the pods"):
            collect.plan_uninstall(**place)
    collect.apply(collect.plan_uninstall(**place))
    assert os.listdir(place["root"]) == [] and not os.path.lexists(place["link"])
    assert not collect.plan_uninstall(**place).changed


def test_uninstalling_leaves_a_command_that_is_not_ours(two, place):
    os.unlink(place["link"])
    os.symlink("/bin/true", place["link"])
    collect.apply(collect.plan_uninstall(**place))
    assert os.readlink(place["link"]) == "/bin/true"


def test_one_taken_between_plan_and_removal_is_kept(two, place):
    plan = collect.plan_collect(place["root"])
    with open(f"{two}/lock") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert collect.apply(plan) == []
    assert os.path.isdir(two)


def test_a_launcher_that_lost_the_race_starts_again_with_the_current_one(two, place):
    os.symlink(os.path.basename(two), place["root"] + "/old")
    started = f"{two}/rocket"
    # The removal holds the lock while the launcher waits for it, then switches what the link names.
    with open(f"{two}/lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        text = open(started).read()
        assert "st_nlink" in text
        link = place["root"] + "/run-me"
        os.symlink(started, link)
        process = subprocess.Popen([sys.executable, "-IS", link, "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not waits_for_lock(process.pid):
            assert process.poll() is None, process.stderr.read()
        os.unlink(link)
        os.symlink(place["root"] + "/current/rocket", link)
        os.unlink(f"{two}/lock")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"runtime {current(place)}" in output


def waits_for_lock(pid):
    try:
        with open(f"/proc/{pid}/wchan") as where, open(f"/proc/{pid}/syscall") as call:
            return "lock" in where.read() or call.read().split()[0] == "73"
    except OSError:
        return False


def test_zipapp_is_one_reproducible_file_that_runs(sources, tmp_path):
    first = zipapp.build(str(tmp_path / "one"))
    assert zipapp.build(str(tmp_path / "two")) == first
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
    outcome = subprocess.run([str(tmp_path / "one"), "version"], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "appc 0.8.11" in outcome.stdout


def test_the_runtime_can_be_installed_from_the_zip(tmp_path):
    """From a module's payload there is no directory to copy: everything comes through pkgutil."""
    pytest.importorskip("_rocket.image.remove")
    archive = str(tmp_path / "rocket.zip")
    zipapp.build(archive)
    code = (
        f"import sys; sys.path.insert(0, {archive!r})\n"
        "from _rocket.host import install\n"
        f"install.apply(install.plan_install({str(tmp_path / 'libexec')!r}, link={str(tmp_path / 'rocket')!r}))\n"
    )
    outcome = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert outcome.returncode == 0, outcome.stderr
    plan = install.plan_install(str(tmp_path / "libexec"), link=str(tmp_path / "rocket"))
    assert not plan.changed, "zip and checkout give different runtimes"
