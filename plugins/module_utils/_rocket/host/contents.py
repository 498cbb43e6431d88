# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: F401
"""Every file of the package, each as a literal import, and their source text.

AnsiballZ ships what it sees imported: these imports carry the whole runtime to a host. The list of files is read from the
imports themselves, so that what is shipped and what is installed cannot differ. ``tests/unit/host/test_host_contents.py``
keeps it complete against the directory.
"""

from __future__ import annotations

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator

VERSION = "1.0.0"
PACKAGE = __name__.rpartition(".host.")[0]


def names() -> list[str]:
    """Return every file of the package, relative to it, sorted: ``cli/main.py``.

    Raises:
        HostError: this file's own source cannot be read.
    """
    import ast

    found = {"__init__.py"}
    tree = ast.parse(_read("host/contents.py"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_carry_"):
            found.update(_imported(node))
    return sorted(found)


def _imported(function: ast.FunctionDef) -> Iterator[str]:
    import ast

    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            directory = "".join(f"{part}/" for part in (["host", *parts] if node.level == 1 else parts))
            if directory:
                yield f"{directory}__init__.py"
            yield from (f"{directory}{alias.name}.py" for alias in node.names)


def sources() -> dict[str, bytes]:
    """Return the source of every file by its name: from a checkout, an installed runtime or a module's zip.

    Raises:
        HostError: one cannot be read; a runtime with a hole is never made.
    """
    return {name: _read(name) for name in names()}


def _read(name: str) -> bytes:
    import pkgutil

    try:
        data = pkgutil.get_data(PACKAGE, name)
    except OSError as error:
        raise HostError(f"the package lacks a file of its own ({error.strerror})", where=name, hint="take a whole copy of it") from error
    if data is None:
        raise HostError("the source of the package cannot be read from where it was loaded", where=name)
    return data


# Never called: what these functions import is shipped.


def _carry_base() -> None:
    from .. import command, errors, paths, plan, platform, record


def _carry_cli() -> None:
    from ..cli import (
        audit,
        cat_manifest,
        config,
        context,
        declare,
        enter,
        export,
        fetch,
        gc,
        image,
        launch,
        list,
        lock,
        logs,
        main,
        nested,
        options,
        output,
        packages,
        pod_line,
        pod_options,
        prepare,
        progress,
        rm,
        run,
        run_prepared,
        several,
        status,
        stop,
        trust,
        trust_policy,
        version,
        words,
    )


def _carry_cli_audits() -> None:
    from ..cli.audits import export, head, show, verify


def _carry_cli_images() -> None:
    from ..cli.images import audit, build, cat_manifest, export, extract, list, manifest_options, render, rm, sign, verify


def _carry_fetch() -> None:
    from ..fetch import (
        addresses,
        bundle_closure,
        bundle_file,
        bundled,
        closure,
        configuration,
        credentials,
        discovery,
        download,
        fetched,
        fetcher,
        gather,
        keys,
        layered,
        layered_verdict,
        locking,
        options,
        places,
        reference,
        rendering,
        single,
        stored,
        under_lock,
        verification,
    )


def _carry_fetch_sources() -> None:
    from ..fetch.sources import base, docker_archive, files, layout, names, opener, registry, token


def _carry_fetch_transports() -> None:
    from ..fetch.transports import answers, base, client, dial, file, hop, https, registry, tunnel, watchdog


def _carry_host() -> None:
    from . import (
        collect,
        contents,
        entry,
        fleet_answers,
        fleet_audit,
        fleet_page,
        garbage,
        gnupg,
        image_audit,
        image_file,
        install,
        leftovers,
        lock_file,
        offered_keys,
        sign,
        systemd,
        zipapp,
    )


def _carry_image() -> None:
    from ..image import (
        attributes,
        build,
        bundle,
        check,
        compose,
        compress,
        compression,
        extract,
        fields,
        findings,
        header,
        layers,
        layout,
        limits,
        listing,
        merged_tree,
        new_directory,
        oci_config,
        oci_convert,
        oci_users,
        pax,
        remove,
        resolve,
        sandbox,
        source_directory,
        source_tar,
        space,
        stream,
        tar,
        unpack,
        xattrs,
        zstd,
    )


def _carry_run() -> None:
    from ..run import (
        collect,
        declaration,
        declared_images,
        declared_isolators,
        differences,
        ensure,
        enter,
        export,
        isolation,
        last_had,
        launch_record,
        logs,
        names,
        pod_directory,
        pod_plan,
        pods,
        prepare,
        process,
        reify,
        starter,
        stop,
        supervise,
        template,
    )


def _carry_run_cgroup() -> None:
    from ..run.cgroup import base, detect, v1, v2


def _carry_run_linux() -> None:
    from ..run.linux import (
        capabilities,
        confine,
        constants,
        devices,
        identity,
        kernel,
        programs,
        report,
        rootfs,
        terminal,
        volumes,
    )


def _carry_run_stage1() -> None:
    from ..run.stage1 import base, children, life, namespaces, output, status


def _carry_spec() -> None:
    from ..spec import (
        addresses,
        app,
        bundle,
        canonical,
        changes,
        exposed_port,
        identifier,
        image_manifest,
        image_name,
        isolator_values,
        isolators,
        lock,
        oci_manifest,
        oci_reference,
        pod_manifest,
        quantity,
        reading,
        seccomp,
        syscalls,
        values,
        volume,
    )


def _carry_audit() -> None:
    from ..audit import actor, append_only, chain, line, log, segments


def _carry_store() -> None:
    from ..store import (
        blobs,
        bundle,
        catalogue,
        collect,
        dependencies,
        files,
        locked,
        locks,
        operator_file,
        partial,
        publish,
        record,
        remembered,
        render,
        staged_tree,
        staging,
        store,
        trees,
        unused,
        usage,
        verdict,
        verify,
        watermarks,
    )


def _carry_trust() -> None:
    from ..trust import (
        admission,
        describe,
        key_file,
        keyring,
        late,
        layout,
        listing,
        other_form,
        own_key,
        policy,
        policy_file,
        refusals,
        second_opinion,
        standing,
        strangers,
        usability,
        verify,
    )


def _carry_trust_openpgp() -> None:
    from ..trust.openpgp import armor, certificate, key, mathematics, packets, signature, subkey
