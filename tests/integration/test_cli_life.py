# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The command from an image file to an ended pod, each step a process of its own, as an operator types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from rocket_command import Rocket

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
  if (count > 1 && !strcmp(words[1], "wait")) { puts("waiting"); fflush(stdout); for (;;) pause(); }
  if (count > 1 && !strcmp(words[1], "env")) { printf("%s %d\n", getenv(words[2]), (int)getuid()); return 0; }
  if (count > 1 && !strcmp(words[1], "escape")) { puts("\033[2Jcleared"); return 0; }
  printf("hello from %d\n", (int)getpid());
  return count > 1 ? atoi(words[1]) : 0;
}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("missing ability: the program cc")
    directory = tmp_path_factory.mktemp("image")
    (directory / "tree" / "bin").mkdir(parents=True)
    (directory / "app.c").write_text(PROGRAM)
    subprocess.run([compiler, "-static", "-O1", "-o", directory / "tree" / "bin" / "app", directory / "app.c"], check=True)
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1.0.0"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "app": {"exec": ["/bin/app"], "user": "0", "group": "0"},
    }
    (directory / "web.json").write_text(json.dumps(manifest))
    rocket = Rocket(directory)
    made = rocket("image", "build", f"--manifest={directory}/web.json", f"--output={directory}/web.aci", f"{directory}/tree").strip()
    return str(directory / "web.aci"), made


@pytest.fixture
def rocket(image, tmp_path):
    made = Rocket(tmp_path)
    assert made("fetch", image[0]).strip() == image[1]
    yield made
    made.clear_away()


def wait_until(condition, process=None):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def state(rocket, uuid):
    return json.loads(rocket("status", "--format=json", uuid))["state"]


@pytest.mark.parametrize("status", [0, 7, 255])
def test_run_returns_the_apps_status_and_shows_its_output(rocket, status):
    process = rocket.start("run", "example.com/shop/web:1.0.0", "--", str(status))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status and output.startswith("hello from ") and errors == ""


def test_options_reach_the_app(rocket):
    words = [
        "--set-env=GREETING=weak",
        "example.com/shop/web",
        "--environment=GREETING=a b",
        "--user=1000",
        "--group=1000",
        "--",
        "env",
        "GREETING",
    ]
    assert rocket("run", *words) == "a b 1000\n"


def test_without_the_relaxation_an_unsigned_image_does_not_run(rocket, tmp_path):
    strict = Rocket(tmp_path, insecure=False)
    told = strict("run", "example.com/shop/web", status=254)
    assert told.count("\n") == 1 and "without a valid signature" in told
    assert json.loads(strict("list", "--format=json")) == []
    uuid = rocket("prepare", "example.com/shop/web").strip()
    assert "without a valid signature" in strict("run-prepared", uuid, status=254)
    assert state(rocket, uuid) == "prepared"


def test_an_unsigned_image_is_not_fetched(image, tmp_path):
    assert "web.aci.asc" in Rocket(tmp_path, insecure=False)("fetch", image[0], status=254)


def test_an_image_pinned_by_its_id_needs_no_relaxation(image, tmp_path):
    strict = Rocket(tmp_path, insecure=False)
    assert strict("fetch", f"--image-id={image[1]}", image[0]).strip() == image[1]
    assert strict("run", image[1][:20]).startswith("hello")


