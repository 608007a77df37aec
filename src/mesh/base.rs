//! What everything else is made of: time, keys and addresses, prefixes, settings, collections.

pub mod dense;
pub mod identity;
pub mod prefix;
pub mod prefixes;
pub mod settings;
pub mod time;
