#!/bin/bash
# Starts the manager.
set -euo pipefail

/etc/ceph/post-crashes
exec ceph-mgr -f -i "$SCS_NODE"
