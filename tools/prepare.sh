# Sourced by quickstart and run-tests: is this machine fit, install what is missing, make the venv. Needs bash only.
# shellcheck shell=bash

# What the caller's shell holds has no influence; scs_deploy/machine/environment.py does the same for the program. CDPATH makes cd print.
unset CDPATH GREP_OPTIONS GREP_COLORS POSIXLY_CORRECT PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV \
    "${!ANSIBLE_@}" "${!MOLECULE_@}" "${!GIT_@}" "${!PYTHON@}" "${!LC_@}" LANG LANGUAGE
export LC_ALL=C.UTF-8 HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
umask 022
[ -e /proc/self/fd/0 ] || exec </dev/null
[ -e /proc/self/fd/1 ] || exec >/dev/null
[ -e /proc/self/fd/2 ] || exec 2>/dev/null

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
HELP="see docs/troubleshooting.md"
PATH=$PATH:/usr/sbin:/sbin

# What a command or file comes from: "command-or-path package". Both are looked for, so other sources of a program do too.
PROGRAMS=(
    "podman podman" "/usr/lib/podman/netavark netavark" "mmdebstrap mmdebstrap"
    "/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring"
    "ip iproute2" "nft nftables" "nsenter util-linux" "losetup mount" "mkfs.ext4 e2fsprogs"
    "ssh openssh-client" "/etc/ssl/certs/ca-certificates.crt ca-certificates"
)

say() { printf '%s\n' "$*"; }

die() { # WHAT [FIX]
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '    fix: %s\n' "$2" >&2
    exit 1
}

# Root starts again by sudo where there is a way, so that everything below can rely on it.
become_root() { # ARGUMENTS OF THE SCRIPT...
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null || die "root is needed: lab nodes are privileged containers" "run it as root, or install sudo"
    [ -t 0 ] || sudo -n true 2>/dev/null || die "root is needed, and sudo would ask for a password" "run it as root"
    say "Root is needed for lab nodes; starting again with sudo."
    local kept=CI,NO_COLOR,FORCE_COLOR,http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,SSL_CERT_FILE,SSL_CERT_DIR name
    for name in "${!SCS_@}" "${!PIP_@}" "${!UV_@}"; do kept+=,$name; done
    exec sudo --preserve-env="$kept" -- "$0" "$@"
}

check_system() {
    local id version
    id=$(. /etc/os-release 2>/dev/null && echo "${ID:-}") version=$(. /etc/os-release 2>/dev/null && echo "${VERSION_ID:-0}")
    case $id in
        debian) [ "${version%%.*}" -ge 12 ] || die "Debian $version is too old" "use Debian 12 or 13, or Ubuntu 24.04 or later" ;;
        ubuntu) [ "${version%%.*}" -ge 24 ] || die "Ubuntu $version is too old: its Python is older than 3.11" "use Debian 12 or 13, or Ubuntu 24.04 or later" ;;
        *) die "this machine runs ${id:-an unknown system}, not Debian or Ubuntu" "use a machine, or a virtual one, with Debian 12 or 13 or Ubuntu 24.04" ;;
    esac
}

check_memory() { # MIB
    local free
    free=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
    [ "$free" -ge "$1" ] || die "$free MiB of memory are free, $1 MiB are needed" "end other programs, or use a machine with more memory"
}

check_disk() { # MIB FOLDER...
    local needed=$1 folder free
    shift
    for folder in "$@"; do
        while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
        free=$(df --output=avail -m "$folder" | tail -1)
        [ "$free" -ge "$needed" ] || die "$free MiB are free on the disk of $folder, $needed MiB are needed" "free some space there"
    done
}

