#!/bin/sh
# Written by scs-deploy: loads the firewall's table, and tells whether what is loaded is what was.
set -u
record=/run/scs-firewall.loaded

# Without what rules change by themselves: counters, and members of sets.
loaded() { nft --stateless --terse list table inet scs_deploy 2>/dev/null; }

load() {
    nft --file /etc/scs-firewall.nft && loaded >"$record"
}

case $1 in
    start) # At boot nothing is loaded: then it is better to let in SSH alone than everybody.
        load || {
            nft --file /etc/scs-firewall-ssh.nft
            echo "the firewall's rules could not be loaded, so only SSH is let in; fix: see above, then apply"
            exit 1
        } >&2
        ;;
    reload) load ;;
    check)
        now=$(loaded)
        [ -n "$now" ] || { echo "its table is not loaded"; exit 1; }
        [ "$now" = "$(cat "$record" 2>/dev/null)" ] || { echo "its table was changed by somebody"; exit 1; }
        ;;
esac
