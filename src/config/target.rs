//! Where metrics go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::ConfigError;
use super::read::Node;
use crate::mesh::base::settings::Host;

/// A place for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They are asked for here, over HTTP; so is the page.
    Listen(Host),
    /// They are written here, for the textfile collector of node_exporter.
    File(PathBuf),
}

/// Why a text is not a place for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a place for metrics: address:port, such as 127.0.0.1:9586, or the absolute path of a file that ends in .prom"
)]
pub struct InvalidTarget;

impl FromStr for Target {
    type Err = InvalidTarget;

    /// Takes an absolute path, or `address:port`. node_exporter reads no files but `*.prom`.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if !text.starts_with('/') {
            return text.parse().map(Self::Listen).map_err(|_| InvalidTarget);
        }
        let path = PathBuf::from(text);
        let is_read = path.extension().is_some_and(|extension| extension == "prom");
        is_read.then_some(Self::File(path)).ok_or(InvalidTarget)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(place) => place.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Node<'_> {
    /// Reads one place for metrics, or a list of them; an empty text is none.
    pub(super) fn targets(&self) -> Result<Vec<Target>, ConfigError> {
        if self.value.as_array().is_some() {
            return self.each(Node::target);
        }
        match self.value.as_str() {
            Some("") => Ok(Vec::new()),
            Some(_) | None => Ok(vec![self.target()?]),
        }
    }

    fn target(&self) -> Result<Target, ConfigError> {
        self.parse(InvalidTarget, str::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_file_that_the_collector_reads() {
        for text in [
            "127.0.0.1:9586",
            "[::1]:9586",
            "localhost:9586",
            "/var/lib/node/wirelink.prom",
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.into()));
        }
        for text in [
            "",
            "9586",
            ":9586",
            "127.0.0.1",
            "wirelink.prom",
            "/tmp/wirelink.txt",
            "/",
            "http://localhost:9586/",
        ] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget), "{text:?}");
        }
    }
}
