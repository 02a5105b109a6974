#!/bin/bash
# Starts a monitor. An empty one waits for a quorum that serves and joins it, unless it was told to form the cluster; so does the only one.
set -euo pipefail
umask 027

home=/var/lib/ceph/mon
name=$SCS_NODE
order=/run/scs-deploy/ceph-mon/form
read -ra others <<<"$SCS_OTHERS"

say() { echo "entry: $*" >&2; }

other_lives() {  # in or out of quorum: it has data, and this one has none
    local one
    for one in "${others[@]}"; do
        timeout 3 bash -c "exec 3<>/dev/tcp/$one/3300" 2>/dev/null && return 0
    done
    return 1
}

serving_map() {  # the map of the quorum that serves, if there is one
    [ -n "${others[*]:-}" ] &&
        timeout 30 ceph --name mon. --keyring /etc/ceph/mon.keyring --connect-timeout 20 mon getmap -o "$home/monmap" >/dev/null 2>&1
}

find_map() {
    local told=
    while true; do
        if [ -e "$order" ] && ! other_lives; then
            say "told to form the cluster"
            rm -f "$home/monmap"
            # The keys of clients stay of the kind that librados 18 knows, which the services of the cloud come with.
            monmaptool --create --fsid "$(sed -n 's/^fsid = //p' /etc/ceph/ceph.conf)" --set-min-mon-release reef \
                --auth-allowed-ciphers aes,aes256k --auth-preferred-cipher aes \
                --addv "$name" "[v2:$SCS_ADDRESS:3300]" "$home/monmap"
            return
        fi
        if serving_map; then return; fi
        [ -n "$told" ] || say "waiting for a quorum to join, or for the order to form the cluster"
        told=yes
        sleep 2
    done
}

if [ ! -d "$home/store" ]; then  # in a folder of its own and renamed, so that a kill in between leaves nothing half made
    rm -rf "$home/new"
    find_map
    ceph-mon --mkfs -i "$name" --mon-data "$home/new" --monmap "$home/monmap" --keyring /etc/ceph/mon.keyring
    sync -f "$home/new"
    mv -T "$home/new" "$home/store"
fi
rm -f "$order"  # used up now, and not before there is what it was for
/etc/ceph/post-crashes
exec ceph-mon -f -i "$name"
