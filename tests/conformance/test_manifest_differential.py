# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Our reading of manifests against that of the specification's own library (`actool validate`, Debian's appc-spec).

Where we differ, a row of manifest_differences.py says so; a difference that no row explains is a defect of one of the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import actool
import manifest_differences
import manifest_rows
import pytest

from _rocket.errors import SpecError
from _rocket.spec.image_manifest import parse_image_manifest
from _rocket.spec.pod_manifest import parse_pod_manifest


class Case(NamedTuple):
    """A document of the corpus, what it should show, and what we and the library said of it."""

    name: str
    document: bytes
    manifest: object
    kind: str
    wanted: str | None


def refusal(case: Case) -> SpecError | None:
    """Return our error, or None where we accept the document."""
    try:
        (parse_pod_manifest if case.kind == "PodManifest" else parse_image_manifest)(case.document)
    except SpecError as error:
        return error
    return None


def _picked():
    for what, manifest, difference in manifest_rows.ROWS:
        document = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        value = json.loads(document)
        yield Case(
            what, document, value, "PodManifest" if "Pod" in str(value.get("acKind", value.get("apps"))) else "ImageManifest", difference
        )


def _generated():
    """What manifest_corpus.py prints: in a process of its own, since hypothesis draws from the modules that are loaded, too."""
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "manifest_corpus"], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    for name, kind, manifest in json.loads(done.stdout):
        yield Case(name, json.dumps(manifest).encode(), manifest, kind, None)


class Answers(NamedTuple):
    """The whole corpus with our answers and the library's."""

    cases: list[tuple[Case, SpecError | None, actool.Verdict]]
    differences: actool.Differences


@pytest.fixture(scope="module")
def answers(tmp_path_factory, program):
    validator, place = program("actool"), tmp_path_factory.mktemp("actool")
    cases = {case.document: case for case in (*_generated(), *_picked())}
    paths = [place / str(number) for number in range(len(cases))]
    for path, document in zip(paths, cases):
        path.write_bytes(document)
    verdicts = actool.validate(validator, paths)
    return Answers(
        [(case, refusal(case), verdict) for case, verdict in zip(cases.values(), verdicts)], actool.Differences(manifest_differences.ROWS)
    )


def test_every_difference_is_meant_and_every_meant_one_is_seen(answers):
    unexplained = []
    for case, we, it in answers.cases:
        found = answers.differences.explain(case.manifest, we, it)
        if found:
            unexplained.append(f"{case.name}: {found}\n  {case.document.decode()}")
    assert not unexplained, "\n".join([f"{len(unexplained)} of {len(answers.cases)}:", *unexplained[:20]])
    assert answers.differences.unused() == []


def test_what_was_picked_shows_what_it_was_picked_for(answers):
    rows = {row.name: row for row in manifest_differences.ROWS}
    wrong = []
    for case, we, it in answers.cases:
        if case.wanted is not None:
            alone = actool.Differences([rows[case.wanted]] if case.wanted else [])
            found = alone.explain(case.manifest, we, it)
            if found or bool(alone.hits) != bool(case.wanted):
                wrong.append(f"{case.name}: {case.wanted or 'we agree'}: {found or 'no difference'}")
    assert wrong == []


def test_the_corpus_is_as_large_and_as_mixed_as_it_should_be(answers):
    generated = [(we, it) for case, we, it in answers.cases if case.wanted is None]
    assert len(generated) > 500
    assert sum(it.accepted for _we, it in generated) > 150
    assert sum(we is not None and not it.accepted for we, it in generated) > 150
    assert {"T", "M", "P", "I"} == {we.rule[0] for we, _it in generated if we is not None}


def test_what_is_valid_by_construction_is_accepted(answers):
    assert [(case.name, we) for case, we, _it in answers.cases if case.name.startswith("valid") and we is not None] == []


def test_the_library_is_asked_again_behind_what_ends_it(tmp_path, program):
    image = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a"}
    crash = {**image, "app": {"user": "0", "group": "0", "isolators": [{"name": "resource/memory"}]}}
    documents = [json.dumps(value) for value in (image, crash, image, {**image, "acKind": "Other"})] + ["{"]
    documents += [documents[1], documents[1], documents[0]]
    paths = [tmp_path / str(number) for number in range(len(documents))]
    for path, document in zip(paths, documents):
        path.write_text(document)
    verdicts = actool.validate(program("actool"), paths)
    assert [verdict.accepted for verdict in verdicts] == [True, False, True, False, False, False, False, True]
    assert [verdict.crashed for verdict in verdicts] == [False, True, False, False, False, True, True, False]


def test_a_difference_in_the_other_direction_is_not_explained():
    row = actool.Difference("x", "T1", actool.WE_REFUSE, lambda _checked, _refusal: True)
    differences = actool.Differences([row])
    assert differences.explain({}, None, actool.Verdict(False, "no")).startswith(actool.WE_ACCEPT)
    assert differences.explain({}, SpecError("no"), actool.Verdict(False, "panic: x")).startswith(actool.IT_CRASHES)
    assert differences.explain({}, None, actool.Verdict(True)) == ""
    assert differences.unused() == ["x"]
    assert differences.explain({}, SpecError("no"), actool.Verdict(True)) == ""
    assert differences.unused() == []
    with pytest.raises(ValueError, match="one name"):
        actool.Differences([row, row])


def test_every_row_has_a_name_of_its_own():
    names = [what for what, _ignored, _ignored in manifest_rows.ROWS]
    assert len(names) == len(set(names))
