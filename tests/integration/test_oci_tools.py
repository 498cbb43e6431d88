# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images that umoci and skopeo wrote, in layouts, archives and a real registry, become what umoci makes of them; and they run."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import subprocess

import pytest
from oci_tools import Layout, Registry, TokenServer, busybox, run, skopeo
from rocket_command import Rocket

ELEVEN = 0x800405FB  # what podman 4.3 leaves an app


@pytest.fixture(scope="module")
def tools(program):
    for name in ("umoci", "skopeo", "busybox"):
        program(name)
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    pytest.importorskip("cryptography")
    from fetch_site import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def registry_with(tools, program, authority, tmp_path):
    """Start a registry; lines are of its configuration."""
    program("docker-registry")
    running = []

    def start(*auth):
        directory = tmp_path / "registry"
        directory.mkdir()
        running.append(Registry(directory, authority.certificate(), authority.file, auth))
        return running[-1]

    yield start
    for registry in running:
        registry.close()


def grow(root):
    """Make the first layer's tree: of everything that a tree can hold."""
    busybox(root, "sh", "cat", "sleep", "id")
    for name in ("etc", "usr/lib", "var/lib/old", "var/cache/a/b", "opt/app", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    os.symlink("usr/lib", root / "lib")
    os.symlink("/usr/lib", root / "lib64")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/opt/app:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\napp:x:1000:\nlogs:x:50:app\n")
    (root / "usr" / "lib" / "libx").write_text("1")
    (root / "opt" / "app" / "tool").write_text("#!/bin/sh\necho tool\n")
    os.chmod(root / "opt" / "app" / "tool", 0o4755)
    os.link(root / "opt" / "app" / "tool", root / "opt" / "app" / "same")
    for name in ("one", "two", "three"):
        (root / "var" / "lib" / "old" / name).write_text(name)
    (root / "var" / "cache" / "a" / "b" / "c").write_text("c")
    os.mkfifo(root / "var" / "fifo")
    os.mknod(root / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chown(root / "opt" / "app", 1000, 1000)
    os.chmod(root / "tmp", 0o1777)
    os.setxattr(root / "usr" / "lib" / "libx", "user.note", b"kept")
    (root / "na\u00efve name").write_text("x")
    os.utime(root / "etc" / "passwd", (1_000_000_000, 1_000_000_000))


def change(root):
    """Make the second layer: deletions, replacements, links to what the first brought."""
    subprocess.run(["rm", "-r", str(root / "var" / "lib" / "old"), str(root / "lib64")], check=True)
    (root / "var" / "lib" / "old").mkdir()
    (root / "var" / "lib" / "old" / "four").write_text("four")
    os.unlink(root / "var" / "cache" / "a" / "b" / "c")
    os.rmdir(root / "var" / "cache" / "a" / "b")
    (root / "var" / "cache" / "a" / "b").write_text("a file now")
    (root / "lib64").mkdir()
    (root / "lib64" / "real").write_text("a directory now")
    (root / "usr" / "lib" / "liby").write_text("2")
    os.chmod(root / "usr" / "lib", 0o711)
    os.link(root / "usr" / "lib" / "libx", root / "opt" / "app" / "link-to-libx")
    os.chown(root / "usr" / "lib" / "libx", 5, 6)


@pytest.fixture(scope="module")
def layout(tools, tmp_path_factory):
    made = Layout(tmp_path_factory.mktemp("umoci"))
    grow(made.root)
    made.commit("base")
    change(made.root)
    made.commit("web")
    made.config("--config.entrypoint", "/bin/busybox", "--config.cmd", "cat", "--config.cmd", "/proc/self/status", tag="web")
    made.config("--config.env", "PATH=/bin", "--config.exposedports", "80/tcp", "--config.volume", "/data", tag="web")
    made.config("--config.workingdir", "/srv/made/by/us", "--config.label", "a.label=its value", "--author", "Somebody", tag="web")
    return made


def check_trees(ours, theirs):
    """Compare all but /dev, which the launcher makes, and the working directory, which umoci leaves to who runs the image."""
    from image_archives import facts

    (mine, my_links), (other, other_links) = facts(ours), facts(theirs)
    for found in (mine, other):
        for name in [name for name in found if name.split(b"/")[0] in (b"dev", b"srv")]:
            del found[name]
    assert mine == other
    assert [links for links in my_links if len(links) > 1] == [links for links in other_links if len(links) > 1]


def fetched(rocket, reference, *words):
    """Fetch and render; return the image's facts and its tree."""
    image_id = rocket("fetch", *words, reference).strip()
    directory = pathlib.Path(rocket.words[4].partition("=")[2]).parent / "rendered" / image_id[-12:]
    directory.parent.mkdir(exist_ok=True)
    if not directory.exists():
        rocket("image", "render", image_id, str(directory))
    found = json.loads(rocket("image", "list", "--format=json"))
    return next(image for image in found if image["id"] == image_id), directory


@pytest.fixture
def strict(tmp_path):
    return Rocket(tmp_path / "host", insecure=False)


def host(tmp_path, name):
    (tmp_path / name).mkdir()
    return Rocket(tmp_path / name, insecure=False)


def test_the_tree_is_the_one_that_umoci_makes(layout, tmp_path):
    rocket = host(tmp_path, "host")
    image, tree = fetched(rocket, f"oci:{layout.path}:web@{layout.digest('web')}")
    assert image["verdict"]["kind"] == "pinned"
    check_trees(tree, layout.unpacked("web", tmp_path / "theirs"))
    _base, tree = fetched(rocket, f"oci:{layout.path}:base@{layout.digest('base')}")
    check_trees(tree, layout.unpacked("base", tmp_path / "theirs-too"))


def test_archives_by_skopeo(layout, tmp_path):
    found = {}
    for kind in ("oci", "oci-archive", "docker-archive"):
        rocket, reference = host(tmp_path, kind), f"{kind}:{tmp_path}/copy-{kind}:example.com/web:1"
        skopeo("copy", f"oci:{layout.path}:web", reference)
        told = rocket("fetch", reference, status=254)
        image, tree = fetched(rocket, re.search(r"pin it: (\S+);", told)[1])
        assert (image["name"], image["labels"]["version"]) == ("example.com/web", "1")
        check_trees(tree, layout.unpacked("web", tmp_path / f"theirs-{kind}"))
        found[kind] = image["id"]
    # The configuration is the same, and it names all that is in the image.
    assert len(set(found.values())) == 1


@pytest.mark.parametrize("words", [(), ("--format", "v2s2"), ("--dest-compress-format", "zstd"), ("--dest-decompress",)])
def test_a_real_registry(layout, registry_with, tmp_path, words):
    registry, rocket = registry_with(), host(tmp_path, "host")
    registry.push(f"oci:{layout.path}:web", "shop/web:1.4", *words)
    reference, options = f"docker://{registry.host}/shop/web:1.4", [f"--ca-file={registry.ca_file}"]
    told = rocket("fetch", *options, reference, status=254)
    pinned = f"{reference}@{registry.digest('shop/web:1.4')}"
    assert f"pin it: {pinned};" in told
    image, tree = fetched(rocket, pinned, *options)
    assert (image["name"], image["verdict"]["kind"]) == (f"localhost~{registry.port}/shop/web", "pinned")
    check_trees(tree, layout.unpacked("web", tmp_path / "theirs"))
    registry.close()
    assert rocket("fetch", pinned).strip() == image["id"]


def test_a_second_image_gets_only_what_is_new(layout, registry_with, tmp_path):
    registry, rocket = registry_with(), host(tmp_path, "host")
    for tag in ("base", "web"):
        registry.push(f"oci:{layout.path}:{tag}", f"shop/web:{tag}")
    storage = tmp_path / "registry" / "storage"
    options = [f"--ca-file={registry.ca_file}"]
    rocket("fetch", *options, f"docker://{registry.host}/shop/web:base@{registry.digest('shop/web:base')}")
    pinned = f"docker://{registry.host}/shop/web:web@{registry.digest('shop/web:web')}"
    manifest = json.loads(
        run(
            "skopeo", "--insecure-policy", "inspect", "--raw", "--cert-dir", registry.certificates, f"docker://{registry.host}/shop/web:web"
        )
    )
    shared = manifest["layers"][0]["digest"]
    # The registry has lost the layer that both share.
    blob = next(storage.glob(f"**/blobs/sha256/*/{shared[7:]}/data"))
    blob.unlink()
    _image, tree = fetched(rocket, pinned, *options)
    check_trees(tree, layout.unpacked("web", tmp_path / "theirs"))
    fresh = host(tmp_path, "fresh")
    assert "404" in fresh("fetch", *options, pinned, status=254)


def test_layers_are_collected_when_no_image_is_made_of_them(layout, registry_with, tmp_path):
    registry, rocket = registry_with(), host(tmp_path, "host")
    registry.push(f"oci:{layout.path}:web", "shop/web:1")
    image, _tree = fetched(rocket, f"docker://{registry.host}/shop/web:1@{registry.digest('shop/web:1')}", f"--ca-file={registry.ca_file}")
    layers = [path for path in (tmp_path / "host" / "data" / "blobs").rglob("*") if path.is_file()]
    assert len(layers) == 2
    assert json.loads(rocket("gc", "--format=json"))["steps"] == []
    dry = {step["subject"] for step in json.loads(rocket("gc", "--dry-run", "--image-grace=0", "--format=json"))["steps"]}
    assert dry >= {image["id"], *(f"sha256:{path.name}" for path in layers)}
    done = {step["subject"] for step in json.loads(rocket("gc", "--image-grace=0", "--format=json"))["steps"]}
    assert done == dry
    assert not any(path.exists() for path in layers)


def test_passwords(layout, registry_with, program, tmp_path):
    program("htpasswd")
    passwords = tmp_path / "htpasswd"
    passwords.write_text(run("htpasswd", "-Bbn", "user", "secret"))
    registry = registry_with(f"auth: {{htpasswd: {{realm: tests, path: {passwords}}}}}")
    registry.push(f"oci:{layout.path}:web", "shop/web:1", "--dest-creds", "user:secret")
    pinned = f"docker://{registry.host}/shop/web:1@{registry.digest('shop/web:1', '--creds', 'user:secret')}"
    options = [f"--ca-file={registry.ca_file}", pinned]
    assert "auth.d/localhost.json, of kind dockerAuth" in host(tmp_path, "host")("fetch", *options, status=254)
    assert knowing(host, tmp_path, registry, "user", "secret")("fetch", *options).startswith("sha512-")


def knowing(rocket_of, tmp_path, registry, user, password):
    """Return the command of a host that has a credential for the registry."""
    rocket = rocket_of(tmp_path, "with")
    value = {
        "rktKind": "dockerAuth",
        "rktVersion": "v1",
        "registries": [registry.host],
        "credentials": {"user": user, "password": password},
    }
    path = tmp_path / "with" / "etc" / "auth.d" / "registry.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return rocket


def test_tokens(layout, registry_with, authority, tmp_path):
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from fetch_site import Site

    pem = pathlib.Path(authority.certificate()).read_bytes()
    (tmp_path / "signer.pem").write_bytes(pem)
    key = serialization.load_pem_private_key(pem, None)
    der = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :]).public_bytes(serialization.Encoding.DER)
    (tmp_path / "bundle.pem").write_bytes(pem[pem.index(b"-----BEGIN CERT") :])
    site = Site(authority.certificate())
    try:
        tokens = TokenServer(site, key, der, {"user": "secret"})
        realm = f"https://localhost:{site.port}/token"
        auth = f"{{realm: '{realm}', service: tests, issuer: tests, rootcertbundle: {tmp_path}/bundle.pem}}"
        registry = registry_with(f"auth: {{token: {auth}}}")
        registry.push(f"oci:{layout.path}:web", "shop/web:1", "--dest-creds", "user:secret")
        pinned = f"docker://{registry.host}/shop/web:1@{registry.digest('shop/web:1')}"
        rocket, options = host(tmp_path, "host"), [f"--ca-file={registry.ca_file}"]
        told = rocket("fetch", *options, pinned, status=254)
        allowed = f"--token-server={registry.host}=localhost:{site.port}"
        assert allowed in told
        tokens.asked.clear()
        assert rocket("fetch", *options, allowed, pinned).startswith("sha512-")
        assert [(query["scope"], given) for query, given in tokens.asked] == [(["repository:shop/web:pull"], "")]
        tokens.asked.clear()
        assert knowing(host, tmp_path, registry, "user", "secret")("fetch", *options, allowed, pinned).startswith("sha512-")
        assert [query["scope"] for query, _given in tokens.asked] == [["repository:shop/web:pull"]]
        assert tokens.asked[0][1].startswith("Basic ")
    finally:
        site.close()


