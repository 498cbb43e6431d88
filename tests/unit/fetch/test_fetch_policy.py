# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fetching under a policy: what is refused before anything is asked for, what is got for a name, and what of the store still does."""

from __future__ import annotations

import pytest
from bundle_parts import APP, BASE, part
from fetch_site import archive
from oci_images import Image
from oci_registry import LOWER, REFERENCE, push

from _rocket.errors import NotFound, TrustError
from _rocket.fetch.locking import Locking
from _rocket.record import replace
from _rocket.spec.lock import Lock, Locked
from _rocket.store.verdict import Rule
from _rocket.trust.admission import judge
from _rocket.trust.policy import Policy

NAME, ASC = "example.com/app", "/images/app.aci.asc"


@pytest.fixture
def policy(verifier):
    """Have the policy say what these words or rules say of prefixes."""

    def of(default=None, prefixes=None):
        rules = {name: {"require": rule} if isinstance(rule, str) else rule for name, rule in (prefixes or {}).items()}
        value = {"version": 1, "prefixes": rules, **({"default": {"require": default}} if default else {})}
        verifier.policy = Policy.from_json(value)

    return of


@pytest.fixture
def image_id(site, fetcher, store):
    """The ID of an image that the site has; it is not in the store."""
    site.publish(archive())
    found = fetcher().get(NAME).record.id
    store.remove(found)
    site.requests.clear()
    return found


def refusal(fetcher, reference=NAME):
    with pytest.raises(TrustError) as caught:
        fetcher.get(reference)
    # The fake verifier says no more about a bad signature.
    assert caught.value.hint or caught.value.code == "signature-bad"
    return caught.value.code


def verdict(fetcher, reference=NAME):
    return fetcher.get(reference).record.verdict


def test_each_word_and_what_is_offered(site, fetcher, store, policy, image_id):
    """Signature and pin, for a name; what cannot be is refused before anybody is asked."""
    found = {}
    for word in ("signed", "pinned", "signed-or-pinned", "open", "refuse"):
        policy(word)
        for pinned in ("", image_id):
            try:
                made = verdict(fetcher(expected_id=pinned))
                found[word, bool(pinned)] = (made.kind, made.pinned, ASC in site.asked())
                assert made.policy == Rule("", word)
                store.remove(image_id)
            except TrustError as error:
                found[word, bool(pinned)] = error.code
                assert site.asked() == []
            site.requests.clear()
    assert found == {
        ("signed", False): ("signed", False, True),
        ("signed", True): ("signed", True, True),
        ("pinned", False): "policy-unmet",
        ("pinned", True): ("pinned", True, False),
        ("signed-or-pinned", False): ("signed", False, True),
        ("signed-or-pinned", True): ("pinned", True, False),
        ("open", False): ("open", False, False),
        ("open", True): ("pinned", True, False),
        ("refuse", False): "policy-refused",
        ("refuse", True): "policy-refused",
    }


@pytest.mark.parametrize("word", ["signed", "pinned", "signed-or-pinned", "open", "refuse"])
def test_the_option_overrides_every_word_but_one(site, fetcher, policy, image_id, word):
    policy(word)
    site.pages[ASC] = b"no signature at all"
    insecure = fetcher(insecure=("image",))
    if word == "refuse":
        assert refusal(insecure) == "policy-refused" and site.asked() == []
        return
    made = verdict(insecure)
    assert made.kind == ("open" if word == "open" else "insecure") and made.policy == Rule("", word)
    # And it does not do without the option.
    assert fetcher().plan(NAME).changed == (word != "open") if word != "pinned" else refusal(fetcher()) == "policy-unmet"


def test_an_unsigned_image_under_an_open_policy_beside_one_that_has_to_be_signed(site, fetcher, policy):
    policy("signed", {"example.com/app": "open"})
    site.publish(archive(), signature=b"nothing")
    site.publish(archive("example.com/app2"), "example.com/app2", "/images/app2.aci", signature=b"nothing")
    assert verdict(fetcher()).kind == "open"
    assert refusal(fetcher(), "example.com/app2") == "signature-bad"


