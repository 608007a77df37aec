# Runs systemd-networkd beside an interface: bash networkd.sh FOLDER INTERFACE ADDRESS, as the first process of namespaces of its
# own for mounts and processes. It refuses to run anywhere else.
#
# Nothing of the machine's own systemd is seen or touched: /run and the configuration are empty here. That /sys cannot be written
# tells networkd that it is in a container, where it does not wait for udev.
set -e
[ $$ -eq 1 ] || exit 1
folder=$1 interface=$2 address=$3
mount --make-rprivate /
mount -o remount,ro,bind /sys
for empty in /run /etc/systemd/network /usr/lib/systemd/network; do
    [ ! -d $empty ] || mount -t tmpfs tmpfs $empty
done
mkdir -p /run/systemd/netif /run/systemd/network /run/dbus
chown systemd-network: /run/systemd/netif
# A WireGuard device of the kernel's has no link-local addresses in networkd's eyes; one of wireguard-go it takes for any tunnel.
printf '[Match]\nName=%s\n[Network]\nAddress=%s\nLinkLocalAddressing=no\n' "$interface" "$address" \
    >/run/systemd/network/10-tunnel.network
dbus-daemon --system --nofork --nopidfile &
for _ in $(seq 100); do [ ! -S /run/dbus/system_bus_socket ] || break; sleep 0.1; done
/lib/systemd/systemd-networkd &
for _ in $(seq 100); do networkctl --no-pager status "$interface" | grep -q '(configured)' && break; sleep 0.1; done
networkctl --no-pager status "$interface"
echo "networkd: ready"
# What networkctl is to do comes in numbered files.
number=1
while true; do
    if [ -e "$folder/networkd.$number" ]; then
        # shellcheck disable=SC2046 # a list of words
        networkctl $(cat "$folder/networkd.$number")
        echo "networkd: done $number"
        number=$((number + 1))
    fi
    sleep 0.1
done
