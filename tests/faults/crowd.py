# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fetch references in processes of their own, one a reference, all at once.

    python3 crowd.py PACKAGE CORPUS OPTIONS < REFERENCES

OPTIONS is JSON: data, ca_file, connect_to. Each process writes one line of JSON: pid, and the image ID or the error. All are
forked by one that has imported what a fetch needs, because fifty imports take longer than what is tried here.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Fork, let all begin together, and wait; return how many did not end well."""
    sys.path[:0] = sys.argv[1:3]
    import ssl  # noqa: F401  what the processes need, imported once

    from fetch_site import FakeVerifier

    from _rocket.errors import RocketError
    from _rocket.fetch.fetcher import Fetcher
    from _rocket.fetch.options import FetchOptions
    from _rocket.fetch.transports import https  # noqa: F401
    from _rocket.image import check, sandbox  # noqa: F401
    from _rocket.paths import Paths
    from _rocket.store.store import Store

    wanted = json.loads(sys.argv[3])
    references = sys.stdin.read().split()
    began, begin = os.pipe()
    children = []
    for reference in references:
        child = os.fork()
        if child == 0:
            os.close(begin)
            os.read(began, 1)
            told = {"pid": os.getpid(), "reference": reference}
            try:
                connections = tuple(tuple(each) for each in wanted["connect_to"])
                options = FetchOptions(ca_file=wanted["ca_file"], connect_to=connections, backoff=0.01, deadline=60.0)
                told["id"] = Fetcher(Store(Paths(data=wanted["data"])), FakeVerifier(), options).fetch(reference).id
            except RocketError as error:
                told["error"] = str(error)
            os.write(1, (json.dumps(told) + "\n").encode())
            os._exit(0)
        children.append(child)
    os.close(begin)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    raise SystemExit(main())
