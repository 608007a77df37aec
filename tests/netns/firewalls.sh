#!/bin/sh
# Runs the real firewalld or ufw on the network namespace that it is called in, with files of its own, and then lines of a shell. The
# rules stay behind. Call it in a mount namespace of its own: firewalls.sh firewalld|ufw, with the lines as input
set -eu
mount -t tmpfs none /run
mkdir -p /run/dbus /run/lock /run/settings /run/ufw-state
mount -t tmpfs none /var/log
mount -t tmpfs none /tmp

with_firewalld() {
    cp -a /etc/firewalld/. /run/settings
    mount --bind /run/settings /etc/firewalld
    # The rules outlive the program.
    sed -i 's/^CleanupOnExit=.*/CleanupOnExit=no/' /etc/firewalld/firewalld.conf
    cat >/run/bus.conf <<END
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
END
    dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile >/dev/null 2>&1 &
    bus=$!
    for _ in $(seq 100); do [ ! -S /run/dbus/system_bus_socket ] || break; sleep 0.1; done
    firewalld --nofork --nopid >/dev/null 2>&1 &
    firewalld=$!
    trap 'kill $firewalld; wait $firewalld || true; kill $bus' EXIT
    for _ in $(seq 200); do ! firewall-cmd --state >/dev/null 2>&1 || break; sleep 0.1; done
    firewall-cmd --state
}

with_ufw() {
    cp -a /etc/ufw/. /run/settings
    mount --bind /run/settings /etc/ufw
    cp /etc/default/ufw /run/default
    mount --bind /run/default /etc/default/ufw
    ufw --force enable
}

"with_$1" </dev/null
lines=$(cat)
eval "$lines"