def test_a_signature_that_is_given_is_verified_under_an_open_policy(site, fetcher, policy):
    policy("open")
    site.publish(archive(), signature=b"nothing")
    url = "https://example.com/images/app.aci"
    assert refusal(fetcher(name=NAME, signature=f"{url}.asc"), url) == "signature-bad"
    assert verdict(fetcher(name=NAME), url).kind == "open" and site.asked().count(ASC) == 1


def test_a_url_without_a_name_has_the_rule_of_its_manifest(site, fetcher, policy, store, image_id):
    url = "https://example.com/images/app.aci"
    for word, pin, wanted in (
        ("refuse", "", "policy-refused"),
        ("pinned", "", "policy-unmet"),
        ("signed", image_id, "policy-unmet"),
        ("signed", "", ""),
        ("pinned", image_id, ""),
    ):
        policy("open", {NAME: word})
        assert (refusal(fetcher(expected_id=pin), url) if wanted else verdict(fetcher(expected_id=pin), url) and "") == wanted
        assert store.ids() == ([] if wanted else [image_id])
        if not wanted:
            store.remove(image_id)
    # A signature is looked for, as the name is not known; with an open rule for a given name it is not.
    policy("open")
    site.pages.pop(ASC)
    assert refusal(fetcher(), url) == "signature-missing"
    assert verdict(fetcher(name=NAME), url).kind == "open"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [("signed", "pinned", "it is not pinned"), ("open", "signed", "nobody vouched"), ("open", "signed-or-pinned", "nobody vouched")],
)
def test_what_is_stored_and_does_not_do_today_is_not_present(site, fetcher, policy, image_id, before, after, reason):
    policy(before)
    fetcher().get(NAME)
    assert not fetcher().plan(NAME).changed
    policy(after)
    pin = {"expected_id": image_id} if after == "pinned" else {}
    (step,) = fetcher(**pin).plan(NAME).steps
    assert reason in step.reason
    made = verdict(fetcher(**pin))
    assert made.policy.require == after and not fetcher(**pin).plan(NAME).changed
    judge(made, NAME, Rule("", after), (), lambda _fingerprint: "")


def test_a_signature_of_the_store_is_enough_where_the_policy_asks_for_it_again(site, fetcher, store, image_id, verifier):
    """Who signed is looked at again, as a threshold or the keys that count may be others; the site is not needed."""
    fetcher().get(NAME)
    record = store.find_id(image_id)
    store.confirm(image_id, replace(record.verdict, kind="insecure", signers=()))
    site.close()
    assert fetcher().plan(NAME).changed
    assert verdict(fetcher()).kind == "signed" and verifier.calls[-1] == ("require_key", NAME)


def test_a_pin_that_comes_later_is_added_to_the_signature(site, fetcher, store, policy, image_id):
    fetcher().get(NAME)
    policy("pinned")
    site.close()
    assert refusal(fetcher()) == "policy-unmet"
    made = verdict(fetcher(expected_id=image_id))
    assert (made.kind, made.pinned, len(made.signers)) == ("signed", True, 1)
    assert verdict(fetcher()) == made, "once the operator gave it, it is known"
    policy("signed")
    assert verdict(fetcher()) == made


def test_a_pin_stays_known_when_the_signature_is_looked_at_again(site, fetcher, store, policy, image_id):
    fetcher(expected_id=image_id).get(NAME)
    policy("signed")
    fetcher(expected_id=image_id).get(NAME)
    store.confirm(image_id, replace(store.find_id(image_id).verdict, kind="pinned", signers=()))
    site.close()
    made = verdict(fetcher())
    assert (made.kind, made.pinned, len(made.signers)) == ("signed", True, 1)


def test_a_refused_name_is_refused_although_it_is_in_the_store(fetcher, policy, image_id):
    fetcher(insecure=("image",)).get(NAME)
    policy("refuse")
    for call in (fetcher().plan, fetcher(insecure=("image",)).get, fetcher(pull_policy="never").get):
        with pytest.raises(TrustError) as caught:
            call(NAME)
        assert caught.value.code == "policy-refused"


