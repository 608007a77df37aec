//! The names among the operator's endpoints and servers, and the addresses they have: whose turn it is to be asked for, and what was answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::{Host, Settings};
use crate::mesh::base::time::Timestamp;

/// How often a name is looked up at most: addresses of homes change, but not by the minute, and resolvers belong to others.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// How soon a lookup that failed is tried again; each further failure doubles that, up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failed lookup, for [`PATIENT_FAILURES`] of them, some five minutes; then [`ASK_AGAIN`] is. A resolver that
/// comes back is noticed within this.
const RETRY_MOST: Duration = Duration::from_secs(15);
/// See [`RETRY_MOST`].
const PATIENT_FAILURES: u32 = 24;
/// How often it is while its peer is reached: what is known then is no older than this when it is needed and nobody answers.
const TOO_OLD: Duration = Duration::from_secs(3600);
/// How long a peer with an endpoint may not be reached before its name is asked for. Whoever set that endpoint has asked a moment
/// ago as a rule, and a question that was spent on it is missing when the peer moves in the next minute.
const FIRST_TRY: Duration = Duration::from_secs(3);
/// How long an answer is waited for at most: the resolver gives up after 5 s.
const PATIENCE: Duration = Duration::from_secs(6);
/// The most questions in a second: a thousand names take a minute, and none waits long behind the others.
const ASKED_IN_A_SECOND: u32 = 16;
const SECOND: Duration = Duration::from_secs(1);
/// The most addresses that are taken of one name.
const MAX_ADDRESSES: usize = 16;

/// How much a name is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its peer has a session and is heard.
    None,
    /// Its peer has an endpoint and no session, since then.
    NotReached {
        /// Since when it is so.
        since: Timestamp,
    },
    /// Its peer has no endpoint, or a session on which it is not heard.
    Urgent,
}

/// Where the operator says that peers are, and what is known of each name.
#[derive(Debug)]
pub struct Names {
    /// What the settings say.
    settings: BTreeMap<PublicKey, Vec<Host>>,
    /// What the settings name beside peers.
    servers: Vec<Host>,
    /// What the file of wg-quick says.
    file: BTreeMap<PublicKey, Host>,
    known: BTreeMap<Host, Name>,
    began: Timestamp,
    /// The present second, and how many questions it had.
    asked: (Timestamp, u32),
}

#[derive(Debug)]
struct Name {
    asked: Timestamp,
    /// Whether the last question has no answer yet.
    waits: bool,
    /// How many lookups failed since the last answer.
    failures: u32,
    /// From when on the name may be looked up again, where it is needed.
    again: Timestamp,
    addresses: Vec<SocketAddr>,
}

impl Names {
    /// Starts with what the settings say.
    pub fn new(now: Timestamp, settings: &Settings) -> Self {
        Self {
            settings: hosts(settings),
            servers: settings.stun.clone(),
            file: BTreeMap::new(),
            known: BTreeMap::new(),
            began: now,
            asked: (now, 0),
        }
    }

    /// Takes in what the settings say now; what is named nowhere any more is forgotten.
    pub fn replace_settings(&mut self, settings: &Settings) {
        (self.settings, self.servers) = (hosts(settings), settings.stun.clone());
        self.forget_unnamed();
    }

    /// Takes in what the file of wg-quick says now; what is named nowhere any more is forgotten.
    pub fn replace_file(&mut self, file: BTreeMap<PublicKey, Host>) {
        self.file = file;
        self.forget_unnamed();
    }

    fn forget_unnamed(&mut self) {
        let (settings, file, servers) = (&self.settings, &self.file, &self.servers);
        let is_named = |host: &Host| {
            let mut named = settings.values().flatten().chain(file.values()).chain(servers);
            named.any(|known| known == host)
        };
        self.known.retain(|host, _| is_named(host));
    }

    /// Returns the peers that have a place.
    pub fn peers(&self) -> impl Iterator<Item = PublicKey> {
        let others = self.file.keys().filter(|key| !self.settings.contains_key(key));
        self.settings.keys().chain(others).copied()
    }

    /// Returns the places of a peer; what the file says counts only for one that is the operator's on the device.
    pub fn places(&self, peer: &PublicKey, is_operators: bool) -> impl Iterator<Item = &Host> {
        let file = self.file.get(peer).filter(|_| is_operators);
        self.settings.get(peer).into_iter().flatten().chain(file)
    }

    /// Returns when a name of the peer was asked for last, of several the one that waits for the longest time.
    pub fn asked(&self, peer: &PublicKey) -> Option<Timestamp> {
        let asked = |host| self.known.get(host).map(|name| name.asked);
        self.places(peer, true).map(asked).min().flatten()
    }