# Tries the real thing, in namespaces of its own that end with it: nothing of this machine is touched.
check_kernel() {
    local why
    # shellcheck disable=SC2016 # expanded inside
    why=$(unshare --net --mount bash -c '
        try() { local what=$1; shift; "$@" >/dev/null 2>&1 || { echo "$what"; exit; }; }
        if command -v ip >/dev/null; then
            try "network bridges" ip link add scs0 type bridge
            try "veth pairs" ip link add scs1 type veth peer name scs2
            try "tun devices" ip tuntap add scs3 mode tun
        fi
        ! command -v nft >/dev/null || try "nftables" nft list tables
        try "tmpfs" mount -t tmpfs scs /mnt
        mkdir /mnt/{lower,upper,work,all}
        try "overlay filesystems" mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work scs /mnt/all
    ' 2>&1) || die "this root may not make namespaces: ${why:-unshare failed}" "not inside an unprivileged container: use a virtual machine, or a privileged container"
    [ -z "$why" ] || die "the kernel lacks $why" "use the distribution's own kernel; $HELP"
    grep -q '^[^ ]* /sys/fs/cgroup' /proc/mounts || die "no cgroups are mounted at /sys/fs/cgroup" "$HELP"
}

missing_packages() { # "PROGRAM PACKAGE"... -> names, one per line
    local entry program
    for entry in "$@"; do
        program=${entry% *}
        case $program in
            /*) [ -e "$program" ] ;;
            *) command -v "$program" >/dev/null ;;
        esac || say "${entry##* }"
    done
}

# crun, Podman's usual runtime, refuses machines without a pure cgroup v2 tree.
engine_packages() {
    missing_packages "${PROGRAMS[@]}"
    [ -e /sys/fs/cgroup/cgroup.controllers ] || missing_packages "runc runc"
}

python_packages() {
    local python
    python=$(find_python) || { say python3; python=/usr/bin/python3; }
    [ -n "$(find_uv)" ] || "$python" -c 'import ensurepip' 2>/dev/null || say python3-venv
}

find_uv() { command -v uv || true; }

find_python() { # The first that is new enough
    local python
    for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        python=$(command -v "$python") || continue
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && say "$python" && return
    done
    return 1
}

check_apt() {
    local uri
    # shellcheck disable=SC2016 # apt's own variables
    uri=$(apt-get indextargets --format '$(REPO_URI)dists/$(RELEASE)/InRelease' 2>/dev/null | sort -u | head -1)
    [ -n "$uri" ] || return 0 # nothing is known before the first apt-get update, which will tell
    local into
    into=$(mktemp -d)
    if ! timeout 30 /usr/lib/apt/apt-helper -q -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
        -o APT::Sandbox::User=root download-file "$uri" "$into/InRelease" >"$into/log" 2>&1; then
        tail -3 "$into/log" >&2
        rm -rf "$into"
        die "the package mirror of this machine cannot be reached: $uri" "check the network, DNS and proxy (apt's settings in /etc/apt)"
    fi
    rm -rf "$into"
}

check_python_index() {
    local python
    python=$(find_python) || return 0
    "$python" "$ROOT/tools/reach_index.py" || exit 1
}

new_log() { # NAME
    mkdir -p "$ROOT/.state"
    say "$ROOT/.state/$1.log"
}

install_packages() { # NAMES...
    [ $# -gt 0 ] || return 0
    local log
    log=$(new_log packages)
    say "Installing: $*"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get -q update && apt-get -qy -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"; } >"$log" 2>&1 </dev/null; then
        tail -15 "$log" >&2
        die "packages could not be installed: $*" "repair what apt says above (all of it: $log), then run this again"
    fi
}

# The venv follows requirements/<kind>.txt; its stamp holds what it was made from. "dev" contains "runtime".
venv_stamp() { # KIND
    sha256sum "$ROOT/requirements/$1.txt" "$ROOT/pyproject.toml" | cut -c1-64 | tr '\n' ' '
}

venv_ready() { # KIND
    [ -x "$ROOT/.venv/bin/scs-deploy" ] && [ "$(cat "$ROOT/.venv/.made-$1" 2>/dev/null)" = "$(venv_stamp "$1")" ]
}

make_venv() { # KIND
    local kind=$1 venv=$ROOT/.venv python uv log options=(--no-deps --no-build-isolation --editable "$ROOT")
    python=$(find_python) || die "no Python 3.11 or later was found" "apt-get install python3"
    uv=$(find_uv)
    say "Making the Python environment .venv with ${uv:-$python}"
    "$venv/bin/python" -c '' 2>/dev/null || rm -rf "$venv" # a half-made or moved one
    rm -f "$venv"/.made-*
    log=$(new_log venv)
    if ! {
        if [ -n "$uv" ]; then
            [ -d "$venv" ] || "$uv" venv --quiet --python "$python" "$venv"
            "$uv" pip install --python "$venv" --require-hashes -r "$ROOT/requirements/$kind.txt" &&
                "$uv" pip install --python "$venv" "${options[@]}"
        else
            [ -d "$venv" ] || "$python" -m venv "$venv"
            "$venv/bin/python" -m pip --version || "$venv/bin/python" -m ensurepip || { rm -rf "$venv" && "$python" -m venv "$venv"; }
            "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "$ROOT/requirements/$kind.txt" &&
                "$venv/bin/python" -m pip install --disable-pip-version-check "${options[@]}"
        fi
    } >"$log" 2>&1 </dev/null; then
        tail -15 "$log" >&2
        die "the Python environment could not be made" "repair what is said above (all of it: $log); rm -rf .venv starts afresh"
    fi
    venv_stamp "$kind" >"$venv/.made-$kind"
}