def test_check_mode_refuses_what_could_not_be_fetched(site, fetcher, policy, image_id):
    policy("signed", {NAME: "pinned"})
    with pytest.raises(TrustError) as caught:
        fetcher().plan(NAME)
    assert caught.value.code == "policy-unmet" and fetcher(expected_id=image_id).plan(NAME).changed and site.asked() == []


def test_nothing_is_fetched_where_that_is_forbidden(fetcher, policy, image_id):
    policy("open")
    fetcher().get(NAME)
    policy("signed")
    with pytest.raises(NotFound) as caught:
        fetcher(pull_policy="never").get(NAME)
    assert "nobody vouched" in str(caught.value)


def test_a_dependency_has_a_rule_of_its_own(serve, fetcher, policy, store):
    serve("b", signature=b"nothing")
    serve("a", "b")
    policy("signed", {"example.com/b": "pinned"})
    assert refusal(fetcher(), "example.com/a") == "policy-unmet" and store.ids() == []
    policy("signed", {"example.com/b": "refuse"})
    assert refusal(fetcher(), "example.com/a") == "policy-refused"
    policy("signed", {"example.com/b": "open"})
    assert fetcher().get("example.com/a").dependencies[0].record.verdict.kind == "open"
    policy("signed", {"example.com/b": "refuse"})
    with pytest.raises(TrustError) as caught:
        fetcher().plan("example.com/a")
    assert caught.value.code == "policy-refused"


def test_under_a_lock_signature_and_pin_are_both_kept(fetcher, image_id):
    entry = Locked(NAME, image_id, NAME, signed_by=("a" * 40,))
    made = verdict(fetcher(lock=Lock((entry,))))
    assert (made.kind, made.pinned) == ("signed", True)


@pytest.mark.parametrize(("word", "signers"), [("signed", 1), ("pinned", 1), ("open", 1)])
def test_a_lock_with_a_signer_narrows_whatever_the_policy_says(site, fetcher, policy, image_id, word, signers):
    policy(word)
    entry = Locked(NAME, image_id, NAME, signed_by=("a" * 40,))
    assert len(verdict(fetcher(lock=Lock((entry,)))).signers) == signers and ASC in site.asked()


def test_a_lock_without_a_signer_is_a_pin_and_no_signature(fetcher, policy, image_id):
    lock = Lock((Locked(NAME, image_id, NAME),))
    policy("pinned")
    assert verdict(fetcher(lock=lock)).kind == "pinned"
    policy("signed")
    made = verdict(fetcher(lock=lock))
    assert (made.kind, made.pinned) == ("signed", True)


@pytest.fixture
def resolve(store, verifier, options):
    """Make a lock as for hosts with this policy."""

    def standing(found, name):
        judge(found, name, verifier.policy.rule_for(name), (), lambda _fingerprint: "")

    return lambda *references: Locking(store, verifier, options, standing=standing).resolve(references, ["linux/amd64"]).images


def test_what_has_to_be_pinned_is_pinned_by_the_lock_that_is_made(serve, resolve, policy, store, verifier, fetcher):
    serve("b", signature=b"nothing")
    serve("a", "b")
    policy("signed", {"example.com/b": "pinned"})
    top, base = resolve("example.com/a")
    assert top.signed_by and base.signed_by == ()
    assert {record.name: record.verdict.kind for record in store.images()} == {"example.com/a": "signed", "example.com/b": "insecure"}
    assert resolve("example.com/a") == (top, base), "what lies there from the last time does again"
    for image_id in store.ids():
        store.remove(image_id)
    fetcher(lock=Lock((top, base)), platform="linux/amd64").get("example.com/a")
    assert {record.name: record.verdict.kind for record in store.images()} == {"example.com/a": "signed", "example.com/b": "pinned"}


