#!/bin/bash
# Starts the server: makes an empty data folder usable, finds the position after a crash, and bootstraps the cluster only where no
# other member can have newer data. In all other cases it joins.
set -euo pipefail
umask 027

home=/var/lib/mysql
data=$home/data
state=$data/grastate.dat
orders=/run/scs-deploy/mariadb
read -ra members <<<"$SCS_MEMBERS"
count=${#members[@]}
own=$SCS_ADDRESS

say() { echo "entry: $*" >&2; }
field() { if [ -e "$state" ]; then sed -n "s/^$1: *//p" "$state"; fi; }

others() { local one; for one in "${members[@]}"; do [ "$one" = "$own" ] || echo "$one"; done; }

other_serves() {  # 3306 opens when a member has joined a primary component; 4567 is open while it still looks for one
    local one
    for one in $(others); do
        timeout 3 bash -c "exec 3<>/dev/tcp/$one/3306" 2>/dev/null && return 0
    done
    return 1
}

was_alone() {  # the last start was a cluster of one, and nobody joined it before it crashed
    [ -e "$home/alone" ] && [ "$(field seqno)" = -1 ] && [ "$(grep -c '^member:' "$data/gvwstate.dat" 2>/dev/null || true)" -le 1 ]
}

initialise() {  # in a folder of its own and renamed, so that a kill in between leaves nothing half made
    say "empty data folder: making the system tables"
    rm -rf "$home/init"
    cat >"$home/tmp/init.sql" <<'SQL'
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED VIA unix_socket;
CREATE OR REPLACE USER mysql@localhost IDENTIFIED VIA unix_socket;
GRANT ALL PRIVILEGES ON *.* TO mysql@localhost;
CREATE ROLE scs_deploy WITH ADMIN root@localhost;
DELETE FROM mysql.proxies_priv;
SQL
    mariadb-install-db --no-defaults --datadir="$home/init" --tmpdir="$home/tmp" --skip-name-resolve --skip-test-db \
        --auth-root-authentication-method=socket --auth-root-socket-user=root --extra-file="$home/tmp/init.sql" >"$home/tmp/init.log" 2>&1 ||
        { cat "$home/tmp/init.log" >&2; exit 1; }
    sync -f "$home/init"
    mv -T "$home/init" "$data"
}

mkdir -p "$home/tmp"
find "$home/tmp" -mindepth 1 -delete

order=${1:-}
take_order() {  # left by a hook on the node, below /run, and used up by one start
    local one
    for one in form recover; do
        if [ -e "$orders/$one" ]; then order=$one; rm -f "$orders/$one"; fi
    done
    [ -n "$order" ]
}

take_order || true
bootstrap=
decide() {
    if [ ! -s "$state" ]; then
        if [ "$order" = form ] || [ "$count" = 1 ]; then bootstrap="no cluster yet"; fi
    elif [ "$order" = recover ]; then
        bootstrap="ordered to recover the cluster"
    elif [ "$(field safe_to_bootstrap)" = 1 ] && ! other_serves; then
        bootstrap="this member left last"
    elif was_alone && ! other_serves; then
        bootstrap="this member was the whole cluster"
    fi
}
decide
if [ -z "$bootstrap" ] && [ "$count" = 1 ]; then
    say "refusing to start: this member left a cluster in which others stayed, so they may have newer data."
    say "fix: start them and let this one join, or touch $orders/recover on this node if they are gone for good."
    exit 1
fi
if [ "$bootstrap" = "no cluster yet" ] && [ ! -d "$data/mysql" ]; then initialise; fi

arguments=()
if [ "$(field seqno)" = -1 ] && [ "$(field uuid)" != 00000000-0000-0000-0000-000000000000 ]; then
    mariadbd --wsrep-recover --log-error="$home/tmp/recover.log" || { cat "$home/tmp/recover.log" >&2; exit 1; }
    position=$(sed -n 's/.*WSREP: Recovered position: *//p' "$home/tmp/recover.log" | tail -n 1)
    say "recovered position ${position:-unknown}"
    case $position in "" | 00000000-0000-0000-0000-000000000000:*) ;; *) arguments+=("--wsrep-start-position=$position") ;; esac
    echo "${position##*:}" >"$home/position"
else
    field seqno >"$home/position"
fi

if [ -z "$bootstrap" ] && [ ! -s "$data/gvwstate.dat" ] && ! other_serves; then
    say "waiting for a member that serves; an order to form or recover ends the wait"
    until other_serves || take_order; do sleep 1; done
    if [ -n "$order" ]; then exec "$0" "$order"; fi
fi

if [ -n "$bootstrap" ]; then
    say "bootstrapping: $bootstrap"
    [ ! -s "$state" ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$state"
    arguments+=(--wsrep-new-cluster)
fi
if [ "$count" = 1 ]; then touch "$home/alone"; else rm -f "$home/alone"; fi

version=$(mariadbd --version | sed -n 's/.*Ver \([^ ]*\) .*/\1/p')
if [ "$(cut -d- -f1 "$data/mariadb_upgrade_info" 2>/dev/null)" != "${version%%-*}" ]; then
    (setsid bash -c '
        for _ in {1..150}; do sleep 2; mariadb --execute "SELECT 1 FROM mysql.db LIMIT 1" >/dev/null 2>&1 && exec mariadb-upgrade --silent; done' &)
fi
mkdir -p "$data"
exec mariadbd "${arguments[@]}"
