# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Run the fuzzers, some at a time, each for a time: `fuzz.py [--seconds N] [--jobs N] [TARGET ...]`.

atheris is installed into .cache/fuzz. What was found new stays in build/fuzz/<target> and is where the next run goes on.
Inputs that broke a promise are in build/fuzz/findings; mend the code and keep each, small, in tests/fuzz/corpus/<target>,
where the unit tests replay it. Exit status: 1 for a finding, 77 where atheris cannot be installed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
HOME = TOP / ".cache" / "fuzz"
WORK = TOP / "build" / "fuzz"
FINDINGS = WORK / "findings"
CANNOT = 77  # as tests/tools/steps.py has it
# Unpacking is slow and meets the disk: longer inputs only mean more of the same entries.
LONGEST = {
    "unpack": 300,
    "policy": 3000,
    "quantity": 80,
    "references": 600,
    "image-manifest": 6000,
    "pod-manifest": 6000,
    "archive": 12_000,
    "oci-layers": 6000,
    "bundle": 6144,
    "certificate": 2000,
    "signature": 1500,
}


def targets():
    """Return the names of the targets, from the syntax of their file: this Python need not have what they import."""
    tree = ast.parse((HERE / "fuzz_targets.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "TARGETS":
            return [key.value for key in node.value.keys]
    raise LookupError("fuzz_targets.py has no table TARGETS")


def install():
    """Return a Python that has atheris; raise OSError where there can be none."""
    python = HOME / "bin" / "python"
    mark = HOME / hashlib.sha256((TOP / "tests" / "requirements-fuzz.txt").read_bytes()).hexdigest()[:16]
    if not mark.exists():
        venv.create(HOME, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", "--only-binary=:all:", "-r", str(TOP / "tests" / "requirements-fuzz.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            raise OSError(lines[-1])
        mark.touch()
    return str(python)


def seed(target):
    """Put the kept inputs and their words where the fuzzer of `target` reads them; return its options."""
    place = WORK / target
    place.mkdir(parents=True, exist_ok=True)
    kept = sorted((HERE / "corpus" / target).glob("*"))
    seeds = [path.read_bytes() for path in kept]
    if target == "archive":
        sys.path[:0] = [str(TOP / "tests" / "unit" / "image"), str(TOP / "plugins" / "module_utils")]
        from image_corpus import corpus

        seeds += [case.make(b"/nowhere") for case in corpus().values() if not case.large]
    for data in seeds:
        if len(data) <= LONGEST.get(target, 4096):
            (place / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
    words = sorted({word for data in seeds for word in re.findall(rb'"([A-Za-z0-9/._ -]{1,60})"', data)}) if "manifest" in target else []
    (WORK / f"{target}.words").write_bytes(b"".join(b'"\\"%s\\""\n' % word for word in words))
    return [str(place), *([f"-dict={WORK / target}.words"] if words else [])]


def fuzz(python, target, seconds):
    """Run one fuzzer; return whether it found nothing, and its last words."""
    options = seed(target)
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=512", f"-max_len={LONGEST.get(target, 4096)}"]
    command = [python, str(HERE / "fuzz_one.py"), target, *options, *limits, f"-artifact_prefix={FINDINGS}/{target}-"]
    with (WORK / f"{target}.log").open("wb") as log:
        try:
            status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False, timeout=seconds + 300).returncode
        except subprocess.TimeoutExpired:
            status = "still running"
    text = (WORK / f"{target}.log").read_text(encoding="utf-8", errors="replace")
    runs = re.findall(r"^Done (\d+) runs", text, re.MULTILINE)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    if status == 0 and runs and covered:
        cover, features, inputs = covered[-1]
        return True, f"{target:16}{int(runs[-1]):>10} runs  {cover:>6} branches  {features:>7} features  {inputs:>5} inputs"
    return False, f"{target:16}FOUND something, or ended early (status {status}):\n" + "\n".join(
        [line for line in text.splitlines() if not line.startswith("INFO: ")][-40:]
    )


def main(arguments):
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of hostile data.")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default 600)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default 2)")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(targets())}; default all")
    options = parser.parse_args(arguments)
    unknown = set(options.target) - set(targets())
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    try:
        python = install()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"missing ability: the package atheris ({error})")
        return CANNOT
    FINDINGS.mkdir(parents=True, exist_ok=True)
    good = True
    with ThreadPoolExecutor(options.jobs) as pool:
        for passed, words in pool.map(lambda target: fuzz(python, target, options.seconds), options.target or targets()):
            good = good and passed
            print(words, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
