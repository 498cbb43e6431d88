# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the generated corpus to standard output, as JSON: valid manifests, the same in each run, each followed by some that one to
three things were changed in. The rows are name, kind, manifest."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import manifest_breaks as breaks
import manifest_strategies as manifests
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = (1, 1, 1, 2, 3)


def originals(count: int) -> list[Any]:
    """Valid manifests."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(manifests.image_manifests() | manifests.pod_manifests())
    def collect(manifest: Any) -> None:
        found.append(manifest)

    collect()
    return found


def corpus(count: int) -> Iterator[tuple[str, str, Any]]:
    """The rows that `count` valid manifests make."""
    for number, original in enumerate(originals(count)):
        kind = original["acKind"]
        yield f"valid {number}", kind, original
        choices = defaultdict(list)
        for choice in breaks.candidates(original):
            choices[re.sub(r"\[\d+\]", "[]", choice[2])].append(choice)
        for turn, changes in enumerate(CHANGES):
            chance, manifest = random.Random(f"{number}.{turn}"), original
            for place in chance.sample(sorted(choices), changes):
                manifest = _changed(manifest, chance.choice(choices[place]))
            yield f"changed {number}.{turn}", kind, manifest


def _changed(manifest: Any, choice: Any) -> Any:
    try:
        return breaks.broken(manifest, choice).manifest
    except (AttributeError, IndexError, KeyError, TypeError):  # an earlier change took the place away
        return manifest


if __name__ == "__main__":
    json.dump(list(corpus(int(sys.argv[1]) if sys.argv[1:] else 150)), sys.stdout)
