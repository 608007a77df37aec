//! A liar on a real interface: it says what the modelled one says. What would have to leave from an address of somebody else is left
//! out: WireGuard drops it, as the simulator shows.

use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::AddressHash;

use crate::draw::Draw;
use crate::liar::{Liar, Lie, Victim};
use crate::{Failure, Stage};

/// How long it draws breath between two lies to everybody.
const BREATH: Duration = Duration::from_millis(100);

/// Lies until it is stopped.
pub(crate) async fn tell(interface: &str, victims: &[String]) -> Result<(), Failure> {
    let mut stage = Stage::open(interface, false).await?;
    let victims = victims
        .iter()
        .map(|victim| read(victim))
        .collect::<Result<Vec<_>, _>>()?;
    let mut liar = Liar::new(stage.device.identity().await?, Draw::new(1));
    let own = AddressHash::Sha1.link_local(&stage.identity);
    println!("begins to lie to {}", victims.len());
    loop {
        for (index, listener) in victims.iter().enumerate() {
            let mut others = victims.clone();
            others.remove(index);
            let lie = liar.choose(&Lie::ALL);
            let to = AddressHash::Sha1.link_local(&listener.key);
            let told = liar.tell(lie, listener, &others);
            for datagram in told.iter().filter(|datagram| datagram.source == own) {
                stage.send(to, &datagram.payload).await;
            }
        }
        tokio::time::sleep(BREATH).await;
    }
}

fn read(victim: &str) -> Result<Victim, Failure> {
    // A key ends with the sign, too.
    let (key, prefixes) = victim.rsplit_once(":").ok_or("KEY:PREFIX,..")?;
    let prefixes = prefixes.split(',').map(str::parse::<IpNet>).collect::<Result<_, _>>()?;
    Ok(Victim {
        key: key.parse()?,
        prefixes,
    })
}
