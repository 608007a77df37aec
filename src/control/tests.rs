use super::*;

const KEY: PublicKey = PublicKey::from_bytes([7; 32]);

fn peer() -> Peer {
    Peer {
        key: KEY,
        name: Some("laptop".into()),
        path: Path::Via,
        via: Some("hub".into()),
        reason: "no-answer".into(),
        reason_text: "no endpoint answers".into(),
        detail: "no answer yet from any of 2 candidates".into(),
        link: "probing".into(),
        since_seconds: 90,
        endpoint: Some(([192, 0, 2, 7], 51820).into()),
        allowed_ips: vec!["fe80::7/128".parse().unwrap()],
        handshake_seconds: None,
        received_bytes: 0,
        sent_bytes: 148,
        quality: Some(Quality {
            round_trip_ms: Some(12.5),
            loss_out: Some(0.0),
            loss_in: None,
            jitter_out_ms: 0.25,
            jitter_in_ms: 0.5,
        }),
        trust: Some(TrustLevel::Endpoint),
        router: false,
        introduced: true,
        shared_key: false,
    }
}

fn status() -> Status {
    Status {
        version: VERSION,
        node: Node {
            program: "wirelink 0.1.0".into(),
            interface: "wg0".into(),
            backend: "kernel WireGuard".into(),
            key: PublicKey::from_bytes([1; 32]),
            address: "fe80::1".parse().unwrap(),
            role: "leaf".into(),
            role_reason:
                "this node is a leaf of hub (AgICAgIC), whose network 10.77.0.0/24 holds its address 10.77.0.2".into(),
            trust_reason: "members are believed from hub (AgICAgIC)".into(),
            chatty: false,
            nat: "endpoint-independent".into(),
            nat_likely: "endpoint-independent".into(),
            nat_by: vec!["desk".into(), "hub".into()],
            no_probes: None,
            fact_ports: vec![FactPort {
                port: 51_821,
                bound: true,
                fallback: false,
                holder: None,
            }],
            up_seconds: 3600,
            debug: false,
            overrides: vec!["laptop paused".into()],
        },
        peers: vec![peer()],
    }
}

fn event() -> Event {
    Event {
        at_ms: 1_795_292_204_308,
        level: "info".into(),
        code: "link-established".into(),
        peer: Some(KEY),
        from: None,
        text: "direct link to laptop through 192.0.2.7:51820, after 0.2 s".into(),
    }
}

fn explanation() -> Explanation {
    Explanation {
        version: VERSION,
        peer: peer(),
        remedy: "the firewall on either side must let UDP in".into(),
        vouchers: vec!["hub".into()],
        candidates: vec![Candidate {
            endpoint: ([192, 0, 2, 7], 51820).into(),
            kind: "reflexive".into(),
            said_by: Some("hub".into()),
            expires_seconds: Some(250),
            asked: 3,
            asked_seconds: Some(4),
            answer_ms: None,
            answered_seconds: None,
            in_use: true,
        }],
        nat_here: "endpoint-independent".into(),
        nat_there: Some("unknown".into()),
        nat_here_likely: "endpoint-independent".into(),
        nat_there_likely: Some("address-dependent".into()),
        nat_by: vec!["desk".into(), "hub".into()],
        events: vec![event()],
    }
}

fn facts() -> Facts {
    Facts {
        version: VERSION,
        facts: vec![Fact {
            subject: KEY,
            name: Some("laptop".into()),
            attribute: "endpoint".into(),
            value: "192.0.2.7:51820".into(),
            origin: "hub".into(),
            trust: Some(TrustLevel::Membership),
            expires_seconds: 250,
            told: Some(vec!["desk".into(), "hub".into()]),
        }],
        refused: vec![Refused {
            prefix: "10.0.0.0/8".parse().unwrap(),
            claimant: KEY,
            text: "10.0.0.0/8, claimed for laptop: a network that this machine is connected to".into(),
        }],
        rejected: vec![Rejected {
            sender: None,
            name: None,
            text: "datagram from a key that is no peer".into(),
            times: 2,
        }],
    }
}

fn export() -> Export {
    Export {
        interface: "wg0".into(),
        peers: vec![ExportedPeer {
            key: KEY,
            name: Some("laptop".into()),
            preshared_key: true,
            endpoint: Some(([192, 0, 2, 7], 51820).into()),
            allowed_ips: vec!["10.99.0.7/32".parse().unwrap()],
            keepalive_seconds: Some(25),
        }],
    }
}

/// What is written here is what scripts read: a change that is more than an addition needs another [`VERSION`]. The examples in
/// docs/json.md are these.
#[test]
fn the_forms_are_those_of_the_documentation() {
    let document = include_str!("../../docs/json.md");
    let pretty = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap();
    let forms = [
        ("status", serde_json::to_value(status())),
        ("explain", serde_json::to_value(explanation())),
        ("facts", serde_json::to_value(facts())),
        ("events", serde_json::to_value(event())),
        ("export", serde_json::to_value(export())),
    ];
    for (name, form) in forms {
        let example = format!("```json\n{}\n```", pretty(form.unwrap()));
        assert!(
            document.contains(&example),
            "docs/json.md does not show `{name}` as it is:\n{example}"
        );
    }
}

#[test]
fn every_form_is_read_back_and_what_is_unknown_is_left_out() {
    let responses = [
        Response::Status(Box::new(status())),
        Response::Explanation(Box::new(explanation())),
        Response::Facts(Box::new(facts())),
        Response::Event(event()),
        Response::Export(export()),
        Response::Done { text: "done".into() },
        Response::Error {
            code: ErrorCode::NoSuchPeer,
            text: "there is none".into(),
        },
    ];
    for response in responses {
        let mut value = serde_json::to_value(&response).unwrap();
        value["more"] = "of a later version".into();
        assert_eq!(serde_json::from_value::<Response>(value).unwrap(), response);
    }
}

#[test]
fn every_reason_has_its_line_in_the_documentation() {
    let document = include_str!("../../docs/json.md");
    for reason in crate::mesh::show::reason::Reason::ALL {
        let line = format!("| `{}` | {} | {} |", reason.code(), reason, reason.remedy());
        assert!(document.contains(&line), "docs/json.md lacks {line}");
    }
}
