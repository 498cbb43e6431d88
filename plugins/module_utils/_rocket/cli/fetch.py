# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket fetch``: references become verified images in the store."""

from __future__ import annotations

import os
import sys

from ..errors import UsageError
from . import options, output, packages, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..fetch.options import FetchOptions
    from .context import Context

COMMAND = options.Command(
    name="fetch",
    usage="[options] IMAGE...",
    summary=(
        "Get images, verify who signed them, and keep them in the store; shows their image IDs. IMAGE is a name with labels, "
        "an https URL, a file, which needs a / in it, or an OCI image: docker://, oci:, oci-archive: or docker-archive:."
    ),
    options=(
        options.Option("--pull-policy", "new (default): what is stored is good enough; update: ask for a newer one; never", "POLICY"),
        options.Option("--image-id", "the whole image ID it must have; then no signature is needed", "ID"),
        options.Option("--name", "the name that a file or URL must hold, or that an OCI image of this host gets", "NAME"),
        options.Option("--signature", "signature of a file or URL (default: the image's own with .asc)", "FILE|URL"),
        options.Option("--ca-file", "authorities that may vouch for an https server, PEM", "FILE"),
        options.Option("--connect-to", "connect there for this host; its certificate is still checked", "HOST=ADDRESS:PORT", True),
        options.Option("--token-server", "where a registry may send for tokens beside itself", "REGISTRY=HOST[:PORT]", True),
        options.Option("--allow-private", "discovery may lead to private addresses"),
        options.Option("--quiet", "no progress and no warnings"),
    ),
    arguments=(1, -1),
    examples=(
        ("rocket fetch example.com/shop/web:1.4.0", "by name, from where example.com says"),
        ("rocket fetch ./web.aci", "a file, with its signature ./web.aci.asc"),
        ("rocket fetch --pull-policy=update example.com/shop/web", "is there a newer one?"),
        ("rocket fetch docker://example.com/shop/web@sha256:...", "of a registry, pinned by its digest"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket fetch``.

    Raises:
        TrustError, FetchError, ArchiveError, StoreError: nothing of the image is in the store.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    packages.reach()
    import time

    from ..fetch.fetcher import Fetcher
    from ..store.store import Store
    from ..trust.keyring import Keyring
    from ..trust.verify import Verifier

    values = parsed.values
    for name in ("--image-id", "--name", "--signature"):
        if values.has(name) and len(parsed.arguments) > 1:
            raise UsageError("is about one image, and several are named", where=name, hint="fetch them one by one")
    store, verifier = Store(context.paths), Verifier(Keyring(context.paths), time.time)
    progress = None if values.flag("--quiet") else meter()
    fetcher = Fetcher(store, verifier, fetch_options(context, values), progress)

    def get(reference: str) -> None:
        try:
            record = fetcher.fetch(reference)
        finally:
            if progress is not None:
                clear_meter()
        output.write(f"{record.id}\n")
        while fetcher.notes:
            text = fetcher.notes.pop(0)
            if not values.flag("--quiet"):
                output.note(f"warning: {text}")

    return several.each(parsed.arguments, get)


def fetch_options(context: Context, values: options.Values) -> FetchOptions:
    """Return what the command line says about fetching."""
    from ..fetch.options import FetchOptions, parse_connection, parse_token_server

    return FetchOptions(
        insecure=context.insecure,
        pull_policy=values.text("--pull-policy", "new"),
        expected_id=values.text("--image-id"),
        name=values.text("--name"),
        signature=values.text("--signature"),
        ca_file=values.text("--ca-file"),
        connect_to=tuple(map(parse_connection, values.every("--connect-to"))),
        token_servers=tuple(map(parse_token_server, values.every("--token-server"))),
        allow_private=values.flag("--allow-private"),
    )


def meter() -> Callable[[int, int], None] | None:
    """Return what shows the progress on the terminal; None where standard error is none."""
    if not os.isatty(2):
        return None
    shown = [""]

    def show(done: int, total: int) -> None:
        text = f"{output.size(done)} of {output.size(total)} ({100 * done // total} %)" if total else output.size(done)
        if text != shown[0]:
            shown[0] = text
            sys.stderr.write(f"\r{text:<40}")
            sys.stderr.flush()

    return show


def clear_meter() -> None:
    """Give the line of the terminal back."""
    sys.stderr.write("\r" + " " * 40 + "\r")
    sys.stderr.flush()