def status_of(text):
    return {name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s+([0-9a-f]+)$", text, re.MULTILINE)}


def test_it_runs_with_the_eleven_capabilities(layout, tmp_path):
    rocket = host(tmp_path, "host")
    rocket("fetch", "--name=example.com/shop/web", f"oci:{layout.path}:web@{layout.digest('web')}")
    found = status_of(rocket("run", "--net=none", "example.com/shop/web"))
    assert found == {"CapInh": 0, "CapPrm": ELEVEN, "CapEff": ELEVEN, "CapBnd": ELEVEN, "CapAmb": 0}
    output = rocket(
        "run", "--net=none", "example.com/shop/web", "--exec=/bin/busybox", "--", "sh", "-c", "pwd; echo $PATH; id; busybox ls /"
    )
    assert output.splitlines()[:3] == ["/srv/made/by/us", "/bin", "uid=0(root) gid=0(root)"]
    assert not set(output.split()) & {".wh.lib64", ".wh..wh..opq"}


def test_the_user_of_the_image_with_his_groups(tools, tmp_path):
    made = Layout(tmp_path)
    grow(made.root)
    made.commit("web")
    made.config("--config.user", "app", "--config.entrypoint", "/bin/id")
    rocket = host(tmp_path, "host")
    rocket("fetch", f"oci:{made.path}:web@{made.digest('web')}")
    assert rocket("run", "--net=none", "localhost/web") == "uid=1000(app) gid=1000(app) groups=50(logs)\n"


def test_what_is_not_pinned_runs_only_where_that_is_allowed(layout, tmp_path):
    (tmp_path / "host").mkdir()
    loose, rocket = Rocket(tmp_path / "host"), Rocket(tmp_path / "host", insecure=False)
    loose("fetch", f"oci:{layout.path}:web")
    assert "CapEff" in loose("run", "--net=none", "localhost/web")
    assert "without a valid signature" in rocket("run", "--net=none", "localhost/web", status=254)


def test_an_image_that_is_signed_again_is_an_ordinary_signed_one(layout, program, tmp_path):
    """The example of docs/oci.md: fetched and looked at on one machine, signed there, trusted by name everywhere else."""
    program("gpg")
    pytest.importorskip("cryptography")
    builder, production = host(tmp_path, "builder"), host(tmp_path, "production")
    builder("fetch", "--name=example.com/shop/web", f"oci:{layout.path}:web@{layout.digest('web')}")
    builder("image", "export", "example.com/shop/web", str(tmp_path / "web.aci"))
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    run(*gpg, "--quick-gen-key", "Release <release@example.com>", "rsa3072", "sign", "1y")
    run(*gpg, "--armor", "--detach-sign", tmp_path / "web.aci")
    (tmp_path / "release.asc").write_text(run(*gpg, "--armor", "--export"))
    fingerprint = re.search(r"^fpr:+(\w+):", run(*gpg, "--with-colons", "--list-keys"), re.MULTILINE)[1]
    production("trust", "--prefix=example.com/shop", f"--fingerprint={fingerprint}", str(tmp_path / "release.asc"))
    production("fetch", str(tmp_path / "web.aci"))
    found = json.loads(production("image", "list", "--format=json"))[0]
    assert (found["name"], found["verdict"]["kind"]) == ("example.com/shop/web", "signed")
    assert status_of(production("run", "--net=none", "example.com/shop/web"))["CapEff"] == ELEVEN


def test_the_specifications_own_reader_takes_what_is_made(layout, program, tmp_path):
    program("actool")
    rocket = host(tmp_path, "host")
    rocket("fetch", f"oci:{layout.path}:web@{layout.digest('web')}")
    rocket("image", "export", "localhost/web", str(tmp_path / "web.aci"))
    assert run("actool", "validate", tmp_path / "web.aci") == ""


def test_the_same_file_on_another_host(layout, tmp_path):
    exported = []
    for name in ("one", "two"):
        rocket = host(tmp_path, name)
        rocket("fetch", f"oci:{layout.path}:web@{layout.digest('web')}")
        rocket("image", "export", "localhost/web", str(tmp_path / f"{name}.aci"))
        exported.append((tmp_path / f"{name}.aci").read_bytes())
    assert exported[0] == exported[1]
