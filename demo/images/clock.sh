#!/bin/sh
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
# The second app of the demo: writes the time, with a greeting, into the volume that the web server shows.
echo "clock: started"
while :; do
    echo "$GREETING, it is $(/bin/busybox date -u +%H:%M:%S)" >/data/now.new
    /bin/busybox mv /data/now.new /data/now
    /bin/busybox sleep 1
done
