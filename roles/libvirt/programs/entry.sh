#!/bin/bash
# Written by scs-deploy: starts libvirtd in a control group of the node, beside that of this container. So neither its end nor
# that of its unit or of the engine reaches a machine.
set -eu
outside=/sys/fs/cgroup/machine.slice/scs-libvirt
mkdir -p "$outside"
cd /

go_outside() { # PROGRAM ARGUMENT…
    echo "$BASHPID" >"$outside/cgroup.procs"
    exec "$@"
}

running() { # NAME: prints the number of the daemon that an earlier container left
    local pid
    pid=$(cat "/run/libvirt/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

end() { # NAME
    local pid waited=0
    pid=$(running "$1") || return 0
    kill -TERM "$pid" || return 0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$waited" -lt 50 ] || kill -KILL "$pid" || break
        waited=$((waited + 1))
        sleep 0.2
    done
}

# Podman's conmon becomes the parent of the machines. Its last deed is to wait for all its children, so it is told to go once
# the container has ended and been cleaned up.
release() { # PID of conmon
    echo "$BASHPID" >"$outside/cgroup.procs"
    exec >/dev/null 2>&1
    read -r _ || sleep 1
    while pgrep -P "$1" -x 'podman|crun'; do sleep 0.5; done
    [ "$(cat "/proc/$1/comm")" != conmon ] || kill -HUP "$1"
}
[ "$(cat "/proc/$PPID/comm")" != conmon ] || exec 9> >(release "$PPID")

# Show by a machine whether KVM works: it may exist and start nothing, such as inside another virtual machine. It runs outside like
# all machines: the engine lets no process of this container's own group open the device.
kvm_works() {
    [ -c /dev/kvm ] || return 1
    # A boot sector that says 16 to the debug exit device, which ends QEMU with 2 * 16 + 1.
    printf '\xba\xf4\x00\xb0\x10\xee\xf4\xeb\xfd' >/tmp/boot
    truncate -s 510 /tmp/boot
    printf '\x55\xaa' >>/tmp/boot
    local code=0
    (go_outside timeout -k 1 5 qemu-system-x86_64 -nodefaults -display none -no-reboot -machine pc,accel=kvm -cpu host -m 16 \
        -device isa-debug-exit,iobase=0xf4 -drive file=/tmp/boot,format=raw,if=ide \
        </dev/null >/tmp/kvm.log 2>&1 9>&-) || code=$?
    [ "$code" = 33 ]
}

if kvm_works; then
    accelerator=kvm
elif [ -n "$SCS_ALLOW_TCG" ]; then
    accelerator=qemu
    echo "KVM does not work on $SCS_NODE: guests are emulated, as allow_tcg of service libvirt allows"
else
    echo "KVM does not work on $SCS_NODE: enable virtualization in its firmware (or nested virtualization)," \
        "or set allow_tcg of service libvirt in region.yml, for this node or all: guests are then emulated, and slow" >&2
    exit 1
fi
echo "$accelerator" >/run/libvirt/scs-accelerator

# shellcheck disable=SC2174 # /etc/libvirt is there
mkdir -p -m 0700 /etc/libvirt/secrets
while read -r uuid name key; do
    echo "<secret private='yes'><uuid>$uuid</uuid><usage type='ceph'><name>$name</name></usage></secret>" \
        >"/etc/libvirt/secrets/$uuid.xml"
    (umask 077 && printf %s "$key" >"/etc/libvirt/secrets/$uuid.base64")
done </etc/scs-libvirt/ceph-secrets
mkdir -p /etc/pki/CA /etc/pki/libvirt/private /etc/pki/qemu
ln -sf /etc/scs-tls/ca.pem /etc/pki/CA/cacert.pem
ln -sf /etc/scs-tls-qemu/ca.pem /etc/pki/qemu/ca-cert.pem
for side in server client; do  # those of the server are read there when it is told to take new ones
    ln -sf /etc/scs-tls/cert.pem "/etc/pki/libvirt/${side}cert.pem"
    ln -sf /etc/scs-tls/key.pem "/etc/pki/libvirt/private/${side}key.pem"
    ln -sf /etc/scs-tls-qemu/cert.pem "/etc/pki/qemu/$side-cert.pem"
    ln -sf /etc/scs-tls-qemu/key.pem "/etc/pki/qemu/$side-key.pem"
done

end libvirtd
# Machines write their consoles through the virtlogd that they were started with, so it stays as long as there is one.
pgrep -x qemu-system-x86 >/dev/null || end virtlogd
if ! running virtlogd >/dev/null; then
    (go_outside virtlogd --pid-file /run/libvirt/virtlogd.pid </dev/null >/dev/null 2>&1 9>&-) &
fi

# What it says goes through a process of the container: whoever holds the container's own output keeps it from ending.
(go_outside libvirtd --listen --pid-file /run/libvirt/libvirtd.pid) > >(exec cat 9>&-) 2>&1 </dev/null 9>&- &
libvirtd=$!
trap 'kill -TERM "$libvirtd"' TERM INT
code=0
wait "$libvirtd" || code=$?
while kill -0 "$libvirtd" 2>/dev/null; do # a signal ends only the waiting
    code=0
    wait "$libvirtd" || code=$?
done
exit "$code"
