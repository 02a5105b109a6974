# The identity of a machine, keys, lists, caches and logs do not belong into an image.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /var/lib/dbus/machine-id /var/lib/systemd/random-seed
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem /var/lib/rabbitmq/.erlang.cookie
[ ! -e /etc/machine-id ] || : > /etc/machine-id
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/* /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /var/cache/ldconfig/aux-cache
rm -rf /var/lib/mysql/* /var/lib/keystone/*.db /var/lib/placement/*.db
rm -rf /root/.cache /root/.wget-hsts
find /var/log -type f -delete
find /tmp /var/tmp -mindepth 1 -delete
