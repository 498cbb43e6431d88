# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/trust.md: its examples are what the product reads and runs, its words and codes are those of the code."""

from __future__ import annotations

import os
import pathlib
import re

import yaml

from _rocket.cli import main
from _rocket.store.verdict import Rule
from _rocket.trust import policy
from _rocket.trust.policy import Policy, load

TOP = pathlib.Path(__file__).resolve().parents[3]
TEXT = (TOP / "docs" / "trust.md").read_text(encoding="utf-8")
MODEL = (TOP / "docs" / "security-model.md").read_text(encoding="utf-8")
TRUST = TOP / "plugins" / "module_utils" / "_rocket" / "trust"
(JSON,) = re.findall(r"^`/etc/rocket/policy\.json`:\n\n```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(YAML,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.split("#")[0].split() for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


def test_the_policy_of_the_page_is_one_and_means_what_the_page_says(paths):
    os.makedirs(paths.local)
    pathlib.Path(paths.local, "policy.json").write_text(JSON, encoding="utf-8")
    os.chmod(f"{paths.local}/policy.json", 0o644)
    found = load(paths)
    shop = found.rule_for("example.com/shop/web")
    assert (shop.require, shop.threshold, len(shop.keys)) == ("signed", 2, 3)
    words = {
        name: found.rule_for(name).require for name in ("example.com/shop/scratch/x", "registry.example.com/y", "example.com/shopping")
    }
    assert list(words.values()) == ["open", "pinned", "refuse"]


def test_the_commands_of_the_page_run(paths, tmp_path, monkeypatch, capsys):
    test_the_policy_of_the_page_is_one_and_means_what_the_page_says(paths)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(YAML, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    where = [f"--local-config={paths.local}", f"--system-config={paths.system}", f"--dir={paths.data}"]
    ran = []
    for program, *words in COMMANDS:
        assert program == "rocket"
        # Those need a key file, or a key.
        if not any(word.startswith(("--prefix", "--remove")) for word in words):
            assert main.main([*where, *words]) == 0, capsys.readouterr().err
            ran.append(words[1].partition("=")[0])
    assert ran == ["--list", "--check-policy", "--policy", "--policy"]


def test_the_policy_of_a_fleet_is_one():
    assert Policy.from_json(yaml.safe_load(YAML)["rocket_trust_policy"]).rule_for("x").require == "refuse"


def table(text, head):
    rows = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1] for row in rows]


def test_the_words_and_numbers_are_those_of_the_code():
    assert [word.strip(" `") for word in table(TEXT, "| `require` |")] == list(policy.WORDS)
    assert "`second_opinion` is " + ", ".join(f"`{word}`" for word in policy.OPINIONS[:3]) in TEXT and f"`{policy.OPINIONS[3]}`" in TEXT
    assert (
        f"at most {policy.MOST_SIGNERS}" in TEXT
        and policy.BUILT_IN.default == Rule()
        and f"Without either the rule is `{Rule().require}`" in TEXT
    )


def test_every_code_is_in_both_tables():
    raised = set()
    for name in ("admission", "policy", "refusals"):
        raised.update(re.findall(r'code="([a-z-]+)"', (TRUST / f"{name}.py").read_text(encoding="utf-8")))
    told = {code for cell in table(TEXT, "| Code | Means |") for code in re.findall(r"`([a-z-]+)`", cell)}
    assert told == raised - {"untrusted"}
    assert raised <= {code for cell in table(MODEL, "| Class | Cases |") for code in re.findall(r"`([a-z-]+)`", cell)}


def test_links_of_the_page_lead_somewhere():
    for page in ("docs/trust.md", "docs/adr/0009-trust-policy.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)", (TOP / page).read_text(encoding="utf-8")):
            assert (TOP / page).parent.joinpath(target).is_file(), target
