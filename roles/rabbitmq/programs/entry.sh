#!/bin/bash
# Starts the server; an empty member of a cluster waits for one that serves and joins exactly that, unless it was told to form the
# cluster: peer discovery among members that are not there yet takes minutes.
set -euo pipefail
umask 027

order=/run/scs-deploy/rabbitmq/form
read -ra others <<<"$SCS_OTHERS"  # NODE=ADDRESS

serving() {  # names of the other members that finished their start
    local one
    for one in "${others[@]}"; do
        if timeout 3 bash -c "exec 3<>/dev/tcp/${one#*=}/5671" 2>/dev/null; then echo "${one%%=*}"; fi
    done
}

if [ ! -s "$RABBITMQ_MNESIA_BASE/$RABBITMQ_NODENAME/schema.DAT" ]; then
    if [ -z "${others[*]}" ]; then first=yes; else first=; fi
    found=
    until [ -n "$first" ]; do
        found=$(serving)
        if [ -e "$order" ] || [ -n "$found" ]; then break; fi
        [ -n "${told:-}" ] || echo "entry: waiting for a member that serves, or for the order to form the cluster" >&2
        told=yes
        sleep 1
    done
    echo "entry: first start, ${found:+joining }${found:-forming a cluster}" >&2
    {
        cat /etc/rabbitmq/rabbitmq.conf
        number=0
        for one in "${RABBITMQ_NODENAME#rabbit@}" $found; do
            number=$((number + 1))
            echo "cluster_formation.classic_config.nodes.$number = rabbit@$one"
        done
    } >/tmp/rabbitmq.conf
    export RABBITMQ_CONFIG_FILE=/tmp/rabbitmq.conf
fi
rm -f "$order"
exec /usr/lib/rabbitmq/bin/rabbitmq-server
