# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket trust --policy`` and ``--check-policy``: the policy in force, which rule decides about a name, and whether a file is one."""

from __future__ import annotations

from ..errors import SpecError, UsageError
from ..record import replace
from ..store.verdict import Rule
from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..trust.keyring import Keyring
    from ..trust.policy import Policy
    from .context import Context

# What a file of variables calls a policy; the first one that is there counts.
VARIABLES = ("rocket_trust_policy", "trust_policy")
BUILT_IN = "(built in)"


def execute(context: Context, keyring: Keyring, values: options.Values, arguments: Sequence[str]) -> int:
    """Carry out ``rocket trust --policy`` and ``--check-policy``.

    Raises:
        UsageError: the words contradict each other.
        TrustError: ``policy-malformed``.
        SpecError: the file to be checked is no policy; names the place in it.
    """
    others = [name for name in ("--prefix", "--fingerprint", "--ca-file", "--remove") if values.has(name)]
    others += [name for name in ("--root", "--list", "--quiet") if values.flag(name)]
    if others or (values.has("--check-policy") and (values.flag("--policy") or arguments)) or len(arguments) > 1:
        named = "--check-policy" if values.has("--check-policy") else "--policy"
        raise UsageError("does nothing else", where=named, hint="rocket trust --policy [NAME], or rocket trust --check-policy=FILE")
    from ..trust.policy import load

    form = values.choice("--format", ("table", "json"), "table")
    if values.has("--check-policy"):
        path = values.text("--check-policy")
        _show(replace(_checked(path), path=path), form)
    elif arguments:
        _show_name(keyring, load(context.paths), arguments[0], form)
    else:
        _show(load(context.paths), form)
    return 0


def _checked(path: str) -> Policy:
    """Return the policy in a file, JSON or YAML, which may be one of variables; raises UsageError and SpecError, which name it."""
    import os

    from ..host.lock_file import read_yaml
    from ..spec.reading import load
    from ..store.files import read_limited
    from ..trust.policy import Policy

    value: Any = read_yaml(path)
    if path.endswith(".json"):
        # What YAML takes is not always JSON.
        value = load(read_limited(os.path.realpath(path)), path)
    where = next((name for name in VARIABLES if name in value), "") if isinstance(value, dict) else ""
    try:
        return Policy.from_json(value[where] if where else value, where)
    except SpecError as error:
        error.where = f"{path}: {error.where}" if error.where else path
        raise


def _show(policy: Policy, form: str) -> None:
    if form == "json":
        output.write(output.json_text({"file": policy.path, "policy": policy.to_json()}))
        return
    rules = [*policy.prefixes, policy.default or Rule(require="refuse")]
    output.write(f"policy: {policy.path or BUILT_IN}\n")
    output.write(output.table(["PREFIX", "REQUIRE", "SIGNERS", "SECOND OPINION"], [[_prefix(rule), *_row(rule)] for rule in rules]))
    keys = [[_prefix(rule), key] for rule in rules for key in rule.keys]
    if keys:
        output.write("\n" + output.table(["PREFIX", "KEYS THAT COUNT"], keys))


def _prefix(rule: Rule) -> str:
    return rule.prefix or "(all others)"


def _row(rule: Rule) -> tuple[str, str, str]:
    if not rule.needs_signature(pinned=False):
        return rule.require, "", ""
    return rule.require, f"{rule.threshold} of {len(rule.keys)} keys" if rule.keys else f"{rule.threshold} trusted", rule.second_opinion


def _show_name(keyring: Keyring, policy: Policy, name: str, form: str) -> None:
    rule = policy.rule_for(name)
    keys = _keys(keyring, rule, name) if rule.needs_signature(pinned=False) else []
    if form == "json":
        output.write(output.json_text({"file": policy.path, "name": name, "rule": rule.to_json(), "keys": keys}))
        return
    require, signers, opinion = _row(rule)
    rows = [["policy:", policy.path or BUILT_IN], ["rule of:", _prefix(rule)], ["require:", require]]
    rows += [["signers:", signers], ["second opinion:", opinion]] if signers else []
    output.write(output.table([name, ""], rows))
    if signers:
        output.write(
            "\n" + output.table(["KEY", "STATE", "IDENTITY"], [[key["fingerprint"], key["state"], key["identity"]] for key in keys])
        )


def _keys(keyring: Keyring, rule: Rule, name: str) -> list[dict[str, str]]:
    """Return the keys that count for a name; of those that do not, such as the policy names and nobody trusts, why."""
    import time

    from ..trust.usability import key_problem

    now = int(time.time())
    trusted = {key.fingerprint: key.certificate for key in keyring.keys_for(name)}
    found = []
    for fingerprint in rule.keys or sorted(trusted):
        certificate = trusted.get(fingerprint)
        identity = certificate.identities[0] if certificate is not None and certificate.identities else ""
        problem = None if certificate is None else key_problem(certificate, now, name)
        state = "not trusted" if certificate is None else problem.code if problem is not None else "counts"
        found.append({"fingerprint": fingerprint, "identity": identity, "state": state})
    return found
