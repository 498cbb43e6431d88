# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket trust``: whose signature counts for which image names."""

from __future__ import annotations

import os
import sys

from ..errors import FetchError, NotFound, TrustError, UsageError, printable
from . import options, output, packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..fetch.keys import Keys
    from ..trust.describe import KeyDescription
    from ..trust.keyring import Keyring
    from .context import Context

KEY_LIMIT = 1 << 20

COMMAND = options.Command(
    name="trust",
    usage="[--prefix=PREFIX | --root] [--fingerprint=HEX] [KEY...] | --list | --policy [NAME] | --check-policy=FILE",
    summary=(
        "Trust a key for the image names below a prefix. KEY is a file or an https URL with an armored OpenPGP key; without one, "
        "the prefix's own site is asked for its keys. The key is shown and a person asked, unless --fingerprint says which key it must be."
    ),
    options=(
        options.Option("--prefix", "image names the key may sign: this name and all below it", "PREFIX"),
        options.Option("--root", "the key may sign every image"),
        options.Option("--fingerprint", "the full fingerprint that the key must have; nobody is asked", "HEX"),
        options.Option("--ca-file", "authorities that may vouch for an https server, PEM", "FILE"),
        options.Option("--list", "list the keys that are trusted"),
        options.Option("--remove", "trust this key no longer for --prefix or --root", "FINGERPRINT"),
        options.Option("--policy", "show the policy in force, or of an image name which rule decides and which keys count"),
        options.Option("--check-policy", "is this file, JSON or YAML, a policy? changes nothing", "FILE"),
        options.Option("--format", "of --list and --policy: table (default) or json", "FORMAT"),
        options.Option("--quiet", "do not show the key when --fingerprint is given"),
    ),
    arguments=(0, -1),
    examples=(
        ("rocket trust --prefix=example.com/shop /tmp/release-key.asc", "review a key file"),
        ("rocket trust --prefix=example.com/shop", "ask example.com for its keys"),
        ("rocket trust --root --fingerprint=0CD8...40 digits...", "see --list for fingerprints"),
        ("rocket trust --list", "who is trusted for what"),
        ("rocket trust --remove=FINGERPRINT --prefix=example.com/shop", "end the trust"),
        ("rocket trust --policy example.com/shop/web", "what is asked of this image"),
        ("rocket trust --check-policy=group_vars/all.yml", "before it goes to git"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket trust``.

    Raises:
        UsageError: the words contradict each other.
        TrustError, FetchError: a key is refused or cannot be had.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    packages.reach()
    from ..trust.keyring import Keyring

    keyring = Keyring(context.paths)
    values = parsed.values
    if values.flag("--policy") or values.has("--check-policy"):
        from . import trust_policy

        return trust_policy.execute(context, keyring, values, parsed.arguments)
    if values.flag("--list"):
        if parsed.arguments or values.has("--remove"):
            raise UsageError("lists keys and does nothing else", where="--list")
        return _list(keyring, values)
    prefix = _prefix(values)
    if values.has("--remove"):
        if parsed.arguments:
            raise UsageError("takes a fingerprint, no key file", where="--remove")
        return _remove(keyring, values.text("--remove"), prefix)
    found = _keys(parsed.arguments, prefix, context, values.text("--ca-file"))
    if values.has("--fingerprint") and len(found) > 1:
        found = _only(found, values.text("--fingerprint"))
    for where, armored in found:
        _add(keyring, armored, where, prefix, values)
    return 0


def _prefix(values: options.Values) -> str | None:
    if values.has("--prefix") == values.flag("--root"):
        raise UsageError("exactly one of --prefix=PREFIX and --root is needed", where="rocket trust")
    return values.text("--prefix") if values.has("--prefix") else None


def _list(keyring: Keyring, values: options.Values) -> int:
    rows: list[dict[str, Any]] = []
    for key in keyring.list():
        certificate, state = key.certificate, "trusted"
        if key.masked:
            state = "masked"
        elif key.problem:
            state = f"does not count: {key.problem.what}"
        rows.append(
            {
                "prefix": key.prefix or None,
                "fingerprint": key.fingerprint,
                "identities": list(certificate.identities) if certificate else [],
                "expires": (certificate.expires or None) if certificate else None,
                "layer": key.layer,
                "path": key.path,
                "state": state,
            }
        )
    if values.choice("--format", ("table", "json"), "table") == "json":
        output.write(output.json_text(rows))
        return 0
    cells = [
        [row["prefix"] or "(every image)", row["fingerprint"], ", ".join(row["identities"]), output.when(row["expires"]), row["state"]]
        for row in rows
    ]
    output.write(output.table(["PREFIX", "FINGERPRINT", "IDENTITIES", "EXPIRES", "STATE"], cells))
    return 0


def _remove(keyring: Keyring, fingerprint: str, prefix: str | None) -> int:
    plan = keyring.remove(fingerprint, prefix)
    if not plan.changed:
        output.note(f"{plan.subject} is not trusted for {prefix or 'every image'}; nothing to do")
    for step in plan.steps:
        verb = "masked the vendor's key" if step.action == "mask" else "removed the key"
        output.note(f"{verb} {plan.subject} for {prefix or 'every image'}")
    return 0


def _keys(arguments: Sequence[str], prefix: str | None, context: Context, ca_file: str) -> list[tuple[str, bytes]]:
    if arguments:
        return [(text, _read(text, context, ca_file)) for text in arguments]
    if prefix is None:
        raise UsageError("a key file or URL is missing", where="rocket trust --root", hint="only a prefix has a site that can be asked")
    return _discovered(prefix, context, ca_file)


def _read(text: str, context: Context, ca_file: str) -> bytes:
    from ..store.files import read_limited

    if "://" in text:
        return _get(text, context, ca_file)
    try:
        return read_limited(os.path.realpath(text), KEY_LIMIT)
    except FileNotFoundError as error:
        raise NotFound("there is no such key file", where=text, hint="give a file, or a URL with https://") from error


def _of_site(context: Context, ca_file: str) -> Keys:
    from ..fetch.keys import Keys
    from ..fetch.options import FetchOptions

    # Keys over http have their own relaxation: the one for images does not cover what images are verified with.
    insecure = ("http",) if "pubkey" in context.insecure else ()
    return Keys(FetchOptions(insecure=insecure, ca_file=ca_file, layers=context.paths.layers))


def _get(url: str, context: Context, ca_file: str) -> bytes:
    if url.startswith("http://") and "pubkey" not in context.insecure:
        raise FetchError("a key is not fetched over http", where=url, hint="use https, or allow it with --insecure-options=pubkey")
    return _of_site(context, ca_file).get(url)


def _discovered(prefix: str, context: Context, ca_file: str) -> list[tuple[str, bytes]]:
    keys = _of_site(context, ca_file)
    found = keys.discover(prefix)
    if not found.pubkeys:
        raise NotFound("the site names no keys", where=found.page, hint="get the key file from the owner: rocket trust --prefix=PREFIX KEY")
    return [(url, keys.get(url)) for url in found.pubkeys]


def _only(found: list[tuple[str, bytes]], fingerprint: str) -> list[tuple[str, bytes]]:
    """Return the one of several keys that has the fingerprint given."""
    from ..trust.keyring import check_fingerprint

    wanted = check_fingerprint(fingerprint)
    fitting = [(where, armored) for where, armored in found if _describe(armored, where).fingerprint == wanted]
    if not fitting:
        raise TrustError(
            f"none of {len(found)} keys has the fingerprint {wanted}", hint="ask the owner which is right", code="key-mismatch"
        )
    return fitting[:1]


def _describe(armored: bytes, where: str) -> KeyDescription:
    import time

    from ..trust.describe import describe

    return describe(armored, printable(where), int(time.time()))


def _add(keyring: Keyring, armored: bytes, where: str, prefix: str | None, values: options.Values) -> None:
    description = _describe(armored, where)
    fingerprint = values.text("--fingerprint")
    if not (fingerprint and values.flag("--quiet")):
        scope = f'prefix "{prefix}"' if prefix else "EVERY image"
        output.note(f"key for {scope}, from {where}:")
        for line in description.lines():
            output.note(f"  {line.strip()}")
    if not values.has("--fingerprint"):
        _ask(where)
        fingerprint = description.fingerprint
    plan = keyring.add(armored, fingerprint, prefix)
    if plan.changed:
        path = dict(plan.steps[0].facts)["path"]
        output.note(f"trusted {plan.subject} for {prefix or 'every image'}, kept at {path}")
    else:
        output.note(f"{plan.subject} was trusted for {prefix or 'every image'} before; nothing to do")


def _ask(where: str) -> None:
    """Have a person compare the fingerprint.

    Raises:
        UsageError: nobody can be asked.
        TrustError: the answer is not yes.
    """
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody can be asked whether it is right", where=where, hint="give its full fingerprint with --fingerprint=HEX")
    sys.stderr.write("Does the owner confirm this fingerprint, over another channel? (yes/no) ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise TrustError("not trusted: the fingerprint was not confirmed", where=where)
