//! What the operator of the first hub says of the prefixes of leaves, and where that may not be programmed.

use super::course::Course;
use super::{Name, Path, oracle};

/// The network of the interface that [`Act::Attach`](super::Act::Attach) brings, by the address of the machine there.
pub(crate) const ATTACHED: &str = "10.77.7.1/24";

/// A prefix that the settings of the first hub name for a leaf: to all other leaves it is a fact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The leaf that it is claimed for.
    pub(crate) of: Name,
    /// The prefix.
    pub(crate) prefix: &'static str,
    /// Where it is in the way of something.
    pub(crate) harm: Harm,
}

/// Where a prefix is in the way of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Nowhere.
    None,
    /// On every leaf: it is a default route, say.
    Everywhere,
    /// On one leaf: it is what only that one's operator gave to a peer, or where that peer is reached.
    At(Name),
    /// On one leaf, while a machine has the network of [`ATTACHED`].
    Attached,
}

impl Claim {
    /// Returns whether a leaf must have the prefix with the leaf that it is claimed for, or must not; `None` where that has no
    /// direct link.
    pub(crate) fn is_programmed(&self, course: &Course<'_>, at: Name) -> Option<bool> {
        let is_harmful = match self.harm {
            Harm::None => false,
            Harm::Everywhere => true,
            Harm::At(name) => name == at,
            Harm::Attached => course.is_attached(at),
        };
        let is_direct = || oracle::way(course, at, self.of) == Path::Direct;
        if is_harmful {
            Some(false)
        } else {
            is_direct().then_some(true)
        }
    }
}

/// Returns every claim with every leaf that hears of it.
pub(crate) fn heard<'a>(course: &Course<'a>) -> Vec<(&'a Claim, Name)> {
    let scenario = course.scenario();
    let leaves = || scenario.leaves.iter().map(|leaf| leaf.name);
    let listeners = |claim: &'a Claim| leaves().filter(|name| *name != claim.of).map(move |name| (claim, name));
    let heard = scenario.claims.iter().flat_map(listeners);
    heard.filter(|(_, name)| course.runs(name)).collect()
}
