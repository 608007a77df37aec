//! A prefix that is not programmed, in words for the operator.

use std::fmt;

use ipnet::IpNet;

use crate::mesh::route::overlap::Overlap;
use crate::mesh::show::peer_name::PeerName;

/// A prefix that is claimed for a peer and not programmed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPrefix {
    /// The prefix.
    pub prefix: IpNet,
    /// For whom it is claimed.
    pub claimant: PeerName,
    /// Who says so; `None` where the settings do.
    pub said_by: Option<PeerName>,
    /// What is in the way.
    pub overlap: Overlap,
    /// Which network, address or prefix that is.
    pub with: Option<IpNet>,
    /// Whose that is, where it is a peer's.
    pub of: Option<PeerName>,
}

impl fmt::Display for RefusedPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is claimed for {} by ", self.prefix, self.claimant)?;
        match &self.said_by {
            Some(peer) if *peer == self.claimant => f.write_str("itself")?,
            Some(peer) => write!(f, "{peer}")?,
            None => f.write_str("the settings")?,
        }
        f.write_str(" and not programmed: ")?;
        self.reason(f)
    }
}

impl RefusedPrefix {
    fn reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = self.with.unwrap_or(self.prefix);
        let of = self.of.as_ref().map(ToString::to_string).unwrap_or_default();
        match self.overlap {
            Overlap::DefaultRoute => f.write_str(
                "facts bring no default route, whole or in pieces; give it to the peer by hand if that is meant",
            ),
            Overlap::Reserved => f.write_str("it has addresses that no peer can have"),
            Overlap::NotAllowed => f.write_str("it is not inside AllowPrefixes; add it there if that is meant"),
            Overlap::OwnAddress => write!(f, "it has {}, an address of this node itself", with.addr()),
            Overlap::ConnectedNetwork => write!(
                f,
                "this machine is connected to {with}; one of the two needs another network, if both are to be reached"
            ),
            Overlap::Endpoint => write!(
                f,
                "{of} is reached at {}, which would then lead through the tunnel itself",
                with.addr()
            ),
            Overlap::OperatorsPrefix => {
                write!(
                    f,
                    "{with} was given to {of} by hand and stays there; remove it from one of them"
                )
            }
        }
    }
}
