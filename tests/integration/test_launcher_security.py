# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Hostile images, volumes and callers against real pods; the numbers are those of docs/security-model.md."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest
from launcher_pods import make_app, volume

pytestmark = pytest.mark.usefixtures("host")


def test_l1_an_entry_that_is_its_own_interpreter_never_gets_the_hosts(pod_of, tree):
    """The kernel runs the calling program as interpreter: it must be ours, sealed, and not Python."""
    (tree / "entry").write_text("#!/proc/self/exe\n")
    (tree / "entry").chmod(0o755)
    before = hashlib.sha256(Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest()
    pod = pod_of(exec=["/entry"])
    pod.start()
    assert pod.wait() == 127
    assert hashlib.sha256(Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest() == before


def test_l1_init_is_sealed_and_holds_nothing(pod_of):
    pod = pod_of("sleep 1000")
    assert pod.start() == "ok"
    _supervisor, init = pod.pids()
    assert os.readlink(f"/proc/{init}/exe").startswith("/memfd:rocket-init")
    assert os.listdir(f"/proc/{init}/fd") == []
    assert os.listdir(f"/proc/{init}/root/") == []
    status = Path(f"/proc/{init}/status").read_text()
    for line in ("CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "Name:\trocket-init"):
        assert line in status
    with pytest.raises(OSError):
        os.open(f"/proc/{init}/exe", os.O_WRONLY)


@pytest.mark.parametrize("number", [3, 4, 5, 7, 40, 60])
def test_l2_the_working_directory_is_no_way_through_a_descriptor(pod_of, number):
    outside = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    pod = pod_of("ls", working_directory=f"/proc/self/fd/{number}")

    announced = pod.start(prepare=lambda: number < 20 or os.dup2(outside, number))
    os.close(outside)
    assert pod.wait() == 254
    assert "working directory" in announced


@pytest.mark.spec("M10")
def test_a_missing_working_directory_is_an_error(pod_of, tree):
    pod = pod_of(working_directory="/no/where")
    assert "/no/where" in pod.start()
    assert pod.wait() == 254
    assert not (pod.directory / "apps/app/upper/no").exists()


def test_l3_no_descriptor_of_the_caller_gets_in(pod_of):
    def leak():
        for _index in range(20):
            os.set_inheritable(os.open("/etc", os.O_RDONLY | os.O_DIRECTORY), True)

    pod = pod_of("cd /proc/self/fd; echo *")
    assert pod.run(prepare=leak) == 0
    assert pod.log().split() in (["0", "1", "2"], ["0", "1", "2", "3"])  # 3: the listing's own


def test_l3_the_lock_is_not_held_by_the_pod(pod_of, tmp_path):
    import fcntl

    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    pod = pod_of("sleep 1000")
    assert pod.start(lock_fd=lock) == "ok"
    _supervisor, init = pod.pids()
    os.close(lock)
    main = pod.status()["pid"]
    for pid in (init, main):
        assert not any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/lock") for fd in os.listdir(f"/proc/{pid}/fd"))


FACTS = "grep -E '^(Cap|NoNewPrivs|Sig(Ign|Blk)|Groups|Uid|Gid)' /proc/self/status; cat /proc/self/oom_score_adj; umask; ulimit -n"


@pytest.mark.spec("E6", "M8", "neither capabilities set", "os/linux/oom-score-adj enforced", "os/linux/no-new-privileges enforced")
@pytest.mark.parametrize(("user", "effective"), [("0", "00000000a80425fb"), ("1000", "0000000000000000")])
def test_l5_l42_capabilities_signals_and_groups(pod_of, user, effective):
    pod = pod_of(FACTS, user=user, group=user, supplementary_gids=[7, 9], oom_score_adj=500)
    assert pod.run(prepare=lambda: os.setgroups([0, 4, 27])) == 0
    lines = pod.log().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    assert {name: found[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": "0" * 16, "CapPrm": effective, "CapEff": effective, "CapBnd": "00000000a80425fb", "CapAmb": "0" * 16,
    }  # fmt: skip
    assert found["Groups"].split() == ["7", "9"]
    assert found["NoNewPrivs"].strip() == "1"
    assert found["SigIgn"].strip() == found["SigBlk"].strip() == "0" * 16
    assert found["Uid"].split() == [user] * 4 == found["Gid"].split()
    assert lines[-3:-1] == ["500", "0022"]
    assert int(lines[-1]) == 1024


@pytest.mark.spec("M7")
@pytest.mark.parametrize(("user", "uid"), [("web", "1000"), ("0", "0"), ("4711", "4711"), ("1000", "0"), ("/owned", "33"), ("/link", "44")])
def test_l8_users_are_names_then_numbers_then_owners(pod_of, tree, user, uid):
    """``1000`` is a *name* in this image, so it is uid 0: the name comes first, as the specification says."""
    with (tree / "etc/passwd").open("a") as file:
        file.write("1000:x:0:0::/:/bin/sh\n")
    (tree / "owned").touch()
    os.chown(tree / "owned", 33, 33)
    (tree / "link").symlink_to("/etc/shadow")
    os.lchown(tree / "link", 44, 44)
    pod = pod_of("id -u", user=user)
    assert pod.run() == 0, pod.error
    assert pod.log().strip() == uid


@pytest.mark.spec("M7")
@pytest.mark.parametrize("user", ["4294967296", "2147483647", "-1", "0x0", "1000:", "nobody-here", "/no/such", "٣"])
def test_l8_users_that_are_nobody_are_refused(pod_of, user):
    pod = pod_of("id -u", user=user)
    assert pod.start() != "ok"
    assert pod.wait() == 254
    assert pod.log() == ""


@pytest.mark.parametrize("kind", ["link", "fifo", "huge", "directory"])
def test_l9_a_passwd_that_is_no_plain_file_is_refused(pod_of, tree, kind):
    passwd = tree / "etc/passwd"
    passwd.unlink()
    if kind == "link":
        passwd.symlink_to("/etc/group")
    elif kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "directory":
        passwd.mkdir()
    else:
        with passwd.open("wb") as file:
            file.truncate(2 << 30)
    pod = pod_of("id -u", user="root")
    announced = pod.start()
    assert pod.wait(10) == 254
    assert "/etc/passwd" in announced and "refused" in announced


@pytest.mark.spec("E4")
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("kind", ["link", "link inside", "file"])
def test_l10_l14_the_kernels_directories_are_real(pod_of, tree, tmp_path, name, kind):
    victim = tmp_path / "victim"
    victim.mkdir()
    (tree / name).rmdir()
    if kind == "file":
        (tree / name).touch()
    else:
        (tree / name).symlink_to(victim if kind == "link" else "/tmp")
    pod = pod_of("true")
    announced = pod.start()
    assert pod.wait() == 254
    assert f"the image's /{name} is" in announced
    assert list(victim.iterdir()) == []


@pytest.mark.spec("E4")
def test_the_kernels_directories_have_what_the_specification_lists(pod_of):
    nodes = "null zero full random urandom tty console"
    script = f"""
    cd /dev; for n in {nodes}; do stat -c "%n %F %t:%T %a" $n; done; readlink ptmx; test -c pts/ptmx && echo multiplexer
    stat -f -c "%n %T" /proc /sys /dev/pts /dev/shm
    """
    pod = pod_of(script)
    assert pod.run() == 0
    numbers = "1:3 1:5 1:7 1:8 1:9 5:0 1:3"
    expected = [f"{node} character special file {number} 666" for node, number in zip(nodes.split(), numbers.split())]
    lines = pod.log().splitlines()
    assert lines[:9] == [*expected, "pts/ptmx", "multiplexer"]
    assert [line.split()[0] for line in lines[9:]] == ["/proc", "/sys", "/dev/pts", "/dev/shm"]
    types = [line.split()[1].removeprefix("0x") for line in lines[9:]]
    assert types == ["proc", "sysfs", "devpts", "tmpfs"] or types == ["9fa0", "62656572", "1cd1", "1021994"], types


def test_missing_kernel_directories_are_made_in_the_pods_own_layer(pod_of, tree):
    for name in ("proc", "sys", "dev"):
        (tree / name).rmdir()
    pod = pod_of("test -c /dev/null && test -e /proc/self && test -d /sys/kernel")
    assert pod.run() == 0
    assert not (tree / "proc").exists()


def test_l12_masks_do_not_use_the_images_null(pod_of, tree):
    """What a write to a masked path reaches is the null device, whatever the image calls /dev/null."""
    (tree / "dev/null").symlink_to("/victim")
    (tree / "victim").write_text("untouched\n")
    pod = pod_of("echo harm > /proc/timer_list; echo harm > /proc/keys; echo harm > /dev/null; cat /victim; stat -c '%t:%T' /proc/keys")
    assert pod.run() == 0
    assert pod.log() == "untouched\n1:3\n"


def test_l22_l23_l25_what_must_not_be_written_or_seen(pod_of):
    script = """
    for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do
      (echo x > $f) 2>/dev/null && echo wrote $f
    done
    for d in /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo made $d; (echo 1 > $d/cgroup.procs) 2>/dev/null && echo moved $d; done
    test -s /proc/keys && echo keys; test -s /proc/timer_list && echo timers; ls /sys/firmware /proc/acpi 2>/dev/null | grep -v :
    umount /proc/keys 2>/dev/null && echo unmasked; mount -o remount,rw /sys 2>/dev/null && echo remounted
    grep -v ':/$' /proc/self/cgroup
    true
    """
    pod = pod_of(script)
    assert pod.run() == 0
    assert pod.log().split() == []


def test_l24_nodes_made_by_an_app_do_nothing(pod_of, tree):
    (tree / "bin/mknod").symlink_to("busybox")
    pod = pod_of("for d in /made /dev/shm/made /dev/made; do mknod $d c 1 5; head -c 1 $d | wc -c; done")
    assert pod.run() == 0
    assert [line for line in pod.log().splitlines() if line.isdigit()] == ["0", "0", "0"]


@pytest.mark.spec("P7")
def test_a_read_only_root_stays_read_only(pod_of, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    pod = pod_of("touch /x 2>/dev/null && echo root; touch /new/target/y && echo volume; touch /dev/x 2>/dev/null && echo dev; true",
                 read_only_root=True, mounts=[volume(data, "/new/target")])  # fmt: skip
    assert pod.run() == 0
    assert pod.log() == "volume\n"
    assert (data / "y").exists()


@pytest.mark.spec("D6", "D7")
def test_the_tree_itself_is_never_written(pod_of, tree):
    pod = pod_of("echo harm > /etc/passwd; rm /bin/cat; touch /new")
    assert pod.run() == 0
    assert "root:x:0" in (tree / "etc/passwd").read_text() and (tree / "bin/cat").is_symlink() and not (tree / "new").exists()


@pytest.mark.spec("P19")
@pytest.mark.parametrize("where", ["last", "middle"])
def test_a_volume_behind_a_link_is_refused(pod_of, tmp_path, where):
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/inner" if where == "last" else "real")
    source = tmp_path / "link" if where == "last" else tmp_path / "link/inner"
    pod = pod_of("true", mounts=[volume(source, "/data")])
    assert "link (P19)" in pod.start()
    assert pod.wait() == 254


@pytest.mark.spec("P17")
def test_a_missing_source_is_an_error_and_is_not_made(pod_of, tmp_path):
    pod = pod_of("true", mounts=[volume(tmp_path / "none", "/data")])
    assert "does not exist (P17)" in pod.start()
    assert pod.wait() == 254
    assert not (tmp_path / "none").exists()


@pytest.mark.spec("P16")
@pytest.mark.parametrize(
    "targets",
    [["/a", "/a"], ["/a", "/a/b"], ["/a/b", "/a"], ["/"], ["/proc"], ["/proc/self"], ["/sys/x"], ["/dev"], ["/dev/pts"], ["/a", "/alias"]],
)
def test_l10_l15_targets_that_meet_are_refused(pod_of, tree, tmp_path, targets):
    (tmp_path / "data/b").mkdir(parents=True)
    (tree / "a").mkdir()
    (tree / "alias").symlink_to("/a")
    pod = pod_of("true", mounts=[volume(tmp_path / "data", target) for target in targets])
    announced = pod.start()
    assert pod.wait() == 254
    assert "P16" in announced or "below the root" in announced


@pytest.mark.spec("P14")
def test_l16_targets_are_made_inside_the_root_whatever_its_links_say(pod_of, tree, tmp_path):
    victim, data = tmp_path / "victim", tmp_path / "data"
    victim.mkdir(), data.mkdir()
    (data / "here").touch()
    (tree / "up").symlink_to("../../../../../../../../../../tmp")
    (tree / "out").symlink_to(victim)
    pod = pod_of("ls /up/made /tmp/made; stat -c '%a %u' /new/deep", mounts=[volume(data, "/up/made"), volume(data, "/new/deep/er")])
    assert pod.run() == 0, pod.error
    assert pod.log().split() == ["/tmp/made:", "here", "/up/made:", "here", "755", "0"]
    pod = pod_of("true", name="dangling", mounts=[volume(data, "/out/made")])
    assert "leads nowhere" in pod.start()
    assert pod.wait() == 254
    assert list(victim.iterdir()) == []


@pytest.mark.spec("P18")
def test_single_files_are_volumes_too(pod_of, tmp_path):
    (tmp_path / "file").write_text("content\n")
    pod = pod_of("cat /etc/file /etc/passwd; (echo x > /etc/file) 2>/dev/null || echo refused",
                 mounts=[volume(tmp_path / "file", "/etc/file", read_only=True), volume(tmp_path / "file", "/etc/passwd")])  # fmt: skip
    assert pod.run() == 0, pod.error
    assert pod.log() == "content\ncontent\nrefused\n"


@pytest.mark.spec("P15")
def test_a_file_gives_way_to_a_directory_and_hidden_files_are_told(pod_of, tree, tmp_path):
    (tmp_path / "data").mkdir()
    (tree / "file").touch()
    (tree / "full").mkdir()
    (tree / "full/hidden").touch()
    pod = pod_of("ls /full; test -d /file", mounts=[volume(tmp_path / "data", "/file"), volume(tmp_path / "data", "/full")])
    assert pod.run() == 0, pod.error
    assert pod.log() == ""
    assert len(pod.status()["warnings"]) == 2 and "replaced" in pod.status()["warnings"][0]


def test_l35_read_only_reaches_the_mounts_inside_a_volume(pod_of, tmp_path, program):
    """The tmpfs lies in a mount namespace of the supervisor's own, so that the machine never sees it."""
    (tmp_path / "data/inner").mkdir(parents=True)

    def mount_inside():
        from _rocket.run.linux import constants as c
        from _rocket.run.linux.kernel import Kernel

        kernel = Kernel()
        kernel.unshare(c.CLONE_NEWNS)
        kernel.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)
        kernel.mount("tmpfs", str(tmp_path / "data/inner"), "tmpfs", 0)

    script = """touch /ro/x /ro/inner/x 2>/dev/null; touch /rw/inner/y && echo rw
    ls /ro /ro/inner /top/inner; grep -c shared: /proc/self/mountinfo"""
    data = tmp_path / "data"
    mounts = [volume(data, "/ro", read_only=True), volume(data, "/rw"), volume(data, "/top", recursive=False)]
    pod = pod_of(script, mounts=mounts)
    pod.run(prepare=mount_inside)
    assert pod.log().split() == ["rw", "/ro:", "inner", "/ro/inner:", "y", "/top/inner:", "0"]


def test_l15_a_pod_that_swaps_links_in_a_shared_volume_wins_nothing(tree, pod_with, tmp_path):
    """A target below a shared volume is refused by the kernel, so that there is nothing to swap."""
    data = tmp_path / "data"
    (data / "target").mkdir(parents=True)
    apps = [
        make_app("swaps", tree, "while :; do rm -rf /data/target; ln -s / /data/target; rm /data/target; mkdir /data/target; done"),
        make_app("mounts", tree, "true"),
    ]
    apps[0]["mounts"] = [volume(data, "/data")]
    apps[1]["mounts"] = [volume(data, "/data"), volume(data, "/data/target")]
    pod = pod_with(apps)
    assert "P16" in pod.start()
    assert pod.wait() == 254


def test_host_processes_and_paths_are_out_of_reach(pod_of, tmp_path):
    (tmp_path / "secret").write_text("secret")
    pod = pod_of(f"cat {tmp_path}/secret /proc/1/root{tmp_path}/secret /proc/1/cwd/etc/shadow; ls /proc | grep -c '^[0-9]'")
    assert pod.run() == 0
    lines = pod.log().splitlines()
    assert "secret" not in lines
    assert int(lines[-1]) <= 6


def test_uid_mapped_python_is_not_in_the_pod(pod_of):
    pod = pod_of("for p in /proc/[0-9]*; do readlink $p/exe; done; true")
    assert pod.run() == 0
    assert "python" not in pod.log()


def test_a_tree_with_odd_characters_in_its_path_works(tmp_path, pod_with, tree):
    odd = tmp_path / "a,b:c\\d e"
    shutil.move(tree, odd)
    pod = pod_with([make_app("app", odd, "echo fine")], name="p,o:d\\ x")
    assert pod.run() == 0, pod.error
    assert pod.log() == "fine\n"


def test_the_lower_tree_may_hold_overlay_names(tmp_path, pod_with, tree, program):
    """L37: redirects of a hostile tree are not followed."""
    (tree / "plain").mkdir()
    (tree / "etc2").mkdir()
    os.setxattr(tree / "plain", "trusted.overlay.redirect", b"/etc")
    pod = pod_with([make_app("app", tree, "ls /plain")])
    pod.run()
    assert "passwd" not in pod.log()


def test_l42_the_caller_cannot_take_the_apps_random_addresses_away(pod_of):
    import ctypes

    pod = pod_of("cat /proc/self/personality")
    pod.start(prepare=lambda: ctypes.CDLL(None).personality(0x0040000))
    assert pod.wait() == 0
    assert pod.log().strip() == "00000000"
