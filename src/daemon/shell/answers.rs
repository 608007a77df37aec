//! What the shell answers to whoever asks on the control socket.

use std::collections::BTreeMap;

use super::Shell;
use crate::config::{Config, ConfigError};
use crate::control::{self, Ask, ErrorCode, PeerChange, Pong, Response};
use crate::daemon::clock::{now, since_1970};
use crate::daemon::control::{Asked, Refusal};
use crate::daemon::listing::Listing;
use crate::daemon::metrics::{Metrics, Snapshot, Wanted};
use crate::daemon::view::{self, Around};
use crate::daemon::wg_quick::WgQuick;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::Override;
use crate::mesh::show::event::Input;
use crate::mesh::show::status::{PeerStatus, Status};
use crate::printable::redact;

/// How many events the page begins with.
const RECENT: usize = 30;

impl Shell {
    /// Answers a question.
    pub(super) async fn answer(&mut self, mut asked: Asked) {
        if let Some(listing) = asked.take_listing() {
            let (text, next) = listing.piece(&self.node, now());
            return asked.answer_with(text, next);
        }
        if let Ask::Ping { peer } = &asked.ask {
            return match self.peer_to_ping(peer) {
                Ok(pong) => self.ping(asked, pong),
                Err((code, text)) => asked.answer(&[Response::Error { code, text }]),
            };
        }
        if let Ask::Facts { peer } = &asked.ask {
            return match self.subject(peer.as_deref()) {
                Ok(subject) => {
                    let (text, next) = Listing::new(subject).piece(&self.node, now());
                    asked.answer_with(text, next);
                }
                Err((code, text)) => asked.answer(&[Response::Error { code, text }]),
            };
        }
        let answered = self.consider(&asked.ask).await;
        let responses = answered.unwrap_or_else(|(code, text)| vec![Response::Error { code, text }]);
        asked.answer(&responses);
    }

    async fn consider(&mut self, ask: &Ask) -> Result<Vec<Response>, Refusal> {
        let done = |text: String| Ok(vec![Response::Done { text }]);
        match ask {
            Ask::Status { peer } => self.show_status(peer.as_deref()).await.map(|shown| vec![shown]),
            Ask::Explain { peer } => self.explain(peer).await.map(|shown| vec![shown]),
            Ask::Events { .. } => Ok(self.history.all().cloned().map(Response::Event).collect()),
            Ask::Ping { .. } | Ask::Facts { .. } => {
                Err((ErrorCode::BadRequest, "this is answered in pieces, or later".to_owned()))
            }
            Ask::Export => {
                let device = self.device.read(now()).await.map_err(failed)?;
                let exported = view::export(&self.node.overview(now()), &device, &self.iface);
                Ok(vec![Response::Export(exported)])
            }
            Ask::Reload => self.reload().and_then(done),
            Ask::Log { debug } => {
                (self.steering.set_debug)(*debug);
                self.config.debug = *debug;
                done(format!("details are {}logged", if *debug { "" } else { "not " }))
            }
            Ask::Set { peer, change } => self.change_peer(peer, *change).and_then(done),
        }
    }

    fn peer_to_ping(&self, text: &str) -> Result<Pong, Refusal> {
        let status = self.node.overview(now());
        find(&status, text).map(view::unanswered)
    }

    /// Asks a peer, whose answers somebody waits for.
    fn ping(&mut self, asked: Asked, pong: Pong) {
        let peer = pong.key;
        if !self.pinging.has_room(now(), asked.caller, &peer) {
            let text = "this user waits for many pings already: try again in 3 s".to_owned();
            return asked.answer(&[Response::Error {
                code: ErrorCode::Busy,
                text,
            }]);
        }
        let id = self.pinging.begin(asked, pong);
        self.node.handle(now(), Input::Ping { peer, id });
    }

    async fn show_status(&mut self, peer: Option<&str>) -> Result<Response, Refusal> {
        let status = self.node.overview(now());
        let one = peer.map(|text| find(&status, text).map(|found| found.peer.key));
        let one = one.transpose()?;
        let mut shown = self.shown(&status).await?;
        shown.peers.retain(|peer| one.is_none_or(|key| key == peer.key));
        Ok(Response::Status(Box::new(shown)))
    }