def test_a_signed_image_runs_while_its_signer_is_trusted(image, tmp_path):
    gpg = shutil.which("gpg")
    if gpg is None:
        pytest.skip("missing ability: the program gpg")
    pytest.importorskip("cryptography")
    (tmp_path / "gnupg").mkdir(mode=0o700)
    base = [gpg, "--homedir", str(tmp_path / "gnupg"), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*base, "--quick-generate-key", "Shop <shop@example.com>", "ed25519", "sign", "never"], check=True, capture_output=True)
    listing = subprocess.run([*base, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    shutil.copy(image[0], tmp_path / "web.aci")
    for words in (["--export", "--output", str(tmp_path / "key.asc")], ["--detach-sign", str(tmp_path / "web.aci")]):
        subprocess.run([*base, "--armor", *words], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(tmp_path / "gnupg"), "--kill", "all"], check=False, capture_output=True)

    strict = Rocket(tmp_path, insecure=False)
    assert "rocket trust --prefix" in strict("fetch", f"{tmp_path}/web.aci", status=254)
    strict("trust", "--prefix=example.com/sho", f"--fingerprint={fingerprint}", f"{tmp_path}/key.asc")
    strict("fetch", f"{tmp_path}/web.aci", status=254)
    strict("trust", "--prefix=example.com/shop", f"--fingerprint={fingerprint}", f"{tmp_path}/key.asc")
    assert strict("fetch", f"{tmp_path}/web.aci").strip() == image[1]
    assert "Shop <shop@example.com>" in strict("image", "list")
    assert strict("run", "example.com/shop/web").startswith("hello from ")
    uuid = strict("prepare", "example.com/shop/web").strip()
    strict("trust", f"--remove={fingerprint}", "--prefix=example.com/shop")
    assert "no signer is trusted" in strict("run", "example.com/shop/web", status=254)
    assert "no signer is trusted" in strict("run-prepared", uuid, status=254)


def test_prepare_status_run_stop_logs_rm(rocket, tmp_path):
    uuid = rocket("prepare", f"--uuid-file-save={tmp_path}/uuid", "example.com/shop/web", "--memory=64Mi", "--", "wait").strip()
    assert (tmp_path / "uuid").read_text() == f"{uuid}\n"
    assert f"uuid={uuid}\nstate=prepared\n" in rocket("status", uuid[:8])
    process = rocket.start("run-prepared", uuid)
    try:
        wait_until(lambda: "app-web=running" in rocket("status", uuid), process)
        assert "running" in rocket("list") and uuid[:8] in rocket("list")
        assert "locked" in rocket("rm", uuid, status=254)
        assert "the pod is running" in rocket("run-prepared", uuid, status=254)
        waiter = rocket.start("status", "--wait", uuid)
        assert rocket("stop", uuid) == f"{uuid}\n"
        assert process.wait(timeout=60) == 143
        output, _rest = waiter.communicate(timeout=60)
        assert "state=exited" in output and "app-web=143" in output
    finally:
        process.kill()
        process.communicate()
    assert rocket("stop", uuid) == ""
    assert rocket("logs", uuid) == "waiting\n"
    assert rocket("rm", uuid) == f"{uuid}\n"
    assert rocket("logs", uuid) == "waiting\n", "logs outlive the pod"
    assert "there is no such pod" in rocket("status", uuid, status=254)


def test_a_further_program_runs_as_the_app_does(rocket):
    uuid = rocket("prepare", "example.com/shop/web", "--user=1000", "--group=1000", "--environment=WHO=app", "--", "wait").strip()
    process = rocket.start("run-prepared", uuid)
    try:
        wait_until(lambda: "app-web=running" in rocket("status", uuid), process)
        assert rocket("enter", uuid, "/bin/app", "env", "WHO") == "app 1000\n"
        assert rocket("enter", "--app=web", uuid, "--", "/bin/app", "9", status=9).startswith("hello from ")
        assert "its apps: web" in rocket("enter", "--app=cache", uuid, status=254)
        assert "/bin/none" in rocket("enter", uuid, "/bin/none", status=254)
        rocket("stop", "--force", uuid)
        assert process.wait(timeout=60) == 137
    finally:
        process.kill()
        process.communicate()
    assert "the pod is exited" in rocket("enter", uuid, status=254)


def test_interrupting_the_command_stops_the_pod(rocket):
    process = rocket.start("run", "example.com/shop/web", "--", "wait")
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _rest, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in errors


def test_logs_follow_until_the_end_and_tail(rocket):
    uuid = rocket("prepare", "example.com/shop/web").strip()
    follower = rocket.start("logs", "--follow", uuid)
    rocket("run-prepared", uuid)
    output, errors = follower.communicate(timeout=60)
    assert output.startswith("hello from "), errors
    assert rocket("logs", "--tail=0", uuid) == ""
    assert "did you mean web?" in rocket("logs", "--app=wbe", uuid, status=254)


def test_ready_descriptor_says_ok_or_why_not(rocket):
    for app, told in ((["--", "wait"], "ok\n"), (["--exec=/bin/none"], "/bin/none")):
        uuid = rocket("prepare", "example.com/shop/web", *app).strip()
        reader, writer = os.pipe()
        process = rocket.start("run-prepared", f"--ready-fd={writer}", uuid, pass_fds=(writer,))
        os.close(writer)
        with os.fdopen(reader) as source:
            line = source.readline()
        try:
            assert told in line and line.endswith("\n")
            assert (line == "ok\n") is (told == "ok\n")
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_a_refusal_reaches_whoever_waits_for_readiness(rocket, tmp_path):
    uuid = rocket("prepare", "example.com/shop/web").strip()
    reader, writer = os.pipe()
    process = Rocket(tmp_path, insecure=False).start("run-prepared", f"--ready-fd={writer}", uuid, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as source:
        assert "without a valid signature" in source.readline()
    assert process.wait(timeout=60) == 254
    process.communicate()


def test_systemd_is_told_in_the_supervisors_name(rocket, tmp_path):
    """Type=notify with NotifyAccess=main: a word from any other process would not count."""
    import socket
    import struct

    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(tmp_path / "notify"))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    channel.settimeout(60)
    uuid = rocket("prepare", "example.com/shop/web", "--", "wait").strip()
    process = rocket.start("run-prepared", uuid, env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")})
    try:
        data, ancillary, _rest, _rest = channel.recvmsg(100, socket.CMSG_SPACE(12))
        assert data == b"READY=1"
        assert struct.unpack("3i", ancillary[0][2])[0] == process.pid
        assert "app-web=running" in rocket("status", uuid)
        rocket("stop", uuid)
        assert process.wait(timeout=60) == 143
    finally:
        process.kill()
        process.communicate()
        channel.close()


def test_escapes_of_an_app_reach_a_terminal_written_out(rocket):
    """L43: cat of the log file would clear the operator's screen."""
    import pty

    uuid = rocket("prepare", "example.com/shop/web", "--", "escape").strip()
    rocket("run-prepared", uuid)
    assert rocket("logs", uuid) == "\x1b[2Jcleared\n"
    main, terminal = pty.openpty()
    subprocess.run([*rocket.words, "logs", uuid], stdout=terminal, timeout=60, check=True)
    os.close(terminal)
    shown = os.read(main, 4096)
    os.close(main)
    assert b"\x1b" not in shown and rb"\x1b[2Jcleared" in shown


def test_an_image_in_use_stays_and_gc_takes_what_is_over(rocket, image):
    uuid = rocket("prepare", "example.com/shop/web").strip()
    assert "used by a pod" in rocket("image", "rm", image[1], status=254)
    rocket("run-prepared", uuid)
    assert uuid in rocket("gc", "--dry-run")
    assert state(rocket, uuid) == "exited"
    rocket("gc", "--grace-period=0", "--image-grace=0")
    assert json.loads(rocket("list", "--format=json")) == []
    rocket("gc", "--grace-period=0", "--image-grace=0")
    assert json.loads(rocket("image", "list", "--format=json")) == []


def test_manifests_are_shown_as_json(rocket, image):
    uuid = rocket("prepare", "example.com/shop/web").strip()
    assert json.loads(rocket("cat-manifest", uuid))["apps"][0]["image"]["id"] == image[1]
    assert json.loads(rocket("image", "cat-manifest", "example.com/shop/web"))["name"] == "example.com/shop/web"


def test_one_wrong_word_of_several_does_not_keep_the_others(rocket):
    uuid = rocket("prepare", "example.com/shop/web").strip()
    told = rocket("rm", "nothing", uuid, status=254)
    assert "1 of 2 failed: nothing" in told
    assert json.loads(rocket("list", "--format=json")) == []