@pytest.mark.parametrize("word", ["pinned", "open"])
def test_a_lock_does_not_say_who_signed_where_nobody_has_to(fetcher, resolve, policy, store, image_id, word):
    """Else it would depend on what lay in the store before."""
    fetcher().get(NAME)
    policy(word)
    (entry,) = resolve(NAME)
    assert entry.signed_by == () and store.find_id(image_id).verdict.kind == "signed", "what is known of the image stays known"


def test_what_stands_under_something_pinned_needs_its_signature(serve, resolve, policy, store):
    serve("b", signature=b"nothing")
    serve("a", "b", signature=b"nothing")
    policy("signed-or-pinned", {"example.com/a": "pinned"})
    with pytest.raises(TrustError) as caught:
        resolve("example.com/a")
    assert caught.value.code == "signature-bad" and store.ids() == []


@pytest.mark.parametrize(("word", "code"), [("signed", "policy-unmet"), ("refuse", "policy-refused"), ("pinned", ""), ("open", "")])
def test_an_oci_image_is_locked_where_hosts_will_take_it(site, resolve, policy, word, code):
    push(site, Image(LOWER))
    policy(word)
    if not code:
        (entry,) = resolve(REFERENCE)
        assert entry.digest and not entry.signed_by
        return
    with pytest.raises(TrustError) as caught:
        resolve(REFERENCE)
    assert caught.value.code == code


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("word", ["signed", "pinned", "signed-or-pinned", "open", "refuse"])
def test_an_image_of_a_registry(site, registry, store, word, pinned):
    image = push(site, Image(LOWER))
    registry.verifier.policy = Policy.from_json({"version": 1, "prefixes": {"example.com/shop": {"require": word}}})
    reference = f"{REFERENCE}@{image.digest}" if pinned else REFERENCE
    wanted = {"signed": "policy-unmet", "refuse": "policy-refused", "open": "pinned" if pinned else "open"}
    wanted = wanted.get(word, "pinned" if pinned else "signature-missing")
    try:
        found = registry.fetch(reference).verdict
        assert (found.kind, found.pinned, found.policy.require) == (wanted, pinned, word)
        return
    except TrustError as error:
        assert error.code == wanted and store.ids() == []
        # What it would have to be pinned to is in the message; to know it, somebody has to be asked.
        assert (image.digest in error.hint) == (error.code == "signature-missing") == (site.asked() != [])
    if word != "refuse":
        assert registry.fetch(reference, insecure=("image",)).verdict.kind == ("pinned" if pinned and word != "signed" else "insecure")


def test_a_pinned_image_of_a_registry_does_not_stay_where_it_has_to_be_signed(site, registry):
    image = push(site, Image(LOWER))
    reference = f"{REFERENCE}@{image.digest}"
    registry.fetch(reference)
    registry.verifier.policy = Policy.from_json({"version": 1, "prefixes": {}, "default": {"require": "signed"}})
    assert registry.refusal(reference, insecure=()).code == "policy-unmet"
    assert registry.fetch(reference, insecure=("image",))


def test_each_image_of_a_bundle_has_its_own_rule(bundle_host, policy, store):
    reference = bundle_host.write(BASE, part("a", "b", named=True, signature=b""))
    policy("signed", {"example.com/a": "open"})
    bundle_host.fetch(reference)
    assert {record.name: record.verdict.kind for record in store.images()} == {"example.com/a": "open", "example.com/b": "signed"}
    assert not bundle_host.plan(reference).changed
    policy("signed")
    with pytest.raises(TrustError) as caught:
        bundle_host.plan(reference)
    assert caught.value.code == "signature-missing"


def test_what_a_bundle_may_not_bring(bundle_host, policy, store):
    reference = bundle_host.write(BASE, APP)
    for word, code in (("refuse", "policy-refused"), ("pinned", "policy-unmet")):
        policy("signed", {"example.com/b": word})
        with pytest.raises(TrustError) as caught:
            bundle_host.fetch(reference)
        assert caught.value.code == code and store.ids() == []
