#!/bin/sh
# Written by scs-deploy: what is found out about this node only now goes into the configuration.
set -eu
read -r accelerator </run/libvirt/scs-accelerator
mode=none
[ "$accelerator" = qemu ] || mode=$SCS_CPU_MODE
reserved=$SCS_RESERVED_MB
if [ "$reserved" = 0 ]; then
    reserved=$SCS_OF_GROUPS_MB
    # As libvirt counts: on machines that get their memory by and by it is less than the kernel's total.
    half=$(awk '/ MemTotal: / { kib += $4 } END { print int(kib / 2048) }' /sys/devices/system/node/node*/meminfo)
    [ "$reserved" -le "$half" ] || reserved=$half
fi
printf '[DEFAULT]\nreserved_host_memory_mb = %s\n[libvirt]\nvirt_type = %s\ncpu_mode = %s\n' \
    "$reserved" "$accelerator" "$mode" >/run/nova-node.conf
mkdir -p /var/lib/nova/instances /var/lib/nova/locks
# The same for this node for ever, also after it was installed anew.
[ -s /var/lib/nova/compute_id ] ||
    python3 -c 'import sys, uuid; print(uuid.uuid5(uuid.NAMESPACE_DNS, sys.argv[1]))' "$SCS_NAME" \
        >/var/lib/nova/compute_id
# Nova's very first start asks libvirt before it has an event loop, and would then hear of no event until it is restarted.
exec python3 -c 'import libvirt; libvirt.virEventRegisterDefaultImpl(); import nova.cmd.compute; nova.cmd.compute.main()' \
    --config-file /etc/nova/nova.conf --config-file /run/nova-node.conf
