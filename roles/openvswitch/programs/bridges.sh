#!/bin/bash
# Keeps the bridges of this node, the interfaces in them and the addresses on them: at start, and whenever a link, an address or
# the switch's configuration changes. An address follows its interface into the bridge; a bridge that is made anew gets its
# addresses and routes back.
set -uo pipefail

run=/run/openvswitch
db=unix:$run/db.sock
ok=$run/bridges.ok
datapath=$SCS_DATAPATH
mapfile -t wanted </etc/scs-openvswitch/bridges  # a line each: bridge|MTU|addresses|interfaces

vsctl() { ovs-vsctl --timeout=10 --db="$db" "$@"; }
link() { ip link show dev "$1" >/dev/null 2>&1; }
declare -A said
say() { [ "$*" = "${said[$1]:-}" ] || echo "bridges: $*" >&2; said[$1]=$*; }  # each thing once, its first word is what it is about
global() { ip -o address show dev "$1" scope global 2>/dev/null | awk '!($3 == "inet6" && / dynamic /) { print $4 }'; }
routes() { local v; for v in 4 6; do ip -o -$v route show dev "$1" 2>/dev/null | awk -v v=$v '!/proto kernel/ { print v, $0 }'; done; }

interface_of() {  # bridge, addresses, interfaces that region.yml names: which one belongs into the bridge
    local one found
    for one in $3; do if link "$one"; then echo "$one"; return; fi; done
    for one in $2; do
        found=$(ip -o address show to "${one%/*}" | awk -v bridge="$1" '$2 != bridge { print $2; exit }')
        if [ -n "$found" ]; then echo "$found"; return; fi
    done
    found=$(vsctl --bare --columns=name find Port external_ids:scs-deploy="$1")
    echo "${found:-$(vsctl --if-exists get Open_vSwitch . external_ids:scs-nic-"$1" | tr -d '"')}"
}

configure() {  # bridge, network's MTU, interface: one transaction, and none where everything is as wanted
    local mac others one
    mac=$(ip -o link show dev "$3" | sed -n 's/.*link\/ether \([0-9a-f:]*\).*/\1/p')
    others=$(vsctl --bare --columns=name find Port external_ids:scs-deploy="$1" | grep -vx "$3")
    if [ -z "$others" ] && [ "$(vsctl port-to-br "$3" 2>/dev/null)" = "$1" ] &&
        [ "$(vsctl get Bridge "$1" datapath_type | tr -d '"')" = "$datapath" ] &&
        [ "$(vsctl get Interface "$1" mtu_request)" = "$2" ] &&
        [ "$(vsctl --if-exists get Open_vSwitch . external_ids:scs-nic-"$1" | tr -d '"')" = "$3" ] &&
        [ "$(vsctl --if-exists get Bridge "$1" other_config:hwaddr | tr -d '"')" = "$mac" ]; then return; fi
    echo "bridges: configuring $1 with $3" >&2
    for one in $others; do vsctl --no-wait --if-exists del-port "$one" || return 1; done
    vsctl -- --may-exist add-br "$1" -- set Bridge "$1" datapath_type="$datapath" fail_mode=standalone other_config:hwaddr="\"$mac\"" \
        external_ids:scs-deploy="$1" -- set Interface "$1" mtu_request="$2" \
        -- --may-exist add-port "$1" "$3" -- set Port "$3" external_ids:scs-deploy="$1" \
        -- set Open_vSwitch . external_ids:scs-nic-"$1"="\"$3\""
}

put() {  # address, link; duplicate address detection would hold an address of IPv6 back for a second
    case $1 in *:*) ip address replace "$1" dev "$2" nodad ;; *) ip address replace "$1" dev "$2" ;; esac
}

put_back() {  # link, a line that was kept of another one
    # shellcheck disable=SC2086
    case $2 in
        interface) ;;
        address) put "$3" "$1" ;;
        *) ip -"$2" route replace ${3/linkdown/} dev "$1" ;;
    esac
}

