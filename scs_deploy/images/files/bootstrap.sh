# mmdebstrap copies the first two of these from the machine it runs on.
rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/apt/sources.list"
