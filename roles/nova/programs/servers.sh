#!/bin/sh
# Written by scs-deploy: ends the servers of a node that goes down, and only then. Its unit gives it SCS_SECONDS and two minutes.
set -u
[ "$(systemctl is-system-running)" = stopping ] || exit 0

until_true() { # SECONDS COMMAND...
    end=$(($(date +%s) + $1))
    shift
    while ! "$@"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}
compute_is_gone() { case $(systemctl is-active nova-compute.service) in inactive | failed) ;; *) false ;; esac }
no_server() { ! pgrep qemu-system- >/dev/null; }

# Nova would take the end of a server for the wish of its user, and not start it again.
until_true 40 compute_is_gone || systemctl kill --signal=KILL nova-compute.service
no_server && exit 0
echo "servers shut down: $(pgrep -c qemu-system-)"
# All of them at once, and not a moment longer than they have: whoever does not answer is switched off with the rest.
# shellcheck disable=SC2016 # for the shell in the container
timeout "$SCS_SECONDS" "$SCS_ENGINE" exec libvirt sh -c 'for server in $(virsh --quiet list --name); do
    virsh --quiet shutdown "$server" & done; wait' &
until_true "$SCS_SECONDS" no_server && exit 0
echo "servers that do not react to their power button are switched off: $(pgrep -c qemu-system-)"
pkill -TERM qemu-system-
until_true 20 no_server || pkill -KILL qemu-system-
