//! Views of a node, to be shown.

use std::fmt;

/// What a node knows and does. Its `Display` is the state dump, many lines.
#[derive(Debug)]
pub struct Status {}

impl fmt::Display for Status {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
