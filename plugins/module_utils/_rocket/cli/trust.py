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

    from ..fetch.options import FetchOptions
    from ..plan import Plan
    from ..trust.keyring import Keyring
    from ..trust.listing import ListedKey
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
        options.Option("--connect-to", "connect there for this host; its certificate is still checked", "HOST=ADDRESS:PORT", True),
        options.Option("--list", "list the keys of this host, and how many images of its store each signed"),
        options.Option("--name", "of --list: only the keys whose prefix covers this image name", "NAME"),
        options.Option("--remove", "trust this key no longer for --prefix or --root", "FINGERPRINT"),
        options.Option("--mask", "as --remove, and whatever copy the vendor brings later does not count either", "FINGERPRINT"),
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
        ("rocket trust --list --name=example.com/shop/web", "who may sign this image"),
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
    ends = [name for name in ("--remove", "--mask") if values.has(name)]
    if values.flag("--list"):
        if parsed.arguments or ends:
            raise UsageError("lists keys and does nothing else", where="--list")
        return _list(keyring, context, values)
    if values.has("--name"):
        raise UsageError("belongs to --list", where="--name")
    prefix = _prefix(values)
    if ends:
        if parsed.arguments or len(ends) > 1:
            raise UsageError("takes a fingerprint and nothing else", where=ends[0])
        plan = keyring.remove if ends == ["--remove"] else keyring.mask
        return _end(plan(values.text(ends[0]), prefix), prefix)
    for where, armored in _keys(parsed.arguments, prefix, context, values):
        _add(keyring, armored, where, prefix, values)
    return 0


def _prefix(values: options.Values) -> str | None:
    if values.has("--prefix") == values.flag("--root"):
        raise UsageError("exactly one of --prefix=PREFIX and --root is needed", where="rocket trust")
    return values.text("--prefix") if values.has("--prefix") else None


def _list(keyring: Keyring, context: Context, values: options.Values) -> int:
    from ..store.store import Store
    from ..trust.listing import listing

    keys = listing(keyring, Store(context.paths).images(), values.text("--name"))
    if values.choice("--format", ("table", "json"), "table") == "json":
        output.write(output.json_text([key.to_json() for key in keys]))
        return 0
    output.write(_table(keys))
    return 0


def _table(keys: Sequence[ListedKey]) -> str:
    """Return two lines a key: a fingerprint that is cut is of no use, and beside all the rest it fits no terminal."""
    cells = [
        [key.prefix or "(every image)", key.state, output.day(key.expires), len(key.images), ", ".join(key.identities)] for key in keys
    ]
    heads, *lines = output.table(["PREFIX", "STATE", "EXPIRES", "IMAGES", "IDENTITIES"], cells).splitlines()
    second = [f"    {printable(key.fingerprint)}" + (f"  {printable(key.problem)}" if key.problem else "") for key in keys]
    return "\n".join([heads, *(text for pair in zip(lines, second) for text in pair)]) + "\n"


def _end(plan: Plan, prefix: str | None) -> int:
    """Tell what became of the plan that a key counts no longer."""
    if not plan.changed:
        output.note(f"{plan.subject} is not trusted for {prefix or 'every image'}; nothing to do")
    for step in plan.steps:
        verb = "masked" if step.action == "mask" else "removed"
        output.note(f"{verb} the key {plan.subject} for {prefix or 'every image'}")
    return 0


def _keys(arguments: Sequence[str], prefix: str | None, context: Context, values: options.Values) -> list[tuple[str, bytes]]:
    """Return the keys that are to be trusted; one alone where its fingerprint was given."""
    from ..host import offered_keys

    fingerprint, where = values.text("--fingerprint"), _site_options(context, values)
    if arguments:
        given = [(text, _read(text, context, where)) for text in arguments]
        return [offered_keys.pick(given, fingerprint)] if fingerprint and len(given) > 1 else given
    if prefix is None:
        raise UsageError("a key file or URL is missing", where="rocket trust --root", hint="only a prefix has a site that can be asked")
    if fingerprint:
        return [offered_keys.pick_discovered(prefix, where, fingerprint)]
    return list(offered_keys.discovered(prefix, where))


def _read(text: str, context: Context, where: FetchOptions) -> bytes:
    from ..store.files import read_limited

    if "://" in text:
        return _get(text, context, where)
    try:
        return read_limited(os.path.realpath(text), KEY_LIMIT)
    except FileNotFoundError as error:
        raise NotFound("there is no such key file", where=text, hint="give a file, or a URL with https://") from error


def _site_options(context: Context, values: options.Values) -> FetchOptions:
    from ..fetch.options import FetchOptions, parse_connection

    # Keys over http have their own relaxation: the one for images does not cover what images are verified with.
    insecure = ("http",) if "pubkey" in context.insecure else ()
    connect_to = tuple(map(parse_connection, values.every("--connect-to")))
    return FetchOptions(insecure=insecure, ca_file=values.text("--ca-file"), layers=context.paths.layers, connect_to=connect_to)


def _get(url: str, context: Context, where: FetchOptions) -> bytes:
    from ..fetch.keys import Keys

    if url.startswith("http://") and "pubkey" not in context.insecure:
        raise FetchError("a key is not fetched over http", where=url, hint="use https, or allow it with --insecure-options=pubkey")
    return Keys(where).get(url)


def _add(keyring: Keyring, armored: bytes, where: str, prefix: str | None, values: options.Values) -> None:
    from ..host.offered_keys import described

    description = described(armored, where)
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