    /// Returns whether the host must be looked up now, and counts on it being done. An address needs none.
    pub fn ask(&mut self, now: Timestamp, host: &Host, need: Need) -> bool {
        if matches!(host, Host::Address(_)) || now < self.due(host, need) || !self.has_room(now) {
            return false;
        }
        self.asked.1 += 1;
        let again = now + ASK_AGAIN;
        let name = self.known.entry(host.clone()).or_insert_with(|| Name {
            asked: now,
            waits: true,
            failures: 0,
            again,
            addresses: Vec::new(),
        });
        (name.asked, name.waits, name.again) = (now, true, again);
        true
    }

    /// Returns when to come again for the sake of a host that is needed: when it is due, or when there is room for its question.
    pub fn next(&self, now: Timestamp, host: &Host, need: Need) -> Option<Timestamp> {
        let is_needed = matches!(host, Host::Name { .. }) && need != Need::None;
        is_needed.then(|| self.due(host, need).max(now + SECOND))
    }

    /// Returns when a name is asked for next, if the need stays as it is.
    fn due(&self, host: &Host, need: Need) -> Timestamp {
        let known = self.known.get(host);
        let earliest = known.map_or(self.began, |name| name.again);
        match need {
            Need::None => known.map_or(self.began, |name| name.asked) + TOO_OLD,
            Need::NotReached { since } => earliest.max(since + FIRST_TRY),
            Need::Urgent => earliest,
        }
    }

    fn has_room(&mut self, now: Timestamp) -> bool {
        if now.since(self.asked.0) >= SECOND {
            self.asked = (now, 0);
        }
        self.asked.1 < ASKED_IN_A_SECOND
    }

    /// Takes an answer in. The known addresses stay where the lookup failed: that is no news about the peer, and the lookup is soon
    /// tried again.
    pub fn answer(&mut self, now: Timestamp, host: &Host, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        let Some(name) = self.known.get_mut(host) else { return };
        name.waits = false;
        if addresses.is_empty() {
            name.failures = name.failures.saturating_add(1);
            name.again = now + retry_after(name.failures);
        } else {
            (name.failures, name.addresses) = (0, addresses);
        }
    }

    /// Takes in that this machine is on another network: lookups that failed are tried at once, as the resolver may be another one.
    pub fn retry(&mut self, now: Timestamp) {
        let failed = self.known.values_mut().filter(|name| name.failures > 0);
        failed.for_each(|name| (name.failures, name.again) = (0, now));
    }

    /// Returns whether an answer about the host may come any moment. After a failure none is counted on.
    pub fn is_asked(&self, now: Timestamp, host: &Host) -> bool {
        let name = self.known.get(host).filter(|name| name.failures == 0);
        name.is_some_and(|name| name.waits && now.since(name.asked) < PATIENCE)
    }

    /// Returns the addresses of a host that are known.
    pub fn addresses(&self, host: &Host) -> Vec<SocketAddr> {
        match host {
            Host::Address(address) => vec![*address],
            Host::Name { .. } => self
                .known
                .get(host)
                .map(|name| name.addresses.clone())
                .unwrap_or_default(),
        }
    }
}

/// Returns how long to wait after so many failed lookups in a row.
fn retry_after(failures: u32) -> Duration {
    if failures > PATIENT_FAILURES {
        return ASK_AGAIN;
    }
    let doubled = RETRY.saturating_mul(1 << failures.saturating_sub(1).min(8));
    doubled.min(RETRY_MOST)
}

