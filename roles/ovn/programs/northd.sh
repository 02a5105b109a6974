#!/bin/bash
# Several of these agree through a lock in the southbound database on the one that works.
set -euo pipefail
exec ovn-northd --ovnnb-db="$SCS_NB" --ovnsb-db="$SCS_SB" \
    --private-key=/etc/scs-tls/key.pem --certificate=/etc/scs-tls/cert.pem --ca-cert=/etc/scs-tls/ca.pem \
    --n-threads="$SCS_THREADS" \
    --unixctl=/run/ovn/ovn-northd.ctl --pidfile=/run/ovn/ovn-northd.pid --no-chdir -vconsole:info -vsyslog:off -vfile:off
