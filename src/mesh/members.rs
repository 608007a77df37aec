//! Who is a peer, and who is out.

pub mod bans;
pub mod membership;