    /// Returns how the node and its peers are, with what the device counted until now.
    async fn shown(&mut self, status: &Status) -> Result<control::Status, Refusal> {
        let device = self.device.read(now()).await.map_err(failed)?;
        let around = Around {
            iface: &self.iface,
            backend: self.device.backend().to_string(),
            up: now().since(self.began),
            debug: self.config.debug,
            chatty: self.config.settings.chatty,
            overrides: self.overrides_in_words(status),
            fact_ports: self.shown_ports().await,
        };
        Ok(view::status(status, &device, around))
    }

    /// Tells what metrics and the page show; nothing, where WireGuard does not answer.
    pub(super) async fn show_metrics(&mut self, wanted: Wanted) {
        let status = self.node.overview(now());
        let Ok(shown) = self.shown(&status).await else {
            return;
        };
        wanted.tell(Snapshot {
            at: since_1970(),
            status: shown,
            events: self.history.counts().clone(),
            rejections: status.rejections_by_code,
            recent: self.history.last(RECENT).cloned().collect(),
        });
    }

    async fn explain(&mut self, peer: &str) -> Result<Response, Refusal> {
        let status = self.node.overview(now());
        let key = find(&status, peer)?.peer.key;
        let device = self.device.read(now()).await.map_err(failed)?;
        let Some(explained) = self.node.explain(now(), &key) else {
            return Err((ErrorCode::NoSuchPeer, "it went just now".to_owned()));
        };
        let events = self.history.of(&key).cloned().collect();
        let explained = view::explanation(&status, &explained, &device, events);
        Ok(Response::Explanation(Box::new(explained)))
    }

    /// Returns whom a question is about; nobody is all.
    fn subject(&self, peer: Option<&str>) -> Result<Option<PublicKey>, Refusal> {
        match peer {
            None => Ok(None),
            Some("self") => Ok(Some(*self.node.public_key())),
            Some(text) => find(&self.node.overview(now()), text).map(|found| Some(found.peer.key)),
        }
    }

    fn overrides_in_words(&self, status: &Status) -> Vec<String> {
        let words = self.config.settings.overrides.iter().map(|(key, said)| {
            let name = status.name_of(key);
            let mut words = view::called(key, name.as_deref());
            if said.paused {
                words += " paused";
            }
            if let Some(level) = said.trust {
                words += &format!(" trusted with {level}");
            }
            words
        });
        words.collect()
    }

    /// Treats a peer otherwise until the next start.
    fn change_peer(&mut self, text: &str, change: PeerChange) -> Result<String, Refusal> {
        let status = self.node.overview(now());
        if let PeerChange::Ban | PeerChange::Unban = change {
            let key = match (find(&status, text), text.parse()) {
                (Ok(found), _) => found.peer.key,
                // A key may be kept out before it was ever seen.
                (Err(_), Ok(key)) => key,
                (Err(refusal), Err(_)) => return Err(refusal),
            };
            return self.ban(&status, key, change == PeerChange::Ban);
        }
        let peer = &find(&status, text)?.peer;
        let overrides = &mut self.config.settings.overrides;
        let said = overrides.entry(peer.key).or_default();
        let what = match change {
            PeerChange::Pause => {
                said.paused = true;
                "is paused: its traffic goes through a router".to_owned()
            }
            PeerChange::Resume => {
                said.paused = false;
                "is not paused".to_owned()
            }
            PeerChange::Trust(level) => {
                said.trust = Some(level);
                format!("is trusted with {level}")
            }
            PeerChange::Ban | PeerChange::Unban => return Err((ErrorCode::BadRequest, "no override".to_owned())),
        };
        if *said == Override::default() {
            overrides.remove(&peer.key);
        }
        self.hand_in_settings();
        Ok(format!("{peer} {what}, until wirelink is started again"))
    }

