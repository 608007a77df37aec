//! What can be done to machines from outside: by their operators, by those who carry them about, and by the power supply.

use std::net::IpAddr;
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::show::event::{Input, Output};

use super::{What, World};
use crate::host::{self, Config, ECHO, Host};
use crate::net::{HostId, Nic};
use crate::wireguard::Packet;

impl World {
    /// Adds a machine on which only WireGuard runs.
    pub(crate) fn add_host(&mut self, config: Config, nics: Vec<Nic>) -> HostId {
        let id = self.net.add_host();
        let seed = self.draw.next();
        self.hosts.push(Host::new(config, self.now, seed));
        self.net.plug(id, nics);
        self.settle(id);
        id
    }

    /// Starts the node of a machine.
    pub(crate) fn start(&mut self, id: HostId) {
        self.note(Some(id), || "starts".into());
        let seed = self.draw.bytes();
        self.hosts[id].start(self.now, seed);
        self.observe(id);
        self.plan(id);
    }

    /// Stops the node of a machine as the daemon does when it is asked to.
    pub(crate) fn stop(&mut self, id: HostId) {
        self.note(Some(id), || "stops".into());
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some(mut node) = host.end() else { return };
        // It leaves the device as it is.
        host.left_behind |= host.is_v1();
        while node.poll_output().is_some() {}
        node.handle(now, Input::Device(host.tunnel.device()));
        node.handle(now, Input::Stop);
        while let Some(output) = node.poll_output() {
            self.hash(id, &output);
            match output {
                Output::Configure(change) => self.configure(id, change, true),
                Output::Remember(memory) => {
                    // To what v1 nodes still send stays.
                    let is_beside_v1 = self.hosts.iter().any(|host| host.is_v1());
                    self.hosts[id].left_behind |= is_beside_v1 && !memory.introduced.is_empty();
                    self.remember(id, &memory);
                }
                Output::Transmit { .. } => self.carry_out(id, output),
                Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Pong { .. }
                | Output::Resolve(_)
                | Output::Notify(_) => {}
            }
        }
        self.check_endpoints(id);
        self.settle(id);
    }

    /// Ends the node of a machine without a farewell.
    pub(crate) fn kill(&mut self, id: HostId) {
        self.note(Some(id), || "is killed".into());
        let host = &mut self.hosts[id];
        let left = host.end();
        host.left_behind |= left.is_some();
        host.left_address = left.map(|node| node.address().into()).or(host.left_address);
    }

    /// Starts a machine anew: WireGuard as its operator configured it, and nothing else.
    pub(crate) fn reboot(&mut self, id: HostId) {
        self.note(Some(id), || "reboots".into());
        let seed = self.draw.next();
        self.hosts[id].reboot(self.now, seed);
        self.settle(id);
    }

    /// Suspends a machine; its clock goes on.
    pub(crate) fn sleep(&mut self, id: HostId, time: Duration) {
        self.note(Some(id), || format!("sleeps for {time:?}"));
        self.hosts[id].tunnel.suspend(self.now);
        self.hosts[id].asleep = true;
        self.push(time, What::Awaken(id));
    }

    /// Gives a machine other interfaces, which its node is told.
    pub(crate) fn plug(&mut self, id: HostId, nics: Vec<Nic>) {
        self.note(Some(id), || format!("is at {nics:?}"));
        self.net.plug(id, nics);
        self.observe(id);
        self.plan(id);
    }

    /// Gives a machine one more interface, or takes it away.
    pub(crate) fn attach(&mut self, id: HostId, attached: bool) {
        self.hosts[id].attached = attached;
        self.observe(id);
        self.plan(id);
    }

    /// Does to WireGuard what an operator does by hand.
    pub(crate) fn operate(&mut self, id: HostId, change: &DeviceChange) {
        self.note(Some(id), || format!("by hand: {change:?}"));
        self.hosts[id].tunnel.apply(self.now, change);
        self.settle(id);
    }

    /// Has the operator of a machine tell its node something else.
    pub(crate) fn reload(&mut self, id: HostId, settings: Settings) {
        self.note(Some(id), || "has other settings".into());
        let host = &mut self.hosts[id];
        host.config.settings = settings.clone();
        if let Some(node) = &mut host.node {
            node.handle(self.now, Input::Settings(Box::new(settings)));
        }
        self.plan(id);
    }

    /// Has the operator of a machine ban a key, or no longer.
    pub(crate) fn ban(&mut self, id: HostId, peer: PublicKey, denied: bool) {
        self.note(Some(id), || format!("denies {}: {denied}", peer.short()));
        if let Some(node) = &mut self.hosts[id].node {
            node.handle(self.now, Input::Ban { peer, denied });
        }
        self.settle(id);
    }

    fn observe(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let state = host.state(self.net.nics(id));
        if let Some(node) = &mut host.node {
            node.handle(self.now, Input::Host(state));
        }
    }

    /// Sends an echo request through the tunnel of a machine; returns its number.
    pub(crate) fn ping(&mut self, from: HostId, to: IpAddr) -> u64 {
        self.echoes += 1;
        let number = self.echoes;
        let source = self.hosts[from].inner(to.is_ipv6());
        if let Some(source) = source {
            let packet = host::udp(source, to, ECHO + 1, ECHO, &number.to_be_bytes());
            self.emit(from, packet);
            self.settle(from);
        }
        number
    }

    /// Has the node of a machine measure the ways to a peer.
    pub(crate) fn ask(&mut self, from: HostId, peer: PublicKey) {
        if let Some(node) = &mut self.hosts[from].node {
            node.handle(self.now, Input::Ping { peer, id: 1 });
        }
        self.settle(from);
    }

    /// Sends a packet through the tunnel of a machine.
    pub(crate) fn inject(&mut self, from: HostId, packet: Packet) {
        self.emit(from, packet);
        self.settle(from);
    }

    /// Returns what was left of the time to live of the answer to an echo request, if there was one.
    pub(crate) fn echo(&self, from: HostId, number: u64) -> Option<u8> {
        self.hosts[from].echoes.get(&number).copied()
    }
}
