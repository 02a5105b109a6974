#!/bin/bash
# Starts the switch. At a stop it keeps the OpenFlow flows, and the next start puts them back before it looks at traffic, so that
# a restart does not wait for whoever programs the flows.
set -euo pipefail

datapath=$SCS_DATAPATH
run=/run/openvswitch
db=unix:$run/db.sock
saved=$run/saved-flows
say() { echo "entry: $*" >&2; }
vsctl() { ovs-vsctl --timeout=30 --no-wait --db="$db" "$@"; }

if [ "$datapath" = netdev ] && [ ! -c /dev/net/tun ]; then
    say "the userspace datapath needs /dev/net/tun. fix: load the module tun, or pass the device to this machine"
    exit 78
fi
if [ "$datapath" = system ] && [ ! -e /sys/module/openvswitch ]; then
    say "the kernel's datapath needs the module openvswitch. fix: modprobe openvswitch, or set datapath to netdev"
    exit 78
fi

vsctl -- init -- set Open_vSwitch . external_ids:system-id="$SCS_NODE" external_ids:hostname="$SCS_NODE" \
    ovs_version="$(ovs-vsctl --version | sed -n '1s/.* //p')" system_type=debian
if [ "$datapath" = netdev ]; then  # without it TCP checksums of local senders are dropped by conntrack
    vsctl set Open_vSwitch . other_config:userspace-tso-enable=true
else
    vsctl remove Open_vSwitch . other_config userspace-tso-enable
fi
if [ -s "$saved/restore.sh" ]; then vsctl set Open_vSwitch . other_config:flow-restore-wait=true; fi

/usr/lib/openvswitch-switch/ovs-vswitchd "$db" --unixctl=$run/ovs-vswitchd.ctl --pidfile=$run/ovs-vswitchd.pid --no-chdir \
    -vconsole:info -vsyslog:off -vfile:off &
pid=$!

# shellcheck disable=SC2317 # called by a trap
stop() {
    trap '' TERM INT
    rm -rf "$saved"
    mkdir -m 0700 "$saved"
    local bridges
    mapfile -t bridges < <(vsctl list-br)
    if TMPDIR=$saved timeout 8 /usr/share/openvswitch/scripts/ovs-save save-flows "${bridges[@]}" >"$saved/restore.sh.new"; then
        mv "$saved/restore.sh.new" "$saved/restore.sh"
    fi
    # The kernel goes on with the flows it knows when this process dies without a goodbye.
    if [ "$datapath" = system ]; then kill -KILL "$pid"; else kill -TERM "$pid"; fi
    wait "$pid" || true
    exit 0
}
trap stop TERM INT

until [ -S $run/ovs-vswitchd.ctl ] && ovs-appctl --timeout=2 -t $run/ovs-vswitchd.ctl version >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || { wait "$pid"; exit 1; }
    sleep 0.05
done
find $run -maxdepth 1 -name 'ovs-vswitchd.*.ctl' -delete
ln -s ovs-vswitchd.ctl "$run/ovs-vswitchd.$(cat $run/ovs-vswitchd.pid).ctl"
if [ -s "$saved/restore.sh" ]; then
    timeout 20 sh "$saved/restore.sh" >/dev/null || say "not all flows came back; whoever made them will make them again"
    rm -rf "$saved"
fi
vsctl remove Open_vSwitch . other_config flow-restore-wait
code=0
wait "$pid" || code=$?
exit "$code"
