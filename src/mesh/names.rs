//! The names among the operator's endpoints, and the addresses they have: asked for while a peer is not reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::settings::Host;
use super::time::Timestamp;

/// How often a name is looked up while its peer is not reached: addresses of homes change.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// The most addresses that are taken of one name.
const MAX_ADDRESSES: usize = 16;

/// What is known of each name.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<Host, Name>);

#[derive(Debug)]
struct Name {
    asked: Timestamp,
    addresses: Vec<SocketAddr>,
}

impl Names {
    /// Returns whether the host must be looked up now, and counts on it being done. An address needs none.
    pub fn ask(&mut self, now: Timestamp, host: &Host) -> bool {
        match (host, self.0.get_mut(host)) {
            (Host::Address(_), _) => false,
            (Host::Name { .. }, Some(name)) if now.since(name.asked) < ASK_AGAIN => false,
            (Host::Name { .. }, Some(name)) => {
                name.asked = now;
                true
            }
            (Host::Name { .. }, None) => {
                self.0.insert(
                    host.clone(),
                    Name {
                        asked: now,
                        addresses: Vec::new(),
                    },
                );
                true
            }
        }
    }

    /// Takes an answer in. What was known stays where there is none: a resolver that fails is no news about the peer.
    pub fn answer(&mut self, host: &Host, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        if let Some(name) = self.0.get_mut(host).filter(|_| !addresses.is_empty()) {
            name.addresses = addresses;
        }
    }

    /// Returns the addresses of a host that are known.
    pub fn addresses(&self, host: &Host) -> Vec<SocketAddr> {
        match host {
            Host::Address(address) => vec![*address],
            Host::Name { .. } => self.0.get(host).map(|name| name.addresses.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_name_is_asked_once_a_minute_and_keeps_its_address_through_a_failure() {
        let host = Host::Name {
            name: "hub.example".into(),
            port: 5,
        };
        let mut names = Names::default();
        assert!(names.ask(at(0), &host) && !names.ask(at(59), &host));
        names.answer(&host, vec!["192.0.2.1:5".parse().unwrap()]);
        assert!(names.ask(at(60), &host));
        names.answer(&host, Vec::new());
        assert_eq!(names.addresses(&host), ["192.0.2.1:5".parse().unwrap()]);
    }

    #[test]
    fn an_address_needs_no_resolver() {
        let host = Host::Address("192.0.2.1:5".parse().unwrap());
        let mut names = Names::default();
        assert!(!names.ask(at(0), &host));
        assert_eq!(names.addresses(&host).len(), 1);
    }
}
