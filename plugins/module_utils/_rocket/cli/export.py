# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket export``: an app of a pod that ended becomes an image."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="export",
    usage="[--app=APP] [--name=NAME] [--version=VERSION] POD FILE",
    summary=(
        "Make an image of an app of a pod that does not run any more: its root file system as it left it, and what it ran. What is in "
        "volumes is not part of it. POD is a name, a UUID or the beginning of one."
    ),
    options=(
        options.Option("--app", "which app of the pod, where it has several", "APP"),
        options.Option("--name", "name of the new image (default: that of the app's image)", "NAME"),
        options.Option("--version", "its label version (default: that of the app's image)", "VERSION"),
        options.Option("--compression", "gzip (default), bzip2, xz, none, or zstd, which only rocket reads", "FORM"),
        options.Option("--overwrite", "replace FILE if it exists"),
    ),
    arguments=(2, 2),
    examples=(("rocket export --version=1.4.0-debug shop web.aci", "then look into it: rocket image extract ./web.aci web"),),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket export``.

    Raises:
        NotFound, Ambiguous: which pod is meant.
        Busy: it runs.
        PodError: which app is meant; it was never prepared.
        ArchiveError, SpecError, UsageError: the image cannot be written.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..image.compression import FORMATS
    from ..run.export import Wanted, export
    from ..run.pods import Pods
    from ..store.store import Store

    values = parsed.values
    wanted = Wanted(
        parsed.arguments[1],
        app=values.text("--app"),
        name=values.text("--name"),
        version=values.text("--version"),
        compression=values.choice("--compression", FORMATS, "gzip"),
        overwrite=values.flag("--overwrite"),
    )
    exported = export(Store(context.paths), Pods(context.paths).find(parsed.arguments[0]), wanted)
    for warning in exported.warnings:
        output.note(warning)
    output.write(f"{exported.image_id}\n")
    return 0
