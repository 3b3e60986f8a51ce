#!/usr/bin/env bash
# Does a fresh Debian run the two commands of README.md? `make test-fresh`, as root, where
# debootstrap is installed. It takes the last commit, not the working tree, and an ordinary user
# runs the commands.
#
# FRESH_SUITE     release of Debian (bookworm: Python 3.11)
# FRESH_MIRROR    where debootstrap finds it
# FRESH_BIND      folders that are to be there too, for a package index on this machine's disk
# FRESH_COMMANDS  what is run, one command a line
# FRESH_KEEP      if set, the folder stays
#
# pip's settings of this machine (/etc/pip.conf, /etc/xdg/pip, PIP_*) and its certificates go along.
set -euo pipefail

suite=${FRESH_SUITE:-bookworm}
mirror=${FRESH_MIRROR:-http://deb.debian.org/debian}
commands=${FRESH_COMMANDS:-$'make demo\nmake test'}
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
packages=python3,python3-venv,git,make,ca-certificates

fail() { echo "tests/fresh/run.sh: $*" >&2; exit 2; }
command -v debootstrap > /dev/null || fail "debootstrap is not installed"
[ "$(id -u)" = 0 ] || fail "debootstrap and chroot need root"

root=$(mktemp -d "${TMPDIR:-/tmp}/fresh.XXXXXX")
chmod 755 "$root"  # it is the reader's /
mounted=()
clean() {
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}"; done
    mounted=()
    if [ -n "${FRESH_KEEP:-}" ]; then echo "left in $root"; else rm -rf --one-file-system "$root"; fi
}
trap clean EXIT

bind() {
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount --make-private "$root$1"
    mounted+=("$root$1")
}

debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" > "$root.log" 2>&1 \
    || { tail -5 "$root.log" >&2; fail "debootstrap failed; its log is $root.log"; }
rm "$root.log"
for folder in /proc /dev /dev/shm ${FRESH_BIND:-}; do bind "$folder"; done
for file in /etc/resolv.conf /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] || continue
    mkdir -p "$root$(dirname "$file")"
    cp -rL "$file" "$root$file"
done

chroot "$root" useradd --create-home reader
git clone --quiet --no-hardlinks "$repository" "$root/home/reader/exp-fl-5"
chroot "$root" chown -R reader: /home/reader/exp-fl-5

environment=(PATH=/usr/bin:/bin HOME=/home/reader LANG=C.UTF-8)
while IFS= read -r setting; do environment+=("$setting"); done < <(env | grep '^PIP_' || true)
while IFS= read -r command; do
    echo "fresh $suite: $command"
    start=$SECONDS
    chroot --userspec=reader:reader "$root" /usr/bin/env -i "${environment[@]}" \
        bash -c "cd && cd exp-fl-5 && $command" || fail "'$command' failed with status $?"
    echo "fresh $suite: $command took $((SECONDS - start)) s"
done <<< "$commands"
