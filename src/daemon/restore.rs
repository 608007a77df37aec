//! Puts an interface back without a daemon, from what the last one wrote down.

use anyhow::Context as _;

use super::clock::now;
use super::device::Device;
use super::host::Host;
use super::lock::Lock;
use super::state::StateFile;
use crate::config::Config;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::device::DeviceState;
use crate::mesh::keep::memory::{Introduced, Session};
use crate::mesh::reach::link::Contact;

/// Takes from the interface that `config` names what a daemon that crashed left there, our address included; returns how many
/// changes that took.
///
/// # Errors
/// When a daemon runs beside the interface; when the interface is missing, or may not be changed.
pub async fn restore(config: Config) -> anyhow::Result<usize> {
    let iface = &config.iface;
    let mut device = Device::open(iface).await?;
    // What is taken away beside a daemon would be there again at once.
    let _lock = Lock::take(iface, device.index(), config.state.as_deref())
        .await
        .context("stop wirelink instead, which puts the interface back")?;
    let mut host = Host::open(iface, device.index())?;
    let state = device.read(now()).await?;
    host.read().await?;
    let mut file = config
        .state
        .as_ref()
        .map(|folder| StateFile::new(folder, iface, state.public_key));
    let mut memory = file.as_ref().map(StateFile::load).unwrap_or_default();
    let introduced = std::mem::take(&mut memory.introduced);
    let changes = introduced.clone().on(&state);
    let changes = changes.undo(&state, config.settings.address_hash, &|peer| session(&state, peer));
    for change in &changes {
        device
            .apply(change)
            .await
            .with_context(|| format!("{iface} is not as it was"))?;
    }
    let had_address = host.remove_address().await?;
    if let Some(file) = file.as_mut().filter(|_| introduced != Introduced::default()) {
        file.save(&memory);
    }
    Ok(changes.len() + usize::from(had_address))
}

/// Returns what speaks for a peer's endpoint. One reading does not tell whether the peer is heard there, and a daemon sent a peer with
/// a session elsewhere only where it was not heard any more.
fn session(device: &DeviceState, key: &PublicKey) -> Session {
    let peer = device.peers.get(key);
    let contact = Contact {
        endpoint: peer.and_then(|peer| peer.endpoint),
        last_handshake: peer.and_then(|peer| peer.last_handshake),
        ..Contact::default()
    };
    if contact.is_healthy(now()) {
        Session::Heard
    } else {
        Session::None
    }
}
