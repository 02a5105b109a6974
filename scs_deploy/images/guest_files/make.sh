#!/bin/sh
# Makes the smoke test's guest: Debian's cloud kernel, busybox and a FAT boot disk, about 64 MiB, without any state.
set -eu
here=/usr/share/scs-guest out=/var/lib/scs-guest work=$(mktemp -d)
root=$work/root
mkdir -p "$out" "$work/kernel"

# Only unpacked: installing a kernel would want its initramfs tools and hooks.
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
(cd "$work" && apt-get -q download "$package" && dpkg -x ./"$package"_*.deb kernel)
[ -d "$work/kernel/lib" ] || ln -s usr/lib "$work/kernel/lib"
version=$(ls "$work/kernel/lib/modules")
depmod -b "$work/kernel" "$version"

mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/etc/acpi/PWRF" "$root/mods" "$root/www/cgi-bin" "$root/tmp" "$root/var/log" "$root/var/run"
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cp "$here/init" "$root/init"
cp "$here/dhcp" "$root/etc/dhcp"
cp "$here/power" "$root/etc/acpi/PWRF/00000080"
cp "$here/disk" "$root/www/cgi-bin/disk"
chmod 0755 "$root/www/cgi-bin/disk" "$root/init" "$root/etc/dhcp" "$root/etc/acpi/PWRF/00000080"

# In the order in which they are loaded: what a module needs stands before it.
for module in virtio_pci virtio_net virtio_blk virtio_scsi sd_mod virtio_rng evdev button; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$work/modules"
number=100
while read -r path; do
    number=$((number + 1))
    name=$(basename "${path%%.ko*}")
    case $path in
        *.xz) xz -dc "$path" ;;
        *.zst) zstd -qdc "$path" ;;
        *) cat "$path" ;;
    esac > "$root/mods/$number-$name.ko"
done < "$work/modules"

(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc | gzip -n9) > "$work/initrd.gz"
disk=$work/guest.raw
truncate -s 64M "$disk"
printf '2048,,c,*\n' | sfdisk -q "$disk"
mformat -i "$disk@@1M" -T 129024 -h 64 -s 32 -v GUEST ::
mcopy -i "$disk@@1M" "$work/kernel/boot/vmlinuz-$version" ::/vmlinuz
mcopy -i "$disk@@1M" "$work/initrd.gz" ::/initrd.gz
mcopy -i "$disk@@1M" "$here/syslinux.cfg" ::/syslinux.cfg
syslinux --offset 1048576 --install "$disk"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" bs=440 count=1 conv=notrunc status=none
cp --sparse=always "$disk" "$out/guest.raw"
rm -rf "$work"
