//! What a site has at its border, in the words of RFC 4787 (NAT behaviour for UDP).

/// What stands between the leaves of a site and what is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// Nothing: the only leaf has a public address, and nothing is filtered.
    Open,
    /// A stateful firewall without translation: the only leaf has a public address.
    Firewall(Filtering),
    /// A translator of addresses and ports; any number of leaves with private addresses.
    Nat(Nat),
}

/// How a NAT behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat {
    /// Which flows of an inside endpoint share an outside endpoint (RFC 4787, 4.1).
    pub(crate) mapping: Mapping,
    /// Which outside port a new mapping gets (RFC 4787, 4.2).
    pub(crate) ports: Ports,
    /// Whose packets a mapping lets in (RFC 4787, 5).
    pub(crate) filtering: Filtering,
    /// Whether inside hosts reach one another by their outside endpoints (RFC 4787, 6).
    pub(crate) hairpinning: bool,
}

/// Which flows share a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mapping {
    /// All from one inside endpoint.
    EndpointIndependent,
    /// All to one outside address.
    AddressDependent,
    /// Each outside endpoint has one of its own ("symmetric").
    AddressAndPortDependent,
}

/// Which port a mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ports {
    /// The inside port, while it is free.
    Preserving,
    /// The next one.
    Sequential,
    /// Any.
    Random,
}

/// Whose packets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filtering {
    /// Anybody's, once there is a mapping.
    EndpointIndependent,
    /// Those of addresses that were sent to through it.
    AddressDependent,
    /// Those of endpoints that were sent to through it.
    AddressAndPortDependent,
}

impl Filtering {
    /// All of them, rising in strictness.
    pub(crate) const ALL: [Self; 3] = [
        Self::EndpointIndependent,
        Self::AddressDependent,
        Self::AddressAndPortDependent,
    ];
}

impl Nat {
    /// Linux masquerading, as in most homes: ports preserved, and so endpoint-independent as long as nobody else has the port.
    pub(crate) const HOME: Self = Self {
        mapping: Mapping::EndpointIndependent,
        ports: Ports::Preserving,
        filtering: Filtering::AddressAndPortDependent,
        hairpinning: false,
    };

    /// A home router with the port forwarded to its one leaf, or a "full cone".
    pub(crate) const FORWARDED: Self = Self {
        filtering: Filtering::EndpointIndependent,
        ..Self::HOME
    };

    /// A NAT that gives every flow a port of its own, as many firewalls of companies do.
    pub(crate) const SYMMETRIC: Self = Self {
        mapping: Mapping::AddressAndPortDependent,
        ports: Ports::Random,
        filtering: Filtering::AddressAndPortDependent,
        hairpinning: false,
    };
}

impl Border {
    /// A home router.
    pub(crate) const HOME: Self = Self::Nat(Nat::HOME);
    /// A home router that forwards the port.
    pub(crate) const FORWARDED: Self = Self::Nat(Nat::FORWARDED);
    /// A symmetric NAT.
    pub(crate) const SYMMETRIC: Self = Self::Nat(Nat::SYMMETRIC);
    /// A stateful firewall before a public address.
    pub(crate) const GUARDED: Self = Self::Firewall(Filtering::AddressAndPortDependent);

    /// A home router of a provider that gives its customers private addresses (RFC 6598) and lets them meet by their outside ones.
    pub(crate) const CARRIER: Self = Self::Nat(Nat {
        filtering: Filtering::EndpointIndependent,
        hairpinning: true,
        ..Nat::HOME
    });

    /// Returns how flows share outside endpoints; without translation they all do.
    pub(crate) fn mapping(self) -> Mapping {
        match self {
            Self::Open | Self::Firewall(_) => Mapping::EndpointIndependent,
            Self::Nat(nat) => nat.mapping,
        }
    }

    /// Returns whose packets come in.
    pub(crate) fn filtering(self) -> Filtering {
        match self {
            Self::Open => Filtering::EndpointIndependent,
            Self::Firewall(filtering) => filtering,
            Self::Nat(nat) => nat.filtering,
        }
    }

    /// Returns every NAT without hairpinning, by name; for two leaves at different sites that makes no difference.
    pub(crate) fn of_rfc_4787() -> Vec<(String, Self)> {
        let mut kinds = Vec::new();
        for mapping in [
            Mapping::EndpointIndependent,
            Mapping::AddressDependent,
            Mapping::AddressAndPortDependent,
        ] {
            for ports in [Ports::Preserving, Ports::Sequential, Ports::Random] {
                for filtering in Filtering::ALL {
                    let nat = Nat {
                        mapping,
                        ports,
                        filtering,
                        hairpinning: false,
                    };
                    kinds.push((format!("{mapping:?}/{ports:?}/{filtering:?}"), Self::Nat(nat)));
                }
            }
        }
        kinds
    }

    /// Returns every stateful firewall, by name.
    pub(crate) fn firewalls() -> Vec<(String, Self)> {
        let named = |filtering| (format!("Firewall/{filtering:?}"), Self::Firewall(filtering));
        Filtering::ALL.into_iter().map(named).collect()
    }

    /// Returns whether more than one leaf can be there.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Nat(_))
    }

    /// Returns all that nftables can be, by name: the lab's part of the matrix.
    pub(crate) fn of_linux() -> [(&'static str, Self); 5] {
        [
            ("public", Self::Open),
            ("firewall", Self::GUARDED),
            ("home", Self::HOME),
            ("forwarded", Self::FORWARDED),
            ("symmetric", Self::SYMMETRIC),
        ]
    }
}
