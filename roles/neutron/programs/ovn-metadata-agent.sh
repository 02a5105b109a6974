#!/bin/sh
# Written by scs-deploy. The socket shows that the agent is ready, so one that an earlier agent left must go; the proxies
# (user neutron) reach it by its group, which it has from its folder.
set -eu
rm -f /run/scs-deploy/neutron-ovn-metadata-agent/proxy
umask 0007
exec neutron-ovn-metadata-agent --config-file=/etc/neutron/neutron_ovn_metadata_agent.ini