    /// Keeps a key out, or no longer.
    fn ban(&mut self, status: &Status, key: PublicKey, denied: bool) -> Result<String, Refusal> {
        let refuse = |text: &str| Err((ErrorCode::BadRequest, text.to_owned()));
        let written = self.config.settings.peers.get(&key).and_then(|peer| peer.denied);
        if key == status.key {
            return refuse("this node cannot ban itself: stop wirelink, or ban its key at another node");
        }
        if let Some(written) = written.filter(|written| *written != denied) {
            let text =
                format!("the settings say `Denied: {written}` for this key: change that there, and `wirelink reload`");
            return refuse(&text);
        }
        self.node.handle(now(), Input::Ban { peer: key, denied });
        let name = view::called(&key, status.name_of(&key).as_deref());
        Ok(match denied {
            true => {
                format!("{name} is banned, across restarts, here and at all nodes that trust this one with Membership")
            }
            false => {
                format!("{name} is banned no longer; where it was a peer made by hand, make it again (`wg syncconf`)")
            }
        })
    }

    /// Reads the configuration again, and follows it; one that is wrong, or needs a restart, changes nothing.
    pub(super) fn reload(&mut self) -> Result<String, Refusal> {
        self.systemd.reloading();
        let followed = self.follow_configuration();
        self.systemd.reloaded();
        followed
    }

    fn follow_configuration(&mut self) -> Result<String, Refusal> {
        let loaded =
            (self.steering.load)().map_err(|error: ConfigError| (ErrorCode::BadConfiguration, error.to_string()))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut config = loaded.config;
        if let Some(what) = self.needs_restart(&config) {
            let text = format!("nothing is changed: another {what} needs a restart of wirelink");
            return Err((ErrorCode::NeedsRestart, text));
        }
        if self.wg_quick_path() != config.wg_quick.as_deref() {
            self.wg_quick = config.wg_quick.clone().map(WgQuick::new);
            self.node.handle(now(), Input::Named(BTreeMap::new()));
        }
        if self.config.debug != config.debug {
            (self.steering.set_debug)(config.debug);
        }
        if !self.metrics.go_to(&config.metrics) {
            self.metrics = Metrics::open(&config.metrics, self.control.events(), self.control.held());
        }
        config.settings.overrides = std::mem::take(&mut self.config.settings.overrides);
        self.config = config;
        self.hand_in_settings();
        let file = self
            .config
            .file
            .as_ref()
            .map_or("no file".to_owned(), |file| file.display().to_string());
        tracing::info!("configuration read again ({file})");
        Ok(format!("configuration read again ({file})"))
    }

    /// Returns what cannot be followed while the node runs.
    fn needs_restart(&self, config: &Config) -> Option<&'static str> {
        let (settings, followed) = (&config.settings, &self.config.settings);
        [
            (settings.address_hash != followed.address_hash, "address hash"),
            (config.probe != self.config.probe, "setting for probes"),
            (config.log_format != self.config.log_format, "log format"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }

    fn wg_quick_path(&self) -> Option<&std::path::Path> {
        self.wg_quick.as_ref().map(WgQuick::path)
    }

    fn hand_in_settings(&mut self) {
        let settings = Box::new(self.config.settings.clone());
        self.node.handle(now(), Input::Settings(settings));
    }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    (ErrorCode::DeviceFails, error.to_string())
}

/// Finds a peer by its name, its key, or the beginning of its key.
fn find<'a>(status: &'a Status, text: &str) -> Result<&'a PeerStatus, Refusal> {
    let by = |holds: &dyn Fn(&PeerStatus) -> bool| status.peers.iter().filter(|peer| holds(peer)).collect::<Vec<_>>();
    let exact = by(&|peer| peer.peer.name.as_deref() == Some(text) || peer.peer.key.to_string() == text);
    let found = if exact.is_empty() {
        by(&|peer| !text.is_empty() && peer.peer.key.to_string().starts_with(text))
    } else {
        exact
    };
    match found[..] {
        [one] => Ok(one),
        [] => Err((
            ErrorCode::NoSuchPeer,
            format!("there is no peer {:?}: `wirelink status` shows all", redact(text)),
        )),
        [..] => Err((
            ErrorCode::Ambiguous,
            format!(
                "{} peers are called {:?}: use the key, or its beginning",
                found.len(),
                redact(text)
            ),
        )),
    }
}
