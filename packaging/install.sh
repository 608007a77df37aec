#!/bin/sh
# Installs wirelink from this folder, or removes it:
#
#   ./install.sh               installs into /usr/local, or where PREFIX says; DESTDIR comes before that, for those who make packages
#   ./install.sh --uninstall   has the daemons put their interfaces back, and removes all that was installed
#   ./install.sh --purge       and what wirelink keeps of its interfaces, and what `systemctl enable` made
#
# It enables and starts nothing. Daemons that run already are restarted, and keep their links.
set -eu

readonly PREFIX="${PREFIX:-/usr/local}"
readonly DESTDIR="${DESTDIR:-}"
readonly TARGET="$DESTDIR$PREFIX"
# Nothing of the machine is touched but files, where the files are not for this machine or somebody else than root asks.
if [ -z "$DESTDIR" ] && [ "$(id -u)" -eq 0 ]; then on_this_machine=yes; else on_this_machine=; fi
if [ -n "$on_this_machine" ] && [ -d /run/systemd/system ]; then with_systemd=yes; else with_systemd=; fi

cd "$(dirname "$0")"
# In the repository this is packaging/install.sh.
[ -d systemd ] || cd ..

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# What goes where: mode, source, place below PREFIX.
files() {
    cat <<END
755 ${1:-wirelink} bin/wirelink
644 systemd/wirelink@.service lib/systemd/system/wirelink@.service
644 systemd/wl-quick@.service lib/systemd/system/wl-quick@.service
644 packaging/sysusers.conf lib/sysusers.d/wirelink.conf
644 packaging/completions/wirelink.bash share/bash-completion/completions/wirelink
644 packaging/completions/_wirelink share/zsh/site-functions/_wirelink
644 packaging/completions/wirelink.fish share/fish/vendor_completions.d/wirelink.fish
644 README.md share/doc/wirelink/README.md
644 docs/install.md share/doc/wirelink/install.md
644 docs/json.md share/doc/wirelink/json.md
644 LICENSE-MIT share/doc/wirelink/LICENSE-MIT
644 LICENSE-APACHE share/doc/wirelink/LICENSE-APACHE
644 wirelink.example.json share/doc/wirelink/examples/wirelink.example.json
644 systemd/userspace.conf share/doc/wirelink/examples/userspace.conf
644 systemd/low-port.conf share/doc/wirelink/examples/low-port.conf
644 packaging/grafana.json share/doc/wirelink/examples/grafana.json
END
    for page in packaging/man/*.8; do
        echo "644 $page share/man/man8/${page##*/}"
    done
}

# In a tarball the program is in its folder; in the repository, where cargo puts it.
program() {
    for candidate in wirelink "${CARGO_TARGET_DIR:-target}/release/wirelink"; do
        [ ! -f "$candidate" ] || { echo "$candidate" && return; }
    done
    fail "there is no program: cargo build --release --locked"
}

install_one() {
    install -D -m "$1" "$2" "$TARGET/$3"
    case $3 in
    # The units name the program by its place.
    *.service) sed -i "s#/usr/bin/wirelink#$PREFIX/bin/wirelink#" "$TARGET/$3" ;;
    esac
}

make_group() {
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$PREFIX/lib/sysusers.d/wirelink.conf"
    elif ! getent group wirelink >/dev/null; then
        # The second is busybox's.
        groupadd --system wirelink || addgroup -S wirelink
    fi
}

install_all() {
    program=$(program)
    files "$program" | while read -r mode source place; do
        install_one "$mode" "$source" "$place"
    done
    [ -z "$on_this_machine" ] || make_group
    if [ -n "$with_systemd" ]; then
        systemctl daemon-reload
        systemctl try-restart 'wirelink@*.service' 'wl-quick@*.service'
        systemctl cat wirelink@wg0.service >/dev/null 2>&1 ||
            echo "systemd does not look below $PREFIX: systemctl link $PREFIX/lib/systemd/system/w*@.service"
    fi
    echo "installed in $TARGET; next, beside wg-quick@wg0: systemctl enable --now wl-quick@wg0"
}

uninstall() {
    [ -z "$with_systemd" ] || systemctl stop 'wl-quick@*.service' 'wirelink@*.service'
    # What was left there for nodes of wirelink v1 goes, too: nobody else could take it away any more.
    for state in /var/lib/wirelink/*.json; do
        [ -z "$on_this_machine" ] || [ ! -e "$state" ] || {
            iface=${state##*/}
            "$TARGET/bin/wirelink" restore --iface "${iface%.json}" >/dev/null 2>&1 || true
        }
    done
    files | while read -r _ _ place; do
        rm -f "$TARGET/$place"
    done
    for folder in share/doc/wirelink/examples share/doc/wirelink; do
        [ ! -d "$TARGET/$folder" ] || rmdir "$TARGET/$folder"
    done
    if [ -n "$on_this_machine" ]; then
        rm -rf /run/wirelink /run/private/wirelink
        ! getent group wirelink >/dev/null || groupdel wirelink || delgroup wirelink
    fi
    [ -z "$with_systemd" ] || systemctl daemon-reload
}

purge() {
    [ -n "$on_this_machine" ] || fail "--purge is for root, and for the machine that it runs on"
    for link in /etc/systemd/system/*.wants/wl-quick@*.service /etc/systemd/system/*.wants/wirelink@*.service; do
        [ -L "$link" ] || continue
        rm "$link"
        rmdir "${link%/*}" 2>/dev/null || :
    done
    # As `systemctl link` made them.
    for link in /etc/systemd/system/wl-quick@.service /etc/systemd/system/wirelink@.service; do
        case $(readlink "$link") in
        "$PREFIX"/*) rm "$link" ;;
        esac
    done
    rm -rf /var/lib/wirelink /var/lib/private/wirelink
    [ -z "$with_systemd" ] || systemctl daemon-reload
}

case "$#:${1:-}" in
0:) install_all ;;
1:--uninstall)
    uninstall
    echo "removed from $TARGET; what wirelink kept stays in /var/lib/wirelink: --purge removes that, too"
    ;;
1:--purge)
    uninstall
    purge
    echo "removed from $TARGET, with all that wirelink kept"
    ;;
*) fail "what is that? Nothing, --uninstall or --purge" ;;
esac
