#!/bin/sh
# Written by scs-deploy. NODE ENGINE: gives this machine the name of its node, unless services that run here are known by another one.
set -eu
old=$(uname -n)
[ "$old" != "$1" ] || exit 0
# A container knows the name that the machine had when it was made.
running=$("$2" ps --quiet --filter label=scs-deploy.instance 2>/dev/null || true)
# shellcheck disable=SC2086 # words
if [ -n "$running" ] && "$2" inspect --format '{{.Config.Hostname}}' $running | grep -qvx "$1"; then
    echo "$old" >/etc/hostname
    echo "this machine is called $old, and services that run here are known by that name: hypervisors would be new ones by another" >&2
    echo "either let it keep the name: 'hostname: keep' in services.node.settings of the node; or take the node out, and in again" >&2
    exit 1
fi
hostname "$1"
