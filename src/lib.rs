//! wirelink runs beside an existing WireGuard interface and turns hub-and-spoke into direct links: this is the map of its code.
//!
//! **[`mesh`] decides, [`daemon`] acts, [`cli`] asks, [`config`] reads.** `mesh` is the protocol and all policy: no IO, no clock, no
//! threads, no async. The shell observes the world, hands it in, and carries out, in order, what comes back.
//!
//! # Contract
//! ```text
//! Node::new(settings, identity, seed, now)      Node::handle(now, Input)      Node::poll_output() -> Option<Output>
//! Node::poll_timeout() -> Option<Deadline>      Node::status(now) -> Status
//! Input  = Remembered(Memory) | Ban | Named | Packet | Probe | Stun | Prober | FactPorts | Device(&DeviceState) | Host(HostState) | Routed | Resolved | Settings | Ping | Timeout | Stop
//! Output = Remember(Memory) | Configure(DeviceChange) | Transmit | Probe | Stun | FindRoute | Resolve | Pong | Notify(Event)  one ordered queue
//!
//! datagram -> wire::decode   Envelope   sizes and layout only
//!          -> Auth::verify   Verified   the tag holds and the key derives the source address
//!          -> judge          Accepted   this sender may say this about that subject, else Notify(Rejected)
//!          -> Store::insert             the deadline is pulled near (5 to 50 ms); a packet does nothing else
//!          -> heartbeats, probes and signals for others are answered or passed on at once, within a rate
//! deadline -> Store::expire -> review: whom to look at -> census -> local facts -> membership -> links -> routes -> plan -> Configure ...
//!          -> gossip -> wire::pack -> Auth::tag -> Transmit ...;  next deadline = earliest of the parts, with its reason
//! ```
//!
//! # Where things are
//! | question | answered by |
//! |---|---|
//! | what is said, and how it looks on the wire | [`mesh::believe::fact`]: [`attribute`](mesh::believe::fact::attribute) (the table), [`value`](mesh::believe::fact::value), [`wire`](mesh::believe::fact::wire), [`boot`](mesh::believe::fact::boot) IDs |
//! | what do we believe | [`mesh::believe::auth`] (who spoke), [`mesh::believe::trust`] (may it say so), [`mesh::believe::fact::store`] (until when) |
//! | who is a peer | [`mesh::members::membership`]; [`mesh::members::bans`] (who is out, by whose decision), `node/bans.rs` |
//! | who routes for whom, and whose word counts therefore | [`mesh::believe::role`], `docs/roles.md` |
//! | where do we reach it | [`mesh::reach::link`]: [`candidate`](mesh::reach::link::candidate), [`liveness`](mesh::reach::link::liveness), [`pulse`](mesh::reach::link::pulse) (heartbeats), [`quality`](mesh::reach::link::quality), `nominee` (the path that answered), `better` (one that appears later), [`fit`](mesh::reach::link::fit) (how long packets may be), the handshake slots |
//! | does a path work, before WireGuard is told | [`mesh::reach::probe`]: datagrams from WireGuard's own port, which `daemon/probe` sends and hears beside it; `node/probe.rs`, `node/observe.rs` (how we look from outside), `node/nat.rs` (what that shows of a NAT) |
//! | from where STUN servers see us, where peers do not say | [`mesh::reach::stun`] (when they are asked, what counts), `node/stun.rs`; `daemon/probe/stun.rs` is the wire |
//! | how a machine with IPv6 alone reaches IPv4 | [`mesh::reach::nat64`] |
//! | when does traffic move | [`agreement`](mesh::reach::link::agreement): when both sides are ready; said in heartbeats, and in [`signals`](mesh::believe::fact::signal) through whoever both reach |
//! | where WireGuard's own packets go | [`mesh::device::outward`]: by the main table, or, where rules route, as the kernel answers |
//! | what do we send it | [`mesh::route`], which asks [`mesh::route::overlap`] what a prefix from a fact must leave alone; [`mesh::device::plan`] turns all answers into the smallest change |
//! | what do we say, and to whom | [`mesh::share::local`], [`mesh::share::gossip`] ([`ledger`](mesh::share::gossip::ledger): what is renewed by digests); [`mesh::share::ports`]: to which UDP port |
//! | where is a peer that its session does not reach any more | [`mesh::reach::silence`] (whether it is heard), [`mesh::reach::names`] (what its name says), [`mesh::reach::moved`] (what direct peers are told), [`mesh::reach::turns`] (which address is tried); `node/names.rs` |
//! | when a v1 node acts before its tick | [`mesh::reach::nudge`], `node/nudge.rs` |
//! | how long a way takes, used or not | [`mesh::reach::ping`], by signals; `node/ping.rs` |
//! | whether several machines use one key | [`mesh::reach::link::shared_key`] |
//! | who is there now | [`mesh::show::census`]; [`mesh::show::status`] says it, [`mesh::show::reason`] why a peer is not direct: the codes of `wirelink explain` and README; `node/reason.rs`, `node/explain.rs` find them |
//! | what the device is, with what is planned | [`mesh::device::mirror`] |
//! | what is there because of us, and what survives a restart | [`mesh::members::membership`], [`mesh::route`], [`mesh::reach::endpoints`] say what; [`mesh::keep::memory`] keeps and undoes it; `daemon/state.rs` is its file, [`daemon::form`] the text of that |
//! | who is served, and what may wait for readers | `daemon/seats`, `daemon/held`; `daemon/listing` writes the facts in pieces |
//! | how is it, and who may ask | [`control`] (what can be asked, and the answers), `daemon/control` (the socket), `daemon/metrics` (HTTP, a file, the page), `daemon/view` (from the node's words to those) |
//! | what happened, and where it is said | [`mesh::show::event`] (each with a code), `daemon/history` (the last thousand, for whoever asks), `daemon/logs` (text, fields for the journal, JSON) |
//! | how much of that is told, whatever peers do | [`mesh::show::budget`], [`mesh::show::tally`], [`mesh::show::rejections`] |
//! | what is wrong with this machine | `cli/doctor`, with `daemon/inspect`; commands that messages suggest are in [`advice`] |
//! | what systemd is told, and how it is ended | `daemon/systemd` (ready, status, watchdog), `daemon/stop`; `cli/unit` is what the units run as root beside it |
//! | what this process may do | `daemon/confine`: capabilities, landlock, seccomp |
//! | what may reach a terminal or a log, of text from outside | [`printable`] |
//! | what crosses the border | [`mesh::show::event`], [`mesh::device`], [`mesh::device::host`], [`mesh::base::time`], [`mesh::base::settings`] |
//!
//! [`mesh::node`] wires them: `hear` is a datagram's way in, `pass` is what a deadline does (`links` its part about links), `tell` the way
//! out. A pass looks at the
//! peers and prefixes on its `agenda`, about which something may be different (`review` finds out), and every 20 s at all; so
//! what it costs follows from what happens, not from how many there are, and no pass takes in more than a bounded piece.
//!
//! Tests: `tests/scenario` says who is where behind what and what happens, and an oracle what must follow; `tests/sim` plays it with
//! real nodes on a virtual clock, `tests/netns` with the daemon on real interfaces,
//! where `understudy` stands in for v1 nodes and for liars. `docs/performance.md` shows how networks grow.
//! `tests/page` looks at the page of `daemon/metrics` in a browser.
//! What `fuzz/` found, and reached, is run by `tests/corpus.rs`.
//!
//! # Invariants
//! 1. A type per stage of confidence: the store takes only `Accepted`, `judge` only `Verified`.
//! 2. A packet never changes the device; only a deadline does.
//! 3. Level-triggered: the device is read before each deadline. A failed or foreign change shows as a difference, and the next
//!    plan repairs it. The plan for a device to which a plan was applied is empty; a steady state writes nothing.
//! 4. The whole device is planned at once: allowed IPs are one table with one owner per prefix.
//! 5. The endpoint of a peer with a live session is WireGuard's business; endpoints are set only while Probing. But for a link that is
//!    Suspect and answers a probe elsewhere: what was just heard there says more than a session that is silent. For one between two
//!    leaves that both probe, and that answers by a better class of path (LAN over IPv6 over IPv4): once while it is up, for one second,
//!    in which both sides turn (`mesh/reach/link/better.rs`). And for one that the
//!    operator names: a session looks alive for 165 s after its peer went elsewhere, and where it does not answer what it must answer
//!    ([`mesh::reach::silence`]), the operator's name says more about where it is than the session does ([`mesh::reach::turns`]).
//! 6. What the operator made stays, and what facts bring is in nobody's way ([`mesh::route::overlap`]); a prefix of a peer that is lost is lent to
//!    a router meanwhile. What we introduce is written down
//!    before the device is changed, so that it is known whenever a run ends, and is forgotten when the device shows it to be gone,
//!    not when that is planned. A stop puts the device back as it was before the first start, the next run's or `wirelink restore`
//!    where one could not; an endpoint at which WireGuard hears a peer stays. A peer of wirelink v1 that still sends here directly, and cannot be told otherwise, stays until one of these.
//! 7. Everything learned has an age and a source; every table that a peer can grow has a bound, and reaching it is an event. The
//!    table below adds the bounds up.
//! 8. Deciding modules do not import one another; they meet in `node`. `clippy.toml` bans clocks, global randomness and hash maps
//!    from `mesh`, and CI builds the library without the feature `daemon`, which is all that could do IO.
//! 9. One task owns the node. No locks, no shared state.
//!
//! # What peers can make a node hold
//! All that the operator's own machine shows comes on top, and is the operator's: peers and prefixes made by hand, settings.
//!
//! | table | at most | bytes each, about | MB |
//! |---|---|---|---|
//! | facts in the store | 65,536, of which 32,768 of one peer, and 4,096 about one, 1,024 of them of one peer; of peers without AllowedIPs trust 32,768, 16,384 of them about others, and of those 256 about one, 16 of one peer. Where a room is full, the lower ranks give way ([`mesh::believe::fact::Rank`]), and within a rank those that hold most | 200; with metadata 750 | 13; 49 |
//! | how many facts about whom are whose | one for each fact | 250 | 16 |
//! | changed facts, peers and prefixes on the agenda | 65,536 of each after a pass | 75, 48, 27 | 10 |
//! | claims, and members | a claim or member for each fact | 70, 45 | 5 |
//! | prefixes given or refused | one for each claim, and the address of each peer of the operator's | 120 | 8 |
//! | peers made by facts, with link, session, address | 4,096, of which 1,024 only routers and the settings can name | 1,000 | 4 |
//! | where peers are reached | an address or two for each peer, and what the settings name | 100 | 0.1 for a thousand peers |
//! | handshake slots of a link that probes; paths on which no handshake came about | 16 each | 48 | 6 in all |
//! | signs of life; ports between which it was heard; secrets | one for each peer | 110; 40; 115 | 1 |
//! | keys of probes; of each peer that is probed 64 probes, 16 paths, 4 places, 4 forecasts, 64 places of its own, and 32 places with what became of asking there; heartbeats, 32 of each, and what they show | one for each peer | 130; 8,300; 1,300 | 40 |
//! | addresses about which the kernel is asked, where rules route; peers with endpoints that lead into the tunnel | 4,096 each | 60 | 0.5 |
//! | looks that wait for answers | 256 | 130 | 0.03 |
//! | three former boot IDs of each peer | one for each peer | 150 | 0.6 |
//! | when peers are nudged that may be v1 nodes | one for each peer | 80 | 0.1 for a thousand peers |
//! | STUN servers, by their addresses | 8, and those that their names led to before | 120 | 0 |
//! | how much is answered: addresses that probe, peers that beat or signal | 1,024 each | 60 | 0.2 |
//! | how many events are told, of each of seven kinds and each peer ([`mesh::show::budget`]) | one for each peer | 80 | 2 |
//! | what happened lately, for who asks later | 1,000 | 400 | 0.4 |
//! | kinds of rejection, by sender | 4,096, of which 64 of one peer | 120 | 0.5 |
//! | verdicts about who is out, in memory too | 4,096 | 150 | 0.6 |
//! | memory: peers, with 64 prefixes each and 16,384 in all, and 2 endpoints | 4,096 | 300 | 2 |
//! | memory: what is on the device because of us, or soon may be, as it was written last | the prefixes given, 16,384 that may be, and 16 endpoints of each peer of the operator's | 130; 500 | 11 |
//! | answers that wait for whoever asked, on the control socket and over HTTP; older ones lose their readers | 16 MB, 64 seats each | | 17 |
//! | what a peer of ours was told and said | 65,536 facts, 512 not believed, or without room | 1/4; 60 | 0.05 for each peer |
//! | what a v1 peer knows | 65,536 facts | 4 | 0.26 for each peer |
//!
//! So below 105 MB with metadata as nodes of either kind send it, and 145 MB where trusted peers fill the store with the longest
//! metadata that is believed, 512 bytes (measured: 51 MB, `tests/flood.rs`); with a thousand peers 25 MB more, or 260 MB where all of
//! them are v1 nodes. The kernel's buffers of 128 clients may take 27 MB beside it; `MemoryMax=` in `systemd/` leaves room for all.
//! Every event has a budget by kind, and by peer where only that peer can cause it, and a line a minute says how many are left out
//! ([`mesh::show::budget`]); the shell takes all outputs before it hands in anything else. A fact for which there was no room is asked for
//! again when there is. What a peer can have this node look at in a second is bounded, too ([`mesh::share::gossip`]).
//!
//! What a member can bring about by lies is the table in [`mesh::believe::trust`]. Nothing in a datagram says when it was made: WireGuard hands
//! out each packet once, from the peer that its address belongs to, and none that is older than three minutes. So only whoever said a
//! thing can say it again, which is no more than it may; and what is said again lives for 255 s, as what is said.
//!
//! # Decided otherwise than first drawn
//! - How often what others take off the interface is put back ([`mesh::device::contest`]) is asked by the shell, which alone knows what was
//!   really done to it, our address included.
//! - `defguard_wireguard_rs` is not used: its incremental edits replace whole peers (see the table in its place in
//!   `daemon/device`), and what would remain of it, types and key generation, we have. The kernel is spoken to by `nl-wireguard` and
//!   `genetlink`, userspace WireGuard by our own client.
//! - Tags are made and checked by `ring`: the assembly of its Poly1305 takes a third of the time of `chacha20poly1305`, whose vector
//!   code the compiler does not inline without the CPU's features at build time. XChaCha20's first step, which `ring` lacks, is
//!   `chacha20`'s.
//! - A node may listen on two ports: wg-quick leaves the listen port of most leaves to chance, and v1 derives the port for facts
//!   from it. The second is what follows from the routers' endpoints (`daemon/socket.rs`).
//! - A port for facts is not bound where another WireGuard interface may want it: a socket for our address alone keeps a wildcard bind
//!   out, as the kernel's WireGuard makes it. A raw socket hears beside it (`daemon/socket/ear.rs`), at the price of an ICMPv6 "port
//!   unreachable" for each datagram while nobody has the port.
//! - An abstract socket's name is no lock, as anybody can take it: the lock is a file in the state folder (`daemon/lock.rs`).
//! - Nodes of ours send one another *compact groups* ([`mesh::believe::fact::wire`]): a sign of life takes 36 bytes instead of 124, which every
//!   5 s is the difference between 7 and 25 bytes a second, and facts about one subject share its key. They are tagged with keyed
//!   BLAKE2s, and a boot ID announces who reads them.
//! - What another node says is passed on for as long as it says it, also about peers that this node does not reach; v1 passes on
//!   nothing about those, and behind two routers leaves forgot each other. Endpoints that a node of no more trust than every peer has
//!   names of others are not passed on: v1 makes the word of a liar that of the router, and enough of such endpoints kept two leaves
//!   apart.
//! - A v1 node acts every 5 s, or as soon as it heard 100 facts. So news for it, and the move to a direct link with it, are followed by 132
//!   signs of life in six datagrams, once a second at most ([`mesh::reach::nudge`]): both sides move in the same moment, and a v1 hub introduces
//!   leaves at once.
//! - A link with a v1 node stays up while there is a session, also without signs of life: the device of one whose daemon ended goes on to send
//!   directly. And v1 hubs vouch only while they were heard within 75 s: what they told may expire before their sign of life does.
//! - Facts live for 255 s at most, whatever they say, and metadata of more than 512 bytes is not believed.
//! - What passes two routers must pass the same two on its way back, because WireGuard drops what comes from another peer than its
//!   source address belongs to: a leaf leaves to its router what is in the network of another router, and routers leave each other
//!   their leaves ([`mesh::route`]).
//! - A prefix that nobody claims any more returns to the router once one was heard for a minute: one that just came back has not said
//!   yet what it claims.
//! - Facts heard from a node that renews by digests ([`mesh::share::gossip`]) do not make this node ask all others to tell everything again
//!   when they expire, as v1 does: nothing can have been lost unnoticed.
//! - The addresses of other WireGuard interfaces are told only where `ReportIfaces` names them: v1 tells them, and where two
//!   machines are members of two networks, each network would be told to go through the other.
//! - What somebody else takes off the device again and again is put back at growing intervals ([`mesh::device::contest`]): invariant 3
//!   alone would make a war of two programs that both are level-triggered.
//! - Alive facts are not in the store: each peer has one, only about itself, and it belongs to the link
//!   ([`mesh::reach::link::liveness`]).
//! - `Origin` tells what this machine shows (`Observed`) from what its operator wrote (`Configured`): what is read off the device
//!   is told to others, but is no reason to change the device, or a peer removed by hand would come back.
//! - The first boot ID that is heard from a peer counts as a new one: whatever was told before it was up is told again, so the
//!   order in which daemons start does not matter.
//! - What is remembered of members comes back as facts of an origin of its own, and only as far as whoever said so is trusted after the
//!   restart. It is told to nobody: after a power cut nobody should learn from somebody's memory who was a member last week.
//! - A peer of ours that has no session, and whose initiation arrived half a second ago and led to nothing, is made again: it crossed
//!   with our own, both are lost, and WireGuard, which forgets then when it last sent one, would send the next only 5 s later
//!   ([`mesh::reach::link`]). A look at the device tells by the counter of bytes, which the [`mesh::device::mirror`] follows of such peers alone.
//! - A probe that is answered is followed by a datagram through the tunnel, which makes WireGuard send as a keepalive from 0 to N would,
//!   without a write, and with nothing to put back.
//! - Only one of two sides begins the handshake after their probes, so that initiations do not cross; the other one when nothing came.
//! - A peer that calls for probes and says that the link is down is probed at once, also where the link looks up here: its own heartbeats
//!   would show that up to 25 s later (`mesh/reach/link/call.rs`).
//! - Words about a link are sealed between its two ends (a signal), so that no relay needs to be believed; the hub passes them on at
//!   once and keeps nothing.
//! - Ports of NATs that count them up are not foretold from what two observers saw once: others take ports all the time, and WireGuard
//!   may have taken the one that matters long ago. They are bracketed, by a datagram to a router just before the first one to the peer
//!   and one just after ([`mesh::reach::probe`]), which leave from other ports, as no NAT gives an old flow a new port. Where to probe is told by a
//!   signal, not by a fact: it is for one peer, and true for half a minute.
//! - A pair that probes do not bring together is left to them, ever more seldom, after two and a half minutes: WireGuard is made to try it
//!   again only where something lets nothing but WireGuard pass, which routers show that are heard through the tunnel and answer no probe.
//! - Both sides of a link move its prefixes in the same moment, which is 30 ms after the last word of the two has arrived: whoever says
//!   it waits half a round trip. To move when it is heard lost what came in between.
//! - Who comes to another network asks those who tell it something what it missed: what was on its way to the old place is lost, and a
//!   digest would show that 25 s later.
//! - A path that drops long packets is said, and used all the same: short ones pass, and no MTU is changed that the operator set.
//! - Heartbeats come every 25 s on a quiet link, and so do signs of life between nodes of ours, which were 5 s.
//! - News after a quiet time is acted on after 5 ms, and 50 ms apart from then on: each hop of a fact cost 50 ms before.
//! - What its subject says takes the place of the same as hearsay, however shortly it lives: hearsay is not passed on.
//! - A router tells at most 64 peers and 145 kB in one go, so that no deadline takes 10 ms with a thousand of them.
//! - A round of trying is written down once, with all its candidates, so that probing does not write a file every 5 s. An endpoint at
//!   which WireGuard hears a peer is left when we stop, whoever set it: allowed IPs are configuration and go back, an endpoint is
//!   where a peer is, and the former one may be dead.
//! - STUN servers are asked by a node that has fewer than two observers, and only where its operator names some. The core says when, and
//!   sees what an answer says; the codec, `stun-types`, is the shell's. The filter of the raw socket lets in what begins like an answer
//!   and comes from an address that was asked.
//! - Probes look random to everybody but their receiver, and no two have anything in common: WireGuard marks its packets under the
//!   receiver's public key, and so do they, which takes no state and nothing to be agreed on. `docs/decisions.md` has the limits.
//! - The epoch of probes is remembered: it is what the clock says, or one more than the last run's, whatever is more.
//! - Rights are given up before anything is listened to, not after the sockets are open: landlock and seccomp must hold for every thread, and
//!   on older kernels hold only for those that are started later. So what a daemon may need later, it keeps: two capabilities.
//! - Settings come to a daemon that is not root as a copy, which the unit makes as root, and again at a reload: systemd's credentials are
//!   read once. The copy of wg-quick's file has names and public keys, nothing else.
//! - A restart leaves the device (SIGUSR2), a stop puts it back. Which of the two it is the unit asks of systemd's list of jobs: the signal
//!   that systemd has for a restart is also sent when wg-quick goes, whose SaveConfig would save what we put on.
//! - What carried traffic when the last run ended goes on to (`mesh/reach/link/resumed.rs`) until heartbeats say how it is, ten seconds at most:
//!   the other side does not move either while this one is away.
//! - A peer is a router because its networks hold an address of this node, and not because they are networks: a leaf with a site behind
//!   it is none ([`mesh::believe::role`]). Prefixes that only facts gave a peer make no router of it. `docs/decisions.md` has this, and bans.

#![warn(clippy::mod_module_files)]

#[cfg(feature = "daemon")]
pub mod advice;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod mesh;
#[cfg(feature = "daemon")]
pub mod printable;
