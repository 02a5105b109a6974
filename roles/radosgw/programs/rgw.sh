#!/bin/bash
# Starts the gateway.
set -euo pipefail

/etc/ceph/post-crashes
exec radosgw -f -n client.rgw
