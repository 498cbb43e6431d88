# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Does a verdict do what a rule of the policy asks for? The one place that decides it, for those who fetch and those who run.

The option `image` lets in, and lets run, what a rule asks more of; not what a rule refuses, nor what was signed by keys that are trusted
no longer and was not fetched with the option. ``run`` imports this file.

Not handled here: which rule it is (policy.py), which keys are trusted today (standing.py), signatures (verify.py).
"""

from __future__ import annotations

from ..errors import TrustError
from ..record import replace
from ..store.verdict import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..store.verdict import Signer, Verdict

    WhyNot = Callable[[Signer], str]

KINDS = ("signed", "pinned", "open", "insecure")
# What the option `image` is about.
_RELAXED = ("policy-unmet", "threshold-unmet", "verdict-insecure")


def refusal(name: str, rule: Rule) -> TrustError:
    """Return the error for a name that nobody may supply."""
    why = f"{rule}: nobody may supply it" if rule.prefix else "the policy has no rule that lets it in"
    return TrustError(why, where=name, code="policy-refused", hint=_see(name))


def unmet(name: str, rule: Rule, what: str, hint: str) -> TrustError:
    """Return the error for an image of which a rule asks more."""
    return TrustError(f"{what}, and {rule}", where=name, code="policy-unmet", hint=f"{hint}; {_see(name)}")


def _see(name: str) -> str:
    return f"`rocket trust --policy {name}` shows the rule"


def shortfall(signers: Iterable[str], name: str, threshold: int, keys: Collection[str]) -> TrustError | None:
    """Return what these signatures lack, or None.

    Args:
        signers: fingerprints of primary keys that are trusted for the name and made a good signature.
        name: of the image.
        threshold: how many distinct keys have to sign.
        keys: fingerprints of those that count; empty for all.
    """
    there = list(dict.fromkeys(signers))
    counted = [fingerprint for fingerprint in there if not keys or fingerprint in keys]
    if len(counted) >= threshold:
        return None
    if there and not counted:
        return TrustError(
            f"signed by {', '.join(there)}, and the policy counts only {', '.join(keys)}",
            where=name,
            code="policy-unmet",
            hint=f"ask the owner of a key that counts to sign; {_see(name)}",
            fingerprint=there[0],
        )
    return TrustError(
        f"signed by {len(counted)} of the {threshold} trusted keys that have to sign: {', '.join(counted)}",
        where=name,
        code="threshold-unmet",
        hint=f"ask a further owner to sign, or trust the key of the other signer; {_see(name)}",
        fingerprint=counted[0] if counted else "",
    )


def judge(verdict: Verdict, name: str, rule: Rule, insecure: Collection[str], why_not: WhyNot) -> None:
    """Refuse a verdict that does not do.

    Args:
        verdict: on an image.
        name: of the image.
        rule: the one that decides about the name.
        insecure: names of the relaxations in force.
        why_not: returns why a signer is not trusted for the name; empty when it is.

    Raises:
        TrustError: ``policy-refused``, ``policy-unmet``, ``threshold-unmet``, ``signer-unknown``, ``verdict-insecure``; ``untrusted`` for a
            verdict of another kind.
    """
    if rule.require == "refuse":
        raise refusal(name, rule)
    if verdict.kind not in KINDS:
        raise TrustError("its stored verdict is of no known kind", where=name, code="untrusted", hint="fetch the image again")
    problem = _problem(verdict, name, rule, why_not)
    if problem is not None and not ("image" in insecure and problem.code in _RELAXED):
        raise problem


def admit(verdict: Verdict, name: str, rule: Rule, insecure: Collection[str], why_not: WhyNot) -> Verdict:
    """Return the verdict as it is to be stored: with the rule that let the image in, and ``insecure`` where it was the option instead.

    Arguments and errors are those of `judge`. A verdict that nobody vouches for comes as ``insecure``.
    """
    if rule.require == "open" and verdict.kind == "insecure":
        verdict = replace(verdict, kind="open")
    try:
        judge(verdict, name, rule, (), why_not)
    except TrustError as error:
        if "image" not in insecure or error.code not in _RELAXED:
            raise
        verdict = replace(verdict, kind="insecure", signers=())
    return replace(verdict, policy=rule)


def _problem(verdict: Verdict, name: str, rule: Rule, why_not: WhyNot) -> TrustError | None:
    if rule.require == "open" or (rule.require == "pinned" and verdict.by_pin):
        return None
    if rule.require != "pinned" and verdict.kind == "signed":
        # A pin beside it does not take its place: under a lock file the signature is what stands for the image.
        return _signers_problem(verdict, name, rule, why_not)
    if rule.require == "signed-or-pinned" and verdict.by_pin:
        return None
    if verdict.kind == "insecure":
        return TrustError(
            "it was stored without a valid signature",
            where=name,
            code="verdict-insecure",
            hint="fetch it again with its signature, pin its image ID, or allow it with --insecure-options=image",
        )
    what = {"signed": "it is not pinned", "pinned": "it is pinned and not signed", "open": "nobody vouched for it when it was fetched"}
    wanted = "pin its image ID or digest" if rule.require == "pinned" else "fetch it again with its signature"
    return unmet(name, rule, what[verdict.kind], f"{wanted}, or allow it with --insecure-options=image")


def _signers_problem(verdict: Verdict, name: str, rule: Rule, why_not: WhyNot) -> TrustError | None:
    standing, refused = [], []
    for signer in verdict.signers:
        reason = why_not(signer)
        if reason:
            refused.append(f"{signer.fingerprint} {reason}")
        else:
            standing.append(signer.fingerprint)
    if not standing:
        return TrustError(
            f"no signer is trusted for it today: {'; '.join(refused) or 'the record names none'}",
            where=name,
            code="signer-unknown",
            hint=f"if its supplier is to be trusted again: `rocket trust --prefix {name} KEYFILE`, else fetch an image by a trusted signer",
        )
    return shortfall(standing, name, rule.threshold, rule.keys) or _opinion_problem(verdict, name, rule)


def _opinion_problem(verdict: Verdict, name: str, rule: Rule) -> TrustError | None:
    """A second opinion is had when an image is fetched; the rule of that time says which one."""
    had = verdict.policy.second_opinion if verdict.policy is not None else "none"
    if rule.second_opinion in ("none", had) or (rule.second_opinion == "any" and had != "none"):
        return None
    return unmet(name, rule, f"it was verified without the second opinion that is asked for ({rule.second_opinion})", "fetch it again")
