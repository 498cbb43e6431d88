# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image``: the table of its subcommands, which are in images/."""

from __future__ import annotations

from . import nested, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context
    from .nested import Subcommand

COMMAND = options.Command(
    name="image",
    usage="list | audit | cat-manifest | extract | render | export | verify | build | sign | rm ...",
    summary="List, audit, show, unpack, verify, build, sign and remove images. Each has a --help of its own.",
    examples=(
        ("rocket image list", "what is in the store"),
        ("rocket image audit", "who vouched for it, and would it start today?"),
        ("rocket image verify --all", "is everything as it was fetched and rendered?"),
        ("rocket image build --manifest=web.json --output=web.aci rootfs/", "a directory or a tar becomes an image"),
        ("rocket image sign web.aci", "its signature, by a key of GnuPG"),
        ("rocket image rm sha512-3f21", "free the space of one"),
    ),
)


def _list() -> Subcommand:
    from .images import list as images

    return images


def _audit() -> Subcommand:
    from .images import audit

    return audit


def _cat_manifest() -> Subcommand:
    from .images import cat_manifest

    return cat_manifest


def _build() -> Subcommand:
    from .images import build

    return build


def _sign() -> Subcommand:
    from .images import sign

    return sign


def _rm() -> Subcommand:
    from .images import rm

    return rm


def _extract() -> Subcommand:
    from .images import extract

    return extract


def _render() -> Subcommand:
    from .images import render

    return render


def _export() -> Subcommand:
    from .images import export

    return export


def _verify() -> Subcommand:
    from .images import verify

    return verify


LOADERS = {
    "list": _list,
    "audit": _audit,
    "cat-manifest": _cat_manifest,
    "extract": _extract,
    "render": _render,
    "export": _export,
    "verify": _verify,
    "build": _build,
    "sign": _sign,
    "rm": _rm,
}


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket image``.

    Raises:
        RocketError: the words cannot be understood, or the subcommand refuses.
    """
    return nested.execute(COMMAND, LOADERS, context, words)
