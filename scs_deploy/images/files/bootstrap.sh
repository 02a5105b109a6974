# mmdebstrap copies the first two from the machine it runs on.
rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/apt/sources.list"
find "$1/usr/share/doc" -type f ! -name copyright -delete
find "$1/usr/share/doc" -type l ! -name copyright ! -xtype d -delete