/// Returns where the settings say that peers are.
fn hosts(settings: &Settings) -> BTreeMap<PublicKey, Vec<Host>> {
    let peers = settings.peers.iter().filter(|(_, peer)| !peer.endpoints.is_empty());
    peers.map(|(key, peer)| (*key, peer.endpoints.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::settings::PeerSettings;

    const PEER: PublicKey = PublicKey::from_bytes([1; 32]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn host(name: &str) -> Host {
        let name = name.into();
        Host::Name { name, port: 5 }
    }

    fn names() -> Names {
        Names::new(at(0), &Settings::default())
    }

    fn addresses(text: &[&str]) -> Vec<SocketAddr> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_asked_once_a_minute_and_keeps_its_addresses_through_a_failure() {
        let (mut names, hub) = (names(), host("hub"));
        assert!(names.ask(at(0), &hub, Need::Urgent) && !names.ask(at(59), &hub, Need::Urgent));
        let both = addresses(&["192.0.2.1:5", "[2001:db8::1]:5"]);
        names.answer(at(1), &hub, both.clone());
        assert!(names.ask(at(60), &hub, Need::Urgent) && !names.ask(at(61), &hub, Need::Urgent));
        names.answer(at(61), &hub, Vec::new());
        assert_eq!(names.addresses(&hub), both);
    }

    #[test]
    fn failed_lookup_is_retried_with_backoff() {
        let (mut names, hub) = (names(), host("hub"));
        let mut asked = Vec::new();
        for second in 0..900 {
            if names.ask(at(second), &hub, Need::Urgent) {
                asked.push(second);
                names.answer(at(second), &hub, Vec::new());
            }
        }
        assert_eq!(asked[..7], [0, 1, 3, 7, 15, 30, 45]);
        let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            pauses.last(),
            Some(&60),
            "a name that does not exist is asked for seldom"
        );
        assert!(!names.ask(at(900), &hub, Need::Urgent));
        names.retry(at(900));
        assert!(names.ask(at(900), &hub, Need::Urgent), "on another network at once");
        names.answer(at(900), &hub, addresses(&["192.0.2.1:5"]));
        assert!(!names.ask(at(959), &hub, Need::Urgent) && names.ask(at(960), &hub, Need::Urgent));
    }

    #[test]
    fn while_its_peer_is_reached_a_name_is_asked_once_an_hour() {
        let (mut names, hub) = (names(), host("hub"));
        assert!(!names.ask(at(3599), &hub, Need::None) && names.ask(at(3600), &hub, Need::None));
        assert!(!names.ask(at(7199), &hub, Need::None) && names.ask(at(7200), &hub, Need::None));
        assert!(!names.ask(at(7259), &hub, Need::Urgent) && names.ask(at(7260), &hub, Need::Urgent));
    }

    #[test]
    fn an_endpoint_that_is_there_is_tried_before_its_name_is_asked_for() {
        let (mut names, hub) = (names(), host("hub"));
        let need = Need::NotReached { since: at(100) };
        assert!(!names.ask(at(102), &hub, need) && names.ask(at(103), &hub, need));
        assert!(names.ask(at(100), &host("nowhere"), Need::Urgent));
    }

    #[test]
    fn a_thousand_names_are_asked_over_a_minute_and_each_has_its_turn() {
        let mut names = names();
        let key = |number: u16| PublicKey::from_bytes([number.to_be_bytes(); 16].concat().try_into().unwrap());
        names.replace_file(
            (0..1000)
                .map(|number| (key(number), host(&format!("leaf{number}"))))
                .collect(),
        );
        let mut counts: BTreeMap<PublicKey, u32> = BTreeMap::new();
        for second in 0..630 {
            let mut peers: Vec<PublicKey> = names.peers().collect();
            peers.sort_by_key(|peer| names.asked(peer));
            let host = |names: &Names, peer: &PublicKey| names.places(peer, true).next().cloned().unwrap();
            peers.retain(|peer| names.ask(at(second), &host(&names, peer), Need::Urgent));
            assert!(peers.len() <= 16);
            peers.into_iter().for_each(|peer| *counts.entry(peer).or_default() += 1);
        }
        let in_turn = counts.values().all(|count| (10..=11).contains(count));
        assert!(counts.len() == 1000 && in_turn);
    }

    #[test]
    fn an_answer_is_waited_for_but_not_for_ever() {
        let (mut names, hub) = (names(), host("hub"));
        assert!(!names.is_asked(at(0), &hub) && names.ask(at(0), &hub, Need::Urgent));
        assert!(names.is_asked(at(5), &hub) && !names.is_asked(at(6), &hub));
        names.answer(at(6), &hub, Vec::new());
        assert!(names.ask(at(7), &hub, Need::Urgent));
        assert!(
            !names.is_asked(at(7), &hub),
            "known addresses do not wait for a resolver that fails"
        );
    }

    #[test]
    fn an_address_needs_no_resolver() {
        let host = Host::Address("192.0.2.1:5".parse().unwrap());
        let mut names = names();
        assert!(!names.ask(at(0), &host, Need::Urgent));
        assert_eq!(names.addresses(&host).len(), 1);
    }

    #[test]
    fn the_file_of_wg_quick_counts_for_the_operators_own_peers_beside_the_settings() {
        let written = PeerSettings {
            endpoints: vec![host("settings")],
            ..PeerSettings::default()
        };
        let settings = Settings {
            peers: [(PEER, written)].into(),
            ..Settings::default()
        };
        let mut names = Names::new(at(0), &settings);
        names.replace_file([(PEER, host("file"))].into());
        let both = [host("settings"), host("file")];
        assert!(names.places(&PEER, true).eq(&both));
        assert!(names.places(&PEER, false).eq(&both[..1]));
        assert!(names.ask(at(0), &both[1], Need::Urgent));
        names.answer(at(0), &both[1], addresses(&["192.0.2.1:5"]));
        names.replace_file(BTreeMap::new());
        assert_eq!(names.addresses(&both[1]), [], "what is named nowhere is forgotten");
    }
}