move() {  # bridge, interface: what the node's own network configuration put on the interface belongs on the bridge
    local address version route kept
    [ -n "$(global "$2")" ] || return 0
    kept=$(routes "$2")
    for address in $(global "$2"); do
        echo "bridges: $address moves from $2 to $1" >&2
        ip address del "$address" dev "$2" && put "$address" "$1"
    done
    while read -r version route; do
        [ -z "$version" ] || put_back "$1" "$version" "$route"
    done <<<"$kept"
}

keep() {  # bridge, MTU, addresses, interfaces
    local interface address lost='' version route
    interface=$(interface_of "$1" "$3" "$4")
    if [ -z "$interface" ] || ! link "$interface"; then
        say "$1" "has no interface: none has one of the addresses ${3:-(none)}, and none is called ${4:-(nothing is named)}." \
            "fix: correct nics or addresses in region.yml, or set external_nic of openvswitch"
        return 1
    fi
    configure "$1" "$2" "$interface" || { say "$1" "cannot be configured in Open vSwitch"; return 1; }
    link "$1" || { say "$1" "is not there yet"; return 1; }
    ip link set dev "$interface" up
    ip link set dev "$1" up
    move "$1" "$interface"
    for address in $3; do
        global "$1" | grep -qx "$address" || { put "$address" "$1" || return 1; lost=yes; }
    done
    if [ -n "$lost" ] && [ -e "$run/$1.kept" ]; then
        while read -r version route; do
            put_back "$1" "$version" "$route"
        done <"$run/$1.kept"
    fi
    { echo "interface $interface"; global "$1" | sed 's/^/address /'; routes "$1"; } >"$run/$1.kept.new"
    mv "$run/$1.kept.new" "$run/$1.kept"
}

drop() {  # bridges of ours that are no longer wanted; what they held goes back to the interface
    local bridge interface version route
    for bridge in $(vsctl --bare --columns=name find Bridge 'external_ids:scs-deploy!=""'); do
        [[ " ${wanted[*]%%|*} " != *" $bridge "* ]] || continue
        interface=$(vsctl --bare --columns=name find Port external_ids:scs-deploy="$bridge" | grep -vx "$bridge")
        vsctl -- --if-exists del-br "$bridge" -- remove Open_vSwitch . external_ids "scs-nic-$bridge" || return 1
        while read -r version route; do
            put_back "$interface" "$version" "$route"
        done < <(cat "$run/$bridge.kept" 2>/dev/null)
        rm -f "$run/$bridge.kept"
    done
}

lift() {  # the datapath in userspace rewrites an interface's flags when it takes it in, and may lose that somebody just set it up
    [ "$datapath" = netdev ] || return 0
    local port
    for port in $(vsctl --bare --columns=name find Interface 'type=""'); do
        if ip -o link show dev "$port" 2>/dev/null | grep -qv '[<,]UP[,>]'; then
            echo "bridges: $port was down" >&2
            ip link set dev "$port" up
        fi
    done
}

everything() {
    vsctl show >/dev/null 2>&1 || { say switch "does not answer at $db"; return 1; }
    local failed=0
    drop || failed=1
    lift
    local line bridge mtu addresses interfaces
    for line in "${wanted[@]}"; do
        IFS='|' read -r bridge mtu addresses interfaces <<<"$line"
        keep "$bridge" "$mtu" "$addresses" "$interfaces" || failed=1
    done
    return $failed
}

watch() {  # table, columns
    while :; do
        ovsdb-client --timeout=86400 monitor "$db" Open_vSwitch "$@" 2>/dev/null
        sleep 1
    done
}

changes() {
    ip -o monitor link address &
    watch Bridge name,datapath_type,other_config &
    watch Port name,external_ids &
    watch Interface name,mtu_request
}

rm -f "$ok"
exec 3< <(changes)
pause=1
while :; do
    if everything; then
        [ -e "$ok" ] || echo "bridges: ${wanted[*]%%|*} as wanted" >&2
        said=()
        touch "$ok"
        pause=60
    else
        rm -f "$ok"
        pause=2
    fi
    read -r -t "$pause" -u 3 _
    sleep 0.1
    while read -r -t 0.01 -u 3 _; do :; done
done
