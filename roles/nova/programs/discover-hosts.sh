#!/bin/sh
# Written by scs-deploy: makes compute nodes known to the scheduler, and waits until all of them are.
set -eu
wanted=$SCS_WANTED
for _ in $(seq 40); do
    nova-manage cell_v2 discover_hosts --by-service
    known=$(nova-manage cell_v2 list_hosts | awk -F'|' 'NF > 4 { gsub(/ /, "", $4); if ($4 != "Hostname") print $4 }')
    count=$(printf '%s' "$known" | grep -c . || true)
    [ "$count" -lt "$wanted" ] || exit 0
    sleep 5
done
# shellcheck disable=SC2086 # a line
echo "nova-compute reported on $count of $wanted nodes, namely:" $known "(see 'scs-deploy logs nova-compute' of the others)" >&2
exit 1
