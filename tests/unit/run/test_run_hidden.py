# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of a declaration are in no plan and no diff (L41)."""

from __future__ import annotations

import json

import pytest

from _rocket.run.declaration import Declaration
from _rocket.run.differences import hidden
from _rocket.run.pod_plan import Observed, plan_pod


def short(**environment):
    return {"apps": [{"name": "web", "image": "example.com/web", "environment": environment}], "state": "running"}


def spec(**environment):
    listed = [{"name": name, "value": value} for name, value in environment.items()]
    return {"manifest": {"apps": [{"name": "web", "app": {"exec": ["/web"], "environment": listed}}]}}


@pytest.mark.parametrize("form", [short, spec])
def test_values_are_hidden_and_a_change_shows(form):
    before, after = form(A="s3cret-1", B="s3cret-2", environment="s3cret-3"), form(A="s3cret-1", B="s3cret-4", C="s3cret-5")
    shown = json.dumps([hidden(before), hidden(after, before)])
    assert "s3cret" not in shown
    assert shown.count("another value than before") == 1
    assert hidden(before) == hidden(before, before)
    assert hidden(form(A="x"), None) == form(A="(hidden)")


def test_the_rest_of_a_declaration_stays():
    value = short()
    assert hidden(value) == value


@pytest.mark.parametrize("state", ["running", "stopped", "absent"])
def test_no_value_of_a_declaration_is_in_a_plan(state):
    declaration = Declaration.from_json({"name": "shop", "apps": short(TOKEN="s3cret")["apps"]})
    plan = plan_pod(declaration, Observed("shop", missing=("example.com/web",)), state)
    assert "s3cret" not in json.dumps([plan.to_diff(), plan.to_json()])
    assert state == "absent" or "TOKEN" in plan.to_diff()["after"]
