#!/bin/bash
# Starts a member of a database cluster. An empty member of several waits for one that serves and joins it, unless it was told to
# form the cluster; a single member forms it by itself.
set -euo pipefail
umask 027

database=$SCS_DATABASE  # ovn-nb or ovn-sb
case $database in ovn-nb) name=OVN_Northbound ;; ovn-sb) name=OVN_Southbound ;; esac
db=/var/lib/ovn/$database.db
schema=/usr/share/ovn/$database.ovsschema
order=/run/ovn/$database.form
own=ssl:$SCS_OWN
read -ra others <<<"$SCS_OTHERS"
say() { echo "entry: $*" >&2; }

serving() {
    local one host
    for one in "${others[@]}"; do
        host=${one%:*}
        host=${host#[}
        if timeout 3 bash -c "exec 3<>/dev/tcp/${host%]}/${one##*:}" 2>/dev/null; then return 0; fi
    done
    return 1
}

if [ ! -s "$db" ]; then
    rm -f "$db" "$db.new"
    if [ -z "${others[*]}" ] || [ -e "$order" ]; then form=yes; else form=; fi
    until [ -n "$form" ] || serving; do
        [ -n "${told:-}" ] || say "waiting for a member that serves, or for the order to form the cluster"
        told=yes
        sleep 1
        if [ -e "$order" ]; then form=yes; fi
    done
    if [ -n "$form" ]; then
        say "first start, forming a cluster"
        ovsdb-tool --election-timer="$SCS_ELECTION_MS" create-cluster "$db.new" "$schema" "$own"
    else
        say "first start, joining ${others[*]}"
        ovsdb-tool join-cluster "$db.new" "$name" "$own" "${others[@]/#/ssl:}"
    fi
    mv -T "$db.new" "$db"
fi
rm -f "$order"

# After an upgrade the first member brings the schema of the cluster to its version.
[ -z "$SCS_FIRST" ] || (for _ in {1..60}; do
    sleep 2
    needed=$(timeout 10 ovsdb-client needs-conversion "unix:/run/ovn/$database.sock" "$schema" 2>/dev/null) || continue
    if [ "$needed" = no ]; then exit 0; fi
    timeout 120 ovsdb-client convert "unix:/run/ovn/$database.sock" "$schema" && say "the schema was brought to this version"
done) &

# The server opens its configuration for writing.
cp /etc/scs-ovn/ovsdb.json /tmp/ovsdb.json
exec ovsdb-server --config-file=/tmp/ovsdb.json --unixctl="/run/ovn/$database.ctl" --pidfile="/run/ovn/$database.pid" \
    --private-key=/etc/scs-tls/key.pem --certificate=/etc/scs-tls/cert.pem --ca-cert=/etc/scs-tls/ca.pem \
    --no-chdir -vconsole:info -vsyslog:off -vfile:off
