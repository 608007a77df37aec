//! Every key of a configuration file, and the variable and the flag that outweigh it.

/// One setting.
#[derive(Debug)]
pub(super) struct Key {
    /// The key in a file, in any case.
    pub(super) name: &'static str,
    /// Another spelling of the key.
    pub(super) alias: Option<&'static str>,
    /// The environment variable.
    pub(super) variable: Option<&'static str>,
    /// The flag.
    pub(super) flag: Option<&'static str>,
    /// Whether it has several values, in a variable or in one text separated by commas.
    pub(super) list: bool,
    /// Whether wirelink v1 has it, so that its files may have it in every form that v1 takes.
    pub(super) v1: bool,
}

/// The directory of the configuration files.
pub const CONFIG_PATH: &str = "WIRELINK_CONFIG_PATH";
/// Where a daemon that may not read that directory finds copies of the files in it: what starts it makes them.
pub const CONFIG_COPY: &str = "WIRELINK_CONFIG_COPY";

/// What the names of our variables start with.
pub(super) const VARIABLE_PREFIX: &str = "WIRELINK_";

/// The keys of a file.
pub(super) const TOP: [Key; 19] = [
    Key::new("Iface").variable("WIRELINK_IFACE").flag("--iface").v1(),
    Key::new("Port").variable("WIRELINK_PORT").flag("--port").v1(),
    Key::new("Router").variable("WIRELINK_ROUTER").flag("--router").v1(),
    Key::new("Chatty").variable("WIRELINK_CHATTY").flag("--chatty").v1(),
    Key::new("ReportIfaces").variable("WIRELINK_REPORT_IFACES").list().v1(),
    Key::new("HideIfaces").variable("WIRELINK_HIDE_IFACES").list().v1(),
    Key::new("AllowPrefixes")
        .alias("allow-prefixes")
        .variable("WIRELINK_ALLOW_PREFIXES")
        .list(),
    Key::new("Debug").variable("WIRELINK_DEBUG").flag("--debug").v1(),
    Key::new("LogFormat")
        .alias("log-format")
        .variable("WIRELINK_LOG_FORMAT")
        .flag("--log-format"),
    Key::new("Wait").variable("WIRELINK_WAIT").flag("--wait"),
    Key::new("AddressHash")
        .alias("address-hash")
        .variable("WIRELINK_ADDRESS_HASH")
        .flag("--address-hash"),
    Key::new("Prune").variable("WIRELINK_PRUNE").flag("--prune"),
    Key::new("LeavePeers")
        .alias("leave-peers")
        .variable("WIRELINK_LEAVE_PEERS")
        .flag("--leave-peers"),
    Key::new("Probe").variable("WIRELINK_PROBE").flag("--probe"),
    Key::new("ResolveWgQuick")
        .alias("resolve-wg-quick")
        .variable("WIRELINK_RESOLVE_WG_QUICK")
        .flag("--resolve-wg-quick"),
    Key::new("PortPrediction")
        .alias("port-prediction")
        .variable("WIRELINK_PORT_PREDICTION")
        .flag("--port-prediction"),
    Key::new("Stun").variable("WIRELINK_STUN").list(),
    Key::new("Metrics").variable("WIRELINK_METRICS").list(),
    Key::new("Peers").v1(),
];

/// Keys that the files of wirelink v1 may have, and that say nothing there: its `--dump` writes the first, and the others are flags.
pub(super) const WITHOUT_MEANING: [&str; 4] = ["config-path", "dump", "help", "version"];

/// The keys of an entry in `Peers`.
pub(super) const PEER: [Key; 8] = [
    Key::new("PublicKey").v1(),
    Key::new("Name").v1(),
    Key::new("Trust").v1(),
    Key::new("FactExchanger").v1(),
    Key::new("Endpoints").list().v1(),
    Key::new("AllowedIPs").list().v1(),
    Key::new("Basic").v1(),
    Key::new("Denied"),
];

impl Key {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            alias: None,
            variable: None,
            flag: None,
            list: false,
            v1: false,
        }
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    const fn v1(mut self) -> Self {
        self.v1 = true;
        self
    }

    /// Tells whether `written` is this key.
    pub(super) fn is(&self, written: &str) -> bool {
        self.name.eq_ignore_ascii_case(written) || self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(written))
    }
}

/// Returns the one of `known` that somebody who wrote `written` most likely meant, if any is near enough: one
/// mistake in three characters.
pub(super) fn nearest(written: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    // A long text is no slip of the finger, and the distance costs the product of the lengths.
    if written.len() > 64 {
        return None;
    }
    let written = written.to_ascii_lowercase();
    let distances = known
        .into_iter()
        .map(|name| (distance(&written, &name.to_ascii_lowercase()), name));
    distances
        .filter(|(distance, name)| distance * 3 <= name.len())
        .min()
        .map(|(_, name)| name)
}

/// Returns how many characters have to be put in, taken out, replaced or swapped with their neighbour to turn one text
/// into the other (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_key(written: &str) -> Option<&'static str> {
        nearest(written, TOP.iter().chain(&PEER).map(|key| key.name))
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_key_that_was_meant() {
        for (written, meant) in [
            ("Prot", "Port"),
            ("porrt", "Port"),
            ("Peer", "Peers"),
            ("endpoint", "Endpoints"),
            ("AllowedIP", "AllowedIPs"),
            ("Allowed_IPs", "AllowedIPs"),
            ("hide-ifaces", "HideIfaces"),
            ("Ifaces", "Iface"),
            ("PubilcKey", "PublicKey"),
        ] {
            assert_eq!(nearest_key(written), Some(meant), "{written}");
        }
    }

    #[test]
    fn what_resembles_no_key_finds_none() {
        for written in [
            "",
            "x",
            "PersistentKeepalive",
            "MTU",
            "\u{fc}\u{fc}\u{fc}\u{fc}",
            &"Port".repeat(100),
        ] {
            assert_eq!(nearest_key(written), None, "{written}");
        }
    }

    #[test]
    fn a_key_counts_in_any_case_and_by_its_alias() {
        for written in ["AddressHash", "addresshash", "ADDRESS-HASH", "address-hash"] {
            assert_eq!(TOP.iter().filter(|key| key.is(written)).count(), 1, "{written}");
        }
    }
}
