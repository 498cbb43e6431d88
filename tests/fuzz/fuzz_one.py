# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One fuzzer, guided by coverage: `fuzz_one.py TARGET [options of libFuzzer] [directories of inputs]`; needs atheris."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / place) for place in ("plugins/module_utils", "tests/unit/image", "tests/fuzz")]

with atheris.instrument_imports(include=["_rocket"], enable_loader_override=False):
    import fuzz_targets


def main():
    """Run until libFuzzer ends the process."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], fuzz_targets.TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
