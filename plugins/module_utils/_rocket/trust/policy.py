# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy of a host: what is asked of the images below which prefix (docs/trust.md).

One file, ``policy.json``; the operator's replaces the vendor's whole. One rule alone decides about a name, the one of the most specific
prefix: nothing is inherited and nothing is added up. A file that cannot be read as it should be refuses everything. ``run`` imports this
file, and JSON only where there is a policy.

Not handled here: writing it (policy_file.py), whether a verdict meets a rule (admission.py).
"""

from __future__ import annotations

import os

from ..errors import HostError, SpecError, TrustError
from ..record import Record
from ..spec.identifier import check_ac_identifier
from ..store.verdict import Rule
from . import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths
    from ..spec.reading import Node

FILE = "policy.json"
VERSION = 1
WORDS = ("signed", "pinned", "signed-or-pinned", "open", "refuse")
OPINIONS = ("none", "gpgv", "sqv", "any")
MOST_SIGNERS = 16
_MEND = "mend it (`rocket trust --check-policy=FILE`); until then no image is taken and none runs"


class Policy(Record):
    """What a policy file says.

    Attributes:
        path: of the file; empty for the built-in policy, which counts where there is none.
        default: the rule of names that no prefix covers; None refuses them.
        prefixes: one rule a prefix, sorted.
    """

    path: str = ""
    default: Rule | None = None
    prefixes: tuple[Rule, ...] = ()

    @classmethod
    def from_json(cls, value: Any, path: str = "") -> Policy:
        """Return the policy in the JSON object `value`, strictly: who misspells a member would lose what it says.

        Raises:
            SpecError: names the JSON path of what is wrong.
        """
        from ..spec.reading import Node

        return read_policy(Node(value, path))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members of rules that have their default are left out."""
        default = {} if self.default is None else {"default": _to_json(self.default)}
        return {"version": VERSION, **default, "prefixes": {rule.prefix: _to_json(rule) for rule in self.prefixes}}

    def rule_for(self, name: str) -> Rule:
        """Return the one rule that decides about the image name `name`; where there is none, one that refuses it.

        Raises:
            SpecError: `name` is not an AC identifier (T1).
        """
        rules = {rule.prefix: rule for rule in self.prefixes}
        for prefix in reversed(layout.prefixes_of(name)):
            if prefix in rules:
                return rules[prefix]
        return self.default or Rule(require="refuse")


BUILT_IN = Policy("", Rule())


def _to_json(rule: Rule) -> dict[str, Any]:
    value: dict[str, Any] = {"require": rule.require}
    if rule.threshold != 1:
        value["threshold"] = rule.threshold
    if rule.keys:
        value["keys"] = list(rule.keys)
    if rule.second_opinion != "none":
        value["second_opinion"] = rule.second_opinion
    return value


def load(paths: Paths) -> Policy:
    """Return the policy of a host: the operator's file, else the vendor's, else the built-in one.

    Raises:
        TrustError: ``policy-malformed``: a file is not as it should be, or can be written by others. The other one does not
            take its place.
    """
    for directory in (paths.local, paths.system):
        path = f"{directory}/{FILE}"
        if _is_there(directory, path):
            return read_file(path)
    return BUILT_IN


def read_file(path: str) -> Policy:
    """Return the policy in a file of the host.

    Raises:
        TrustError: ``policy-malformed``; names the file, and the place in it.
    """
    from ..record import replace
    from ..store.operator_file import read

    try:
        return replace(read(path, read_policy), path=path)
    except (HostError, SpecError) as error:
        raise _malformed(error.what, error.where, f"{error.hint}; {_MEND}" if error.hint else _MEND) from error
    except OSError as error:
        # That it is gone since it was looked for is no reason to go without.
        raise _malformed(f"cannot be read: {error.strerror or error}", path, _MEND) from error


def _malformed(what: str, where: str, hint: str) -> TrustError:
    return TrustError(f"the policy is refused: {what}", where=where, code="policy-malformed", hint=hint)


def _is_there(directory: str, path: str) -> bool:
    """Return whether there is a policy file; refuses a directory in which everyone could remove or replace it."""
    try:
        if os.stat(directory).st_mode & 0o1002 == 0o002:
            raise _malformed("everyone may write to its directory", directory, "make its mode 0755, and check what is in it")
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _malformed(f"cannot be looked at: {error.strerror or error}", path, _MEND) from error
    return True


def read_policy(node: Node) -> Policy:
    """Return the policy that a document holds.

    Raises:
        SpecError: names the JSON path of what is wrong.
    """
    _refuse_null(node)
    version = node.required("version")
    if version.integer(0, 1 << 31) != VERSION:
        raise version.error(f"version {VERSION} of a policy was expected")
    default, prefixes = node.optional("default"), node.required("prefixes")
    node.refuse_unknown()
    _refuse_null(prefixes)
    rules = []
    for name in prefixes.members():
        found = prefixes.required(name)
        rules.append(_rule(found, _prefix(name, found.path)))
    return Policy("", None if default is None else _rule(default, ""), tuple(sorted(rules, key=lambda rule: rule.prefix)))


def _refuse_null(node: Node) -> None:
    """Refuse members without a value: a threshold of null is no threshold, and was probably meant to be one."""
    from ..spec.reading import join

    for name, value in node.members().items():
        if value is None:
            raise SpecError("null is no value here", path=join(node.path, name), hint="leave the member out")


def _prefix(name: str, path: str) -> str:
    try:
        return check_ac_identifier(name, path)
    except SpecError as error:
        error.hint = "a prefix covers what is below it without a mark: example.com/shop"
        raise


def _rule(node: Node, prefix: str) -> Rule:
    _refuse_null(node)
    require = node.required("require")
    threshold, keys, opinion = node.optional("threshold"), node.optional("keys"), node.optional("second_opinion")
    node.refuse_unknown()
    word = _one_of(require, WORDS)
    for member in (threshold, keys, opinion):
        if member is not None and word not in ("signed", "signed-or-pinned"):
            raise SpecError(f"means nothing where `{word}` is required", path=member.path, hint="it is about signatures: leave it out")
    fingerprints = () if keys is None else _fingerprints(keys)
    number = 1 if threshold is None else threshold.integer(1, MOST_SIGNERS)
    if fingerprints and threshold is not None and number > len(fingerprints):
        raise threshold.error(f"at most {len(fingerprints)} was expected, as many as there are keys")
    return Rule(prefix, word, number, fingerprints, "none" if opinion is None else _one_of(opinion, OPINIONS))


def _one_of(node: Node, words: tuple[str, ...]) -> str:
    from ..spec.identifier import nearest

    text = node.text()
    if text not in words:
        near = nearest(text, words)
        raise node.error(f"one of {' '.join(words)} was expected", hint=f"did you mean {near}?" if near else "")
    return text


def _fingerprints(node: Node) -> tuple[str, ...]:
    found: list[str] = []
    for item in node.items():
        plain = layout.plain_fingerprint(item.text())
        if not layout.is_fingerprint(plain):
            raise item.error("a full fingerprint was expected, 40 hex digits", hint="a shorter key ID can be forged: `gpg --fingerprint`")
        if plain in found:
            raise item.error("a key counts once, and this one is there before")
        found.append(plain)
    if not found:
        raise SpecError("must not be empty", path=node.path, hint="leave it out where every trusted key counts")
    return tuple(found)
