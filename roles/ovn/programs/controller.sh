#!/bin/bash
# Tells the switch's database what this node is to OVN, then runs the controller that programs the switch.
set -euo pipefail
db=unix:/run/openvswitch/db.sock
vsctl() { ovs-vsctl --timeout=30 --no-wait --db="$db" "$@"; }

vsctl set Open_vSwitch . \
    external_ids:ovn-remote="\"$SCS_REMOTE\"" \
    external_ids:ovn-encap-type=geneve \
    external_ids:ovn-encap-ip="\"$SCS_ENCAP_IP\"" \
    external_ids:ovn-bridge=br-int \
    external_ids:ovn-bridge-datapath-type="$SCS_DATAPATH" \
    external_ids:ovn-bridge-mappings="\"$SCS_BRIDGE_MAPPINGS\"" \
    external_ids:ovn-cms-options="\"$SCS_CMS_OPTIONS\"" \
    external_ids:ovn-monitor-all="$SCS_MONITOR_ALL" \
    external_ids:ovn-remote-probe-interval="$SCS_PROBE_MS" \
    external_ids:ovn-ofctrl-wait-before-clear="$SCS_FLOW_WAIT_MS"

exec ovn-controller "$db" --private-key=/etc/scs-tls/key.pem --certificate=/etc/scs-tls/cert.pem --ca-cert=/etc/scs-tls/ca.pem \
    --unixctl=/run/ovn/ovn-controller.ctl --pidfile=/run/ovn/ovn-controller.pid --no-chdir -vconsole:info -vsyslog:off -vfile:off
