#!/bin/bash
# Starts the switch's database: makes it where there is none, and brings it to the schema of this version.
set -euo pipefail
umask 027

db=/var/lib/openvswitch/conf.db
schema=/usr/share/openvswitch/vswitch.ovsschema

if [ ! -s "$db" ]; then
    rm -f "$db.new"
    ovsdb-tool create "$db.new" "$schema"
    mv -T "$db.new" "$db"
elif [ "$(ovsdb-tool needs-conversion "$db" "$schema")" = yes ]; then
    cp -f "$db" "$db.before-$(ovsdb-tool db-version "$db")"
    ovsdb-tool convert "$db" "$schema"
fi

exec ovsdb-server "$db" --remote=punix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovsdb-server.ctl \
    --pidfile=/run/openvswitch/ovsdb-server.pid --no-chdir -vconsole:info -vsyslog:off -vfile:off
