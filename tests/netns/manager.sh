# Runs NetworkManager: bash manager.sh FOLDER, with its connections in FOLDER/*.nmconnection, as the first process of namespaces
# of its own for mounts, processes and the name of the host, in a network of the lab. It refuses to run anywhere else.
#
# Nothing of the machine's own is seen or touched: /run, /etc and /var are empty here, and the bus is its own. That /sys cannot be
# written tells NetworkManager that it is in a container, where it does not wait for udev.
set -e
[ $$ -eq 1 ] || exit 1
case $(ip netns identify) in wllab-*) ;; *) exit 1 ;; esac
folder=$1
mount --make-rprivate /
mount -o remount,ro,bind /sys
mkdir -p /var
for empty in /run /etc /var; do mount -t tmpfs tmpfs $empty; done
mkdir -p /run/dbus /var/lib/NetworkManager /etc/NetworkManager/system-connections
ln -s /run /var/run
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
cat >/etc/NetworkManager/NetworkManager.conf <<END
[main]
plugins=keyfile
auth-polkit=false
dns=none
rc-manager=unmanaged
hostname-mode=none
no-auto-default=*
[device-others]
match-device=*,except:type:wireguard
managed=0
END
for connection in "$folder"/*.nmconnection; do
    [ -e "$connection" ] || break
    cp "$connection" /etc/NetworkManager/system-connections/
    # It takes no others.
    chmod 600 /etc/NetworkManager/system-connections/*
done
cat >/run/bus.conf <<END
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
END
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile &
for _ in $(seq 100); do [ ! -S /run/dbus/system_bus_socket ] || break; sleep 0.1; done

start() {
    NetworkManager --no-daemon &
    manager=$!
    for _ in $(seq 60); do ! nmcli general >/dev/null 2>&1 || break; sleep 0.2; done
}
restart() {
    kill "$manager"
    wait "$manager" || true
    start
}

start
for _ in $(seq 60); do nmcli --terse --fields STATE device | grep -q ^connected && break; sleep 0.2; done
nmcli --terse device
echo "manager: ready"
# What is to be done comes in numbered files: `restart`, or what nmcli can be asked for, a line each.
number=1
while true; do
    if [ -e "$folder/manager.$number" ]; then
        while read -r line; do
            # shellcheck disable=SC2086 # a list of words
            if [ "$line" = restart ]; then restart; else nmcli $line </dev/null; fi
        done <"$folder/manager.$number"
        echo "manager: done $number"
        number=$((number + 1))
    fi
    sleep 0.2
done
