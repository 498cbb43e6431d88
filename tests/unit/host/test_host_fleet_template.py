# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The page of a fleet as a browser reads it: hosts put text into it, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fleet_hosts import SCRIPT, answers

from _rocket.host.fleet_audit import fleet
from _rocket.host.fleet_page import page

jinja2 = pytest.importorskip("jinja2", reason="missing ability: the Python package jinja2")
TEMPLATES = Path(__file__).resolve().parents[3] / "playbooks" / "templates"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The tags, attributes and texts of a page; what is not closed in order is an error."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.open = set(), set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    """Return what a page holds; it has to be whole."""
    found = Page()
    found.feed(text)
    found.close()
    assert found.open == [] and text.startswith("<!DOCTYPE html>")
    return found


def hostile(value):
    """Return an answer with every text of it, names of labels too, replaced by what a page must not run."""
    if isinstance(value, dict):
        # States and kinds choose what is shown where; a host can say whatever it likes there as well.
        return {name: hostile(member) if name not in ("code", "head") else member for name, member in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return SCRIPT if isinstance(value, str) else value


def render(*entries):
    document = fleet(entries, [str(entry["host"]) for entry in entries], None, 1795669444).document
    # As Ansible's template module sets it.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (TEMPLATES / "audit.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(__audit_fleet={"page": page(document)})


def evil():
    entry = hostile(answers(SCRIPT))
    entry["image_info"]["images"][0]["labels"] = {SCRIPT: SCRIPT, "version": SCRIPT}
    entry["image_info"]["images"][0]["verdict"].update(policy={"prefix": SCRIPT, "require": SCRIPT}, insecure_options=[SCRIPT])
    entry["image_info"]["images"][0]["standing"]["good"] = False
    entry["image_info"]["damaged"] = [SCRIPT]
    entry["audit_info"].update(intact=False, problems=[{"code": SCRIPT, "seq": 1, "what": SCRIPT}])
    return entry


def test_every_expression_of_the_page_is_escaped():
    tree = jinja2.Environment().parse((TEMPLATES / "audit.html.j2").read_text(encoding="utf-8"))
    outputs = [node for output in tree.find_all(jinja2.nodes.Output) for node in output.nodes]
    shown = [node for node in outputs if not isinstance(node, jinja2.nodes.TemplateData)]
    assert len(shown) > 20
    assert [node.lineno for node in shown if not (isinstance(node, jinja2.nodes.Filter) and node.name == "e")] == []


def test_texts_of_a_hostile_host_stay_texts():
    plain, attacked = read(render(answers("a"))), read(render(answers("a"), evil()))
    assert attacked.tags == plain.tags and attacked.attributes == plain.attributes and "script" not in plain.tags
    assert not plain.attributes & {"src", "href", "srcset", "action", "style"}, "the page asks for nothing and leads nowhere"
    assert "".join(attacked.texts).count("<script>alert(1)</script>") > 10, "it is shown, as what it is"
    assert "<script" not in render(evil()) and "<img" not in render(evil())


def test_the_page_says_all_that_an_auditor_asks_for():
    text = "".join(read(render(answers("a.example.com"))).texts)
    for said in ("example.com/shop/web 1.0", "a.example.com", "Release " + "c" * 40, "2026-11-26", "shop (running)", "7 events", "trusted"):
        assert said in text
    assert text.index("Images") < text.index("Hosts") < text.index("Keys")


def test_a_browser_runs_nothing_of_it(tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("missing ability: the program chromium")
    (tmp_path / "audit.html").write_text(render(answers("a"), evil()), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    outcome = subprocess.run([*command, f"file://{tmp_path}/audit.html"], capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "Would not start today" in outcome.stdout and "<script" not in outcome.stdout and "<img" not in outcome.stdout
