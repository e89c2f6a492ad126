# shellcheck shell=bash
# Clean Debian roots, for scripts that source this at the top of the tree. Such a script starts itself again by
# `isolate`, in namespaces of its own: no mount is visible from outside, and whatever was started ends with it.
#
# Needs root, and a Debian host whose package mirror, apt, pip, cargo and certificate settings are used.

# The root that the functions work on. Outside of `--inside` it is a temporary one, or none.
root=
isolated=
clock=

say() { echo "$(basename "$0" .sh): $*"; }
die() { say "$*" >&2; exit 1; }

# A root that goes with the script; make_root fills it.
temporary_root() { root=$(mktemp -d --tmpdir wsengine-root.XXXXXX); }

# isolate SECONDS WORD...: runs this script with `--inside WORD...`, for no longer than that.
isolate() {
    local seconds=$1
    shift
    [ "$(id -u)" = 0 ] || die "must run as root: it mounts and uses chroot"
    trap end_isolated EXIT
    trap 'exit 130' INT TERM
    unshare --mount --pid --fork --kill-child --propagation private "$0" --inside "$@" &
    isolated=$!
    timeout "$seconds" tail --pid="$isolated" -f /dev/null &
    clock=$!
    wait "$clock" || die "not done after $seconds seconds"
    wait "$isolated"
}

# Ending unshare ends all that runs in its namespaces.
end_isolated() {
    kill -KILL "$isolated" 2>/dev/null || true
    wait "$isolated" 2>/dev/null || true
    kill "$clock" 2>/dev/null || true
    [ -z "$root" ] || rm -rf --one-file-system "$root" 2>/dev/null ||
        { sleep 1; rm -rf --one-file-system "$root"; }
}

# make_root SUITE LOG: a minimal Debian in $root that reaches packages the way this machine does.
make_root() {
    local suite=$1 log=$2 mirror host
    # shellcheck disable=SC2016 # apt expands these
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' | sed -n 's/^Debian //p' | head -n1)
    [ -n "$mirror" ] || die "this machine's apt knows no mirror of Debian"
    host=$(. /etc/os-release && echo "$VERSION_CODENAME")
    say "a clean $suite"
    chmod 755 "$root" # mktemp's 700 would keep apt's own user out
    debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$root" "$mirror" >"$log" ||
        { tail -n 20 "$log"; die "debootstrap failed"; }

    rm -f "$root/etc/apt/sources.list"
    cp -a /etc/apt /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ "$suite" = "$host" ]; then
        cp -a /usr/share/keyrings "$root/usr/share/"
    else
        rm -f "$root"/etc/apt/sources.list.d/*
        echo "deb $mirror $suite main" >"$root/etc/apt/sources.list"
    fi
    for path in /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates \
        /etc/pip.conf "$HOME/.config/pip" "${CARGO_HOME:-$HOME/.cargo}/config.toml"; do
        [ -e "$path" ] || continue
        case $path in
            "$HOME/.config/pip") target=/root/.config/ ;;
            *config.toml) target=/root/.cargo/ ;;
            *) target=$(dirname "$path") ;;
        esac
        mkdir -p "$root$target"
        cp -a "$path" "$root$target"
    done
}

# kept_root SUITE: $root from target/roots, made by whoever comes first. One script at a time has it.
kept_root() {
    local kept=$PWD/target/roots/$1
    mkdir -p target/roots
    exec {lock}>"$kept.lock"
    flock "$lock"
    if [ ! -d "$kept" ]; then
        root=$kept.new
        rm -rf --one-file-system "$root"
        mkdir "$root"
        make_root "$1" "$kept.log"
        mv "$root" "$kept"
    fi
    root=$kept
}

# What a root needs from the kernel, and the Rust toolchain of this machine.
mount_root() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    if [ ! -x "$sysroot/bin/cargo" ] || [ "$sysroot" = /usr ]; then
        die "$sysroot is no toolchain of its own to lend"
    fi
    mkdir -p "$root/opt/rust"
    mount -o bind,ro "$sysroot" "$root/opt/rust"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
}

# A command in the root, with a login's bare environment and this machine's network settings.
in_root() {
    local network
    mapfile -t network < <(env | grep -iE '^(https?_proxy|no_proxy|pip_|cargo_(http|net|registries)_|[a-z_]*(cert|cainfo|ca_bundle)[a-z_]*)=' || true)
    chroot "$root" /usr/bin/env -i "${network[@]}" CI=true HOME=/root LANG=C.UTF-8 TERM=dumb \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        sh -c 'cd /root/wsengine && exec "$@"' sh "$@"
}
