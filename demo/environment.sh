# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What run and clean share: where the demo keeps things, and the rocket command of the demo's host.

demo_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo_dir=$demo_top/build/demo
demo_host=$demo_dir/host
demo_bin=$demo_top/.venv/bin

rocket() {
    "$demo_host/bin/rocket" --dir="$demo_host/var/lib/rocket" --local-config="$demo_host/etc/rocket" \
        --system-config="$demo_host/usr/lib/rocket" "$@"
}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; }
good() { printf '   \033[32mok\033[0m  %s\n' "$*"; }

fail() {
    printf '\033[31mThe demo failed: %s\033[0m\n' "$*" >&2
    exit 1
}
