# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of a fleet for people: rows of text, what has to be looked at first. The markup is a template of the playbook.

Every text comes from hosts, and is hostile: what is not printable is shown as an escape, lengths are bound, and the template
escapes the rest.
"""

from __future__ import annotations

import time

from .fleet_audit import NOT_ASKED, REACHED, UNREACHABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_LAST_TIME = 253402300800  # The end of the year 9999.
_STATES = {REACHED: "", UNREACHABLE: "not reached", NOT_ASKED: "not asked this time"}
# How bad an image is, the worst first: the word for the page's style, and the heading of its rows.
RANKS = (
    ("bad", "Would not start today"),
    ("bad", "Let in without a signature or a pinned digest"),
    ("warn", "Not signed, but pinned by image ID or digest"),
    ("warn", "Signed, but fetched with a safety rule left out"),
    ("good", "Signed"),
)


def shown(value: Any, limit: int = 300) -> str:
    """Return a text for the page: what is not printable as an escape, at most `limit` characters."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in str(value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def moment(seconds: int | None) -> str:
    """Return a time for people, UTC, to the minute; empty where there is none."""
    if not seconds or not 0 < seconds < _LAST_TIME:
        return ""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def rank(image: Mapping[str, Any]) -> int:
    """Return the place of an image in RANKS."""
    verdict = image["verdict"]
    if not image["standing"]["good"]:
        return 0
    if verdict["kind"] == "signed":
        return 3 if verdict["insecure_options"] else 4
    return 2 if verdict["kind"] == "pinned" else 1


def page(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows of a document of fleet_audit.py: ``collected``, ``counts``, ``hosts``, ``images`` and ``keys``."""
    hosts = document["hosts"]
    seen = document["collected"]["hosts"]
    groups: list[list[dict[str, str]]] = [[] for _rank in RANKS]
    for name, host in hosts.items():
        for image in host["images"] or ():
            groups[rank(image)].append(_image_row(name, host, image))
    return {
        "collected": moment(document["collected"]["at"]),
        "counts": list(_counts(hosts, groups)),
        "hosts": sorted((_host_row(name, host, seen[name]) for name, host in hosts.items()), key=_worst_first),
        "images": [
            {"class": word, "title": title, "count": len(rows), "rows": sorted(rows, key=lambda row: (row["name"], row["host"], row["id"]))}
            for (word, title), rows in zip(RANKS, groups)
        ],
        "keys": sorted((_key_row(name, key) for name, host in hosts.items() for key in host["keys"] or ()), key=_worst_first),
    }


def _worst_first(row: Mapping[str, str]) -> tuple[int, str, str]:
    return (("bad", "warn", "good").index(row["class"]), row["host"], row.get("prefix", ""))


def _counts(hosts: Mapping[str, Any], groups: list[list[dict[str, str]]]) -> Iterator[dict[str, Any]]:
    """Yield the numbers on top of the page, each with a word for its style."""
    broken = sum(1 for host in hosts.values() if host["log"] and not host["log"]["intact"])
    for number, label, word in (
        (len(groups[0]), "images that would not start today", "bad"),
        (len(groups[1]), "more images without a signature or pinned digest", "bad"),
        (broken, "audit logs that are not what they were", "bad"),
        (sum(1 for host in hosts.values() if host["errors"]), "hosts that did not answer all that was asked", "bad"),
        (sum(1 for host in hosts.values() if host["state"] == UNREACHABLE), "hosts that were not reached", "warn"),
        (len(groups[2]) + len(groups[3]), "images that are pinned only, or were fetched with a safety rule left out", "warn"),
        (sum(map(len, groups)), "images", "good"),
        (len(hosts), "hosts", "good"),
    ):
        yield {"number": number, "label": label, "class": word if number else "good"}


def _host_row(name: str, host: Mapping[str, Any], seen: int) -> dict[str, str]:
    log, problems = host["log"], [*host["errors"], *(host["damaged"] or ())]
    if log and not log["intact"]:
        problems += [f"audit log, event {problem['seq']}: {problem['what']}" for problem in log["problems"]]
    problems += [f"pod {pod['name'] or pod['uuid']}: {pod['damaged']}" for pod in host["pods"] or () if pod["damaged"]]
    refused = [image for image in host["images"] or () if not image["standing"]["good"]]
    word = "bad" if problems or refused else "good" if host["state"] == REACHED else "warn"
    state = _STATES[host["state"]]
    if state:
        state = f"{state}; as of {moment(seen)}" if seen else f"{state}; nothing is known"
    return {
        "class": word,
        "host": shown(name),
        "state": state,
        "images": _number(host["images"]),
        "refused": "?" if host["images"] is None else str(len(refused)),
        "running": "?" if host["pods"] is None else str(sum(1 for pod in host["pods"] if pod["state"] == "running")),
        "log": "?" if log is None else f"{log['seq']} events{'' if log['intact'] else ', NOT INTACT'}",
        "problems": shown("; ".join(problems), 2000),
    }


def _number(part: Any) -> str:
    return "?" if part is None else str(len(part))


def _image_row(name: str, host: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, str]:
    verdict = image["verdict"]
    signers = [f"{signer['identity']} {signer['fingerprint']}".strip() for signer in verdict["signers"]]
    vouched = signers or [f"{verdict['kind']}{' by digest' if verdict['digest'] else ''}"]
    labels = [f"{label}={value}" for label, value in sorted(image["labels"].items()) if label != "version"]
    uses = [
        f"{use['name'] or use['uuid']} ({use['state']}{', as a dependency' if use['dependency'] and not use['apps'] else ''})"
        for use in image["pods"]
    ]
    return {
        "host": shown(name) + ("" if host["state"] == REACHED else f" ({_STATES[host['state']]})"),
        "id": shown(image["id"], 150),
        "short": shown(image["id"][:19]),
        "name": shown(image["name"]),
        "version": shown(image["labels"].get("version", "")),
        "labels": shown(", ".join(labels)),
        "vouched": shown("; ".join(vouched), 600),
        "verified": moment(verdict["checked_at"]),
        "policy": shown(_policy(verdict["policy"])),
        "insecure": shown(", ".join(verdict["insecure_options"])),
        "problem": shown(image["standing"]["problem"], 600),
        "source": shown(image["source"], 600),
        "pods": shown(", ".join(uses), 600),
    }


def _policy(policy: Any) -> str:
    """Return the rule that an image was let in under, in a few words."""
    if not isinstance(policy, dict):
        return "" if policy is None else str(policy)
    return ", ".join(f"{name} {policy[name]}" for name in ("prefix", "require", "threshold") if policy.get(name))


def _key_row(name: str, key: Mapping[str, Any]) -> dict[str, str]:
    return {
        "class": {"trusted": "good", "masked": "good"}.get(key["state"], "bad"),
        "host": shown(name),
        "prefix": shown(key["prefix"] or "(every image)"),
        "fingerprint": shown(key["fingerprint"]),
        "identities": shown(", ".join(key["identities"])),
        "state": shown(key["state"]),
        "expires": moment(key["expires"])[:10],
        "signed": str(len(key["images"])),
        "problem": shown(key["problem"]),
    }
