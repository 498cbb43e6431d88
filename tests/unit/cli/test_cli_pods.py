# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the subcommands about pods show and refuse, without a running one."""

from __future__ import annotations

import json

import pytest

from _rocket.cli import enter, list, logs, main, status
from _rocket.errors import NotFound, UsageError
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.pods import AppStatus, PodStatus

ID = "sha512-" + "ab" * 64
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
HOSTILE = "x\x1b[2J\ny"


@pytest.fixture
def rocket(paths, capsys):
    def call(*words):
        code = main.main([f"--dir={paths.data}", f"--local-config={paths.local}", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def pod(*apps, **fields):
    return PodStatus(UUID, "shop", "running", apps=apps, network="none", **fields)


def app(name="web", image="example.com/shop/web", **state):
    return AppStatus(name, ID, image, "running", state)


def test_nothing_is_an_empty_list_in_json_and_heads_alone_in_a_table(rocket):
    assert rocket("list", "--format=json") == (0, "[]\n", "")
    assert rocket("list")[1].split()[0] == "UUID"
    assert rocket("list", "--quiet") == (0, "", "")
    assert rocket("image", "list", "--format=json") == (0, "[]\n", "")
    assert json.loads(rocket("gc", "--format=json")[1]) == {"changed": False, "drift": [], "frees": 0, "steps": []}
    assert rocket("gc") == (0, "", "")


def test_a_line_an_app_and_the_pod_only_once():
    rows = list.rows(pod(app("web"), app("cache")), full=False)
    assert [row[2] for row in rows] == ["web", "cache"]
    assert rows[0][0] == UUID[:8] and rows[1][0].strip() == ""
    assert list.rows(pod(app()), full=True)[0][0] == UUID
    assert list.rows(pod(), full=False)[0][0] == UUID[:8]


def test_names_of_a_hostile_image_do_not_reach_the_terminal():
    text = status.text(pod(app(exit_status=3), ended='{"reason": "' + "x\\u001b[2J\\ny" + '"}'))
    assert "\x1b" not in text
    assert "ended=x\\x1b[2J\\ny\n" in text and "app-web=3\n" in text
    assert status.text(pod(ended=HOSTILE)).count("\x1b") == 0


def test_lines_of_logs_for_a_terminal():
    assert logs.visible(b"a\tb \xc3\xa9 \x1b[2J\r \xff \xc2\x9b1m") == b"a\tb \xc3\xa9 \\x1b[2J\\r \\xff \\x9b1m"


def test_a_prepared_pod_cannot_be_entered_and_an_unknown_one_not_found(rocket, paths):
    with PodDirectory.create(paths, UUID) as made:
        made.move("prepared")
    code, _rest, errors = rocket("enter", UUID[:6])
    assert code == 254 and "the pod is prepared" in errors
    assert "there is no such pod" in rocket("enter", "nothing")[2]


def test_which_app_is_entered():
    one, two = {"apps": [{"name": "web"}]}, {"apps": [{"name": "web"}, {"name": "cache"}]}
    assert enter.which_app(one, "") == "web" and enter.which_app(two, "cache") == "cache"
    with pytest.raises(UsageError, match="web, cache"):
        enter.which_app(two, "")
    with pytest.raises(NotFound):
        enter.which_app(one, "cache")


@pytest.mark.parametrize("command", ["status", "logs", "stop", "rm", "enter", "cat-manifest", "run-prepared"])
@pytest.mark.parametrize("name", ["../../etc", "a/b", "%i", "a\nb", "\x1b[2J", "x" * 300, "."])
def test_names_that_are_none_touch_nothing(rocket, command, name, paths, tmp_path):
    """L19: a naive join would leave the pods' directory."""
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    code, output, errors = rocket(command, name)
    assert code == 254 and output == "" and errors.count("\n") == 1 and "\x1b" not in errors
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_waiting_for_what_does_not_run_returns(rocket, paths):
    with PodDirectory.create(paths, UUID) as made:
        made.move("run")
    code, output, _rest = rocket("status", "--wait", "--format=json", UUID)
    assert code == 0 and json.loads(output)["state"] == "exited"


def test_waiting_has_a_limit(rocket, paths):
    with PodDirectory.create(paths, UUID) as made:
        made.move("run")
        code, _rest, errors = rocket("status", "--wait", "--timeout=0", UUID)
        assert code == 254 and "still runs" in errors
        code, _rest, errors = rocket("rm", UUID)
        assert code == 254 and "locked" in errors


@pytest.mark.parametrize(
    "words", [["list", "--format=yaml"], ["status"], ["logs", "--tail=-1", "x"], ["gc", "--grace-period=1x"], ["image", "lst"]]
)
def test_words_that_mean_nothing(rocket, words):
    code, _rest, errors = rocket(*words)
    assert code == 254 and errors.count("\n") == 1


def test_image_alone_shows_its_help(rocket):
    assert rocket("image", "--help")[1].startswith("Usage: rocket image list")
    for name in ("list", "cat-manifest", "build", "rm"):
        text = rocket("image", name, "--help")[1]
        assert text.startswith(f"Usage: rocket image {name}") and max(map(len, text.splitlines())) <= 80


def test_a_pod_that_ended_without_a_word_is_not_left_unexplained():
    exited = PodStatus(UUID, "shop", "exited", apps=(), network="none")
    assert "ended=without a word: its supervisor was killed" in status.text(exited)
    assert "ended=" not in status.text(pod())
    assert "without a word" not in status.text(PodStatus(UUID, "shop", "exited", apps=(), network="none", ended='{"reason": "stopped"}'))
