//! The part of a pass that moves links on, and has WireGuard try where they point.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::mesh::base::dense::repack;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Word;
use crate::mesh::device::DeviceChange;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::show::candidates;
use crate::mesh::node::{Node, WATCH_FOR};
use crate::mesh::reach::link::fit::{Found, Sized};
use crate::mesh::reach::link::{Contact, Link, State};
use crate::mesh::show::event::{Event, Output};

/// The most peers that become known in one pass: the secret shared with each costs an X25519 operation, some 50 µs.
const NEW_AT_ONCE: usize = 16;

/// What goes to a peer through its link once the device is as it was decided: a heartbeat shows what is so from then on.
#[derive(Default)]
pub(super) struct Due {
    /// Whether WireGuard must be made to send.
    knock: bool,
    beat: Option<u32>,
    sized: Option<Sized>,
}

impl Node {
    /// Moves links on; returns what is to be sent on them.
    pub(super) fn advance_links(
        &mut self,
        now: Timestamp,
        device: &mut Mirror,
        peers: &BTreeSet<PublicKey>,
    ) -> Vec<(PublicKey, Due)> {
        let own_nets = self.own_nets();
        let mut all_due = Vec::new();
        let mut room = NEW_AT_ONCE;
        for key in peers {
            let Some(found) = device.peers.get(key).map(|peer| peer.endpoint) else {
                self.links.remove(key);
                continue;
            };
            if !self.links.contains_key(key) {
                if room == 0 {
                    self.agenda.add_peers([*key]);
                    continue;
                }
                room -= 1;
                self.meet(key);
            }
            all_due.extend(
                self.advance_link(now, device, key, found, &own_nets)
                    .map(|due| (*key, due)),
            );
        }
        if room < NEW_AT_ONCE {
            repack(&mut self.links);
        }
        all_due
    }

    /// Sends what is due on links.
    pub(super) fn speak_on_links(&mut self, all_due: Vec<(PublicKey, Due)>) {
        for (peer, due) in all_due {
            if due.knock {
                self.gossip.knock(&peer);
            }
            if let Some(number) = due.beat {
                self.send_heartbeat(&peer, number);
            }
            if let Some(sized) = due.sized {
                self.send_sized(&peer, sized);
            }
        }
    }

    /// Moves one link on; returns what is to be sent on it.
    fn advance_link(
        &mut self,
        now: Timestamp,
        device: &mut Mirror,
        key: &PublicKey,
        found: Option<std::net::SocketAddr>,
        own_nets: &[IpNet],
    ) -> Option<Due> {
        let contact = self.contact_on(device, key);
        let yields = self.auth.public_key() > key;
        let found = self.endpoints.before(key).or(found);
        let mut reach = self.reach(now, key);
        let paused = self.settings.overrides.get(key).is_some_and(|said| said.paused);
        let link = self.links.entry(*key).or_insert_with(|| Link::new(now, found, yields));
        link.pause(paused);
        if self.recall.resumes(key) && contact.is_healthy(now) {
            link.resume(now);
        }
        let candidates = if link.wants_candidates(now, &contact, &reach) {
            candidates(
                now,
                link,
                (own_nets, self.places.nat64.prefix()),
                key,
                &self.store,
                &self.trust,
                &self.probing,
            )
        } else {
            Vec::new()
        };
        let was_since = link.since();
        let announced = self.announced_probes(key).map(|probes| probes.nat).unwrap_or_default();
        let since = self.links.get(key).map_or(now, Link::since);
        reach.hopeless = self.is_hopeless(now, announced, &candidates) || self.has_been_tried(now, since);
        let link = self.links.get_mut(key)?;
        let step = link.advance(now, &contact, &candidates, &reach);
        let (state, look_at, is_sought) = (link.state(), link.look_at(), link.is_sought(now, &contact));
        let better = link.better_places(now, &contact, &candidates);
        self.links_at = self.links_at.into_iter().chain(look_at).min();
        if let Some(endpoint) = step.endpoint {
            if step.knock {
                self.foretell(now, device, key, endpoint);
            }
            self.note_endpoint(device, key, endpoint, &candidates);
            device.apply(&DeviceChange::SetEndpoint { peer: *key, endpoint });
        }
        if step.afresh && self.membership.introduced(key) {
            self.begin_afresh(device, key, step.endpoint);
        }
        if step.left.is_some() {
            // What was looked for before, and how seldom, is nothing to go on from.
            self.probing.rest(key);
        }
        if is_sought || better.is_empty() || self.announced_probes(key).is_none() {
            self.aim(now, device, key, is_sought, &candidates);
        } else {
            self.probing.aim(now, key, &better, None);
        }
        if step.left.is_some() && state == State::Up && contact.is_v1() {
            self.nudges.want(*key, now);
        }
        if let Some(found) = step.found {
            self.tell_found(now, key, found);
        }
        if let Some(standing) = step.say {
            self.signal(now, key, Word::default(), standing);
        }
        if step.moved {
            self.agenda.add_prefixes(self.prefixes_of(device, key));
        }
        if let Some(left) = step.left {
            self.watch_until = Some(now + WATCH_FOR);
            if self.census.routers.contains(key) || state == State::Up && self.needs_observers(now, false) {
                self.seen.ask_at = None;
            }
            self.agenda.add_prefixes(self.prefixes_of(device, key));
            self.tell_transition(now, &contact, key, left, state, was_since);
        }
        if self.is_lost(now, device, key) {
            self.agenda.add_prefixes(self.prefixes_of(device, key));
        }
        let (knock, beat, sized) = (step.knock, step.beat, step.sized);
        (knock || beat.is_some()).then_some(Due { knock, beat, sized })
    }

    /// Has WireGuard forget a peer without a session and know it again: it sends an initiation only 5 s after the last. Nothing is
    /// lost but what waited for the session; to a peer of the operator's it is not done.
    fn begin_afresh(&mut self, device: &mut Mirror, key: &PublicKey, endpoint: Option<std::net::SocketAddr>) {
        let change = DeviceChange::MakeAgain { peer: *key, endpoint };
        device.apply(&change);
        // The plan sees no difference.
        self.outputs.push_back(Output::Configure(change));
    }

    fn tell_found(&mut self, now: Timestamp, key: &PublicKey, found: Found) {
        let peer = self.name(key);
        let event = match found {
            Found::Narrow(narrow) => Event::PathNarrow { peer, narrow },
            Found::Wide => Event::PathWide { peer },
        };
        self.notify(now, event);
    }

    fn tell_transition(
        &mut self,
        now: Timestamp,
        contact: &Contact,
        key: &PublicKey,
        left: State,
        state: State,
        was_since: Timestamp,
    ) {
        let peer = self.name(key);
        let event = match (left, state) {
            (_, State::Up) => Event::LinkEstablished {
                peer,
                endpoint: contact.endpoint,
                took: now.since(was_since),
            },
            (_, State::Suspect(missing)) => Event::LinkSuspected { peer, missing },
            (State::Suspect(_) | State::Up, State::Probing | State::Idle) => Event::LinkLost { peer },
            (State::Probing | State::Idle, State::Probing | State::Idle) => return,
        };
        self.notify(now, event);
    }
}
