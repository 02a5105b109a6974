#!/bin/sh
# Written by scs-deploy: tables and cells; safe to run again. The database gets URLs without passwords: Nova puts in those of nova.conf.
set -eu
cell() { # NAME: prints its UUID
    nova-manage cell_v2 list_cells | awk -F'|' -v name="$1" '{ gsub(/ /, "", $2); gsub(/ /, "", $3) } $2 == name { print $3 }'
}

database="{scheme}://{username}:{password}@$SCS_DATABASE/%s?{query}"
# shellcheck disable=SC2086 # words
set -- $SCS_QUEUES
if [ $# = 1 ]; then
    queue="{scheme}://{username}:{password}@$1//"
else
    queue=
    for one in "$@"; do queue="$queue${queue:+,}{username1}:{password1}@$one"; done
    queue="{scheme}://$queue//"
fi
cell0=$(echo "$database" | sed s/%s/nova_cell0/)
cell1=$(echo "$database" | sed s/%s/nova/)

nova-manage api_db sync
said=$(nova-manage cell_v2 map_cell0 --database_connection "$cell0")
[ -z "$said" ] || # it was there already
    nova-manage cell_v2 update_cell --cell_uuid 00000000-0000-0000-0000-000000000000 --name cell0 \
        --database_connection "$cell0" --transport-url none:///
nova-manage db sync
known=$(cell cell1)
if [ -z "$known" ]; then
    nova-manage cell_v2 create_cell --name cell1 --database_connection "$cell1" --transport-url "$queue"
else
    nova-manage cell_v2 update_cell --cell_uuid "$known" --name cell1 --database_connection "$cell1" --transport-url "$queue"
fi
