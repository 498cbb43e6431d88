# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket fetch``: references become verified images in the store."""

from __future__ import annotations

from ..errors import UsageError
from . import options, output, packages, progress, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fetch.fetched import Fetched
    from ..fetch.options import FetchOptions
    from .context import Context

NETWORK = (
    options.Option("--ca-file", "authorities that may vouch for an https server, PEM", "FILE"),
    options.Option("--proxy", "go through this proxy, or none; its credentials are in auth.d (default: as configured)", "URL|none"),
    options.Option("--connect-to", "connect there for this host; its certificate is still checked", "HOST=ADDRESS:PORT", True),
    options.Option("--token-server", "where a registry may send for tokens beside itself", "REGISTRY=HOST[:PORT]", True),
    options.Option("--allow-private", "discovery may lead to private addresses"),
)

COMMAND = options.Command(
    name="fetch",
    usage="[options] IMAGE...",
    summary=(
        "Get images, verify who signed them, and keep them in the store; shows their image IDs. IMAGE is a name with labels, "
        "an https URL, a file, which needs a / in it, an OCI image: docker://, oci:, oci-archive: or docker-archive:, or bundle:FILE, "
        "which `rocket image export --bundle` wrote."
    ),
    options=(
        options.Option("--pull-policy", "new (default): what is stored is good enough; update: ask for a newer one; never", "POLICY"),
        options.Option("--image-id", "the whole image ID it must have; then no signature is needed", "ID"),
        options.Option("--name", "the name that a file, URL or bundle must hold, or that an OCI image of this host gets", "NAME"),
        options.Option("--signature", "signature of a file or URL (default: the image's own with .asc)", "FILE|URL"),
        options.Option("--lock", "take the images that this lock file names, and no others", "FILE"),
        options.Option("--render", "make the root file system too, so that the first start of a pod need not"),
        *NETWORK,
        options.Option("--quiet", "no progress, no warnings, and no line about what was fetched"),
    ),
    arguments=(1, -1),
    examples=(
        ("rocket fetch example.com/shop/web:1.4.0", "by name, from where example.com says"),
        ("rocket fetch ./web.aci", "a file, with its signature ./web.aci.asc"),
        ("rocket fetch --pull-policy=update example.com/shop/web", "is there a newer one?"),
        ("rocket fetch docker://example.com/shop/web@sha256:...", "of a registry, pinned by its digest"),
        ("rocket fetch --lock=rocket.lock.yml example.com/shop/web:1.4.0", "what the lock file names, or nothing"),
        ("rocket fetch bundle:/media/shop.bundle", "all images of a bundle, without network"),
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
    from ..fetch.fetcher import Fetcher
    from ..store.store import Store
    from ..trust.late import LateVerifier

    values = parsed.values
    for name in ("--image-id", "--name", "--signature"):
        if values.has(name) and len(parsed.arguments) > 1:
            raise UsageError("is about one image, and several are named", where=name, hint="fetch them one by one")
    store, verifier = Store(context.paths), LateVerifier(context.paths)
    quiet = values.flag("--quiet")
    meter = None if quiet else progress.meter()
    fetcher = Fetcher(store, verifier, fetch_options(context, values), meter)

    def get(reference: str) -> None:
        try:
            fetched = fetcher.get(reference)
        finally:
            if meter is not None:
                progress.clear()
        if not quiet:
            for each in (*fetched.dependencies, *(fetched.named or (fetched,))):
                output.note(told(each))
            for text in fetched.notes:
                output.note(f"warning: {text}")
        output.write("".join(f"{each.record.id}\n" for each in fetched.named or (fetched,)))

    return several.each(parsed.arguments, get)


def told(fetched: Fetched) -> str:
    """Return one line about what was fetched, and who signed it."""
    record, verdict = fetched.record, fetched.record.verdict
    version = dict(record.labels).get("version")
    name = f"{record.name}:{version}" if version else record.name
    image = f"{name} {output.short_id(record.id)}"
    reasons = {
        "signed": f"signed by {', '.join(fetched.signed_by)}{' and pinned' if verdict.pinned else ''}",
        "pinned": f"pinned by its {'digest' if verdict.digest else 'image ID'}",
        "open": "NOT VERIFIED, as the policy is open",
    }
    reason = reasons.get(verdict.kind, "NOT VERIFIED")
    if fetched.place == "store":
        return f"{image} is in the store, {reason}"
    went_on = f", the rest of {output.size(fetched.resumed)} that were there" if fetched.resumed else ""
    size = output.size(fetched.transferred or record.file_size)
    return f"fetched {image} {size} in {fetched.seconds:.1f} s{went_on}, {reason}"


def fetch_options(context: Context, values: options.Values) -> FetchOptions:
    """Return what the command line says about fetching."""
    from ..fetch.options import FetchOptions, parse_connection, parse_token_server
    from ..host.lock_file import read_lock

    return FetchOptions(
        insecure=context.insecure,
        pull_policy=values.text("--pull-policy", "new"),
        lock=read_lock(values.text("--lock")) if values.has("--lock") else None,
        expected_id=values.text("--image-id"),
        render=values.flag("--render"),
        name=values.text("--name"),
        signature=values.text("--signature"),
        ca_file=values.text("--ca-file"),
        layers=context.paths.layers,
        proxy=values.text("--proxy"),
        connect_to=tuple(map(parse_connection, values.every("--connect-to"))),
        token_servers=tuple(map(parse_token_server, values.every("--token-server"))),
        allow_private=values.flag("--allow-private"),
    )
