#!/bin/bash
# Loads the kernel's datapath. When Open vSwitch leaves this node, what its bridges held goes back to the interfaces.
set -u

start() {
    [ "$SCS_DATAPATH" = system ] || return 0
    modprobe openvswitch || { echo "the kernel has no module openvswitch; fix: boot one that has it" >&2; exit 1; }
}

stop() {
    # At shutdown, or for a moment while this unit is restarted, nothing is taken apart.
    [ -e /etc/scs-deploy/openvswitch-vswitchd ] && exit 0
    local kept bridge interface version route
    for kept in /run/openvswitch/*.kept; do
        [ -e "$kept" ] || continue
        bridge=$(basename "$kept" .kept)
        ip link delete dev "$bridge" 2>/dev/null
        while read -r version route; do
            case $version in
                interface) interface=$route ;;
                address) ip address replace "$route" dev "$interface" ;;
                *) ip -"$version" route replace "$route" dev "$interface" ;;
            esac
        done <"$kept"
    done
    for bridge in br-int ovs-netdev ovs-system; do ip link delete dev "$bridge" 2>/dev/null; done
    rm -rf /run/openvswitch
}

"$1"
