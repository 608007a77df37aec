use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u64) -> PublicKey {
    PublicKey::from_bytes(std::array::from_fn(|at| (number >> (8 * (at % 8))) as u8))
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn prefixes(count: u32) -> BTreeSet<IpNet> {
    (0..count)
        .map(|number| IpNet::from(std::net::IpAddr::from(number.to_be_bytes())))
        .collect()
}

fn named(allowed_ips: BTreeSet<IpNet>) -> Known {
    let named = Named {
        by: key(1),
        member: true,
        name: None,
        basic: false,
        allowed_ips,
        age: Duration::ZERO,
    };
    Known {
        named: Some(named),
        endpoints: Vec::new(),
    }
}

#[test]
fn the_latest_endpoints_are_remembered_until_they_are_too_old() {
    let mut memory = Memory::default();
    for port in [1, 2, 3, 2] {
        memory.grow_older(HOUR);
        memory.reached(key(7), at(port));
    }
    let known = |memory: &Memory| -> Vec<(u16, u64)> {
        let known = memory.peers.get(&key(7)).into_iter().flat_map(|known| &known.endpoints);
        known
            .map(|known| (known.endpoint.port(), known.age.as_secs() / 3600))
            .collect()
    };
    assert_eq!(known(&memory), [(2, 0), (3, 1)]);
    memory.grow_older(KEPT_FOR - HOUR);
    assert_eq!(known(&memory), [(2, 167)]);
    memory.grow_older(HOUR);
    assert!(memory.is_empty());
}

#[test]
fn who_is_not_named_for_too_long_is_forgotten() {
    let mut memory = Memory::default();
    memory.peers.insert(key(7), named(prefixes(1)));
    memory.grow_older(KEPT_FOR - HOUR);
    assert_eq!(memory.peers.len(), 1);
    memory.grow_older(Duration::MAX);
    assert!(memory.is_empty());
}

#[test]
fn of_too_many_the_oldest_are_forgotten_and_what_is_left_is_sound() {
    let mut memory = Memory::default();
    for number in 0..100 {
        memory.peers.insert(key(number), named(prefixes(3)));
    }
    memory.grow_older(HOUR);
    for number in 100..100 + MAX_PEERS as u64 {
        memory
            .peers
            .insert(key(number), named(prefixes(MAX_PREFIXES as u32 + 1)));
    }
    assert!(memory.check().is_err());
    memory.keep_within_bounds();
    assert_eq!(memory.check(), Ok(()));
    assert_eq!(memory.peers.len(), MAX_PREFIXES_IN_ALL / MAX_PREFIXES);
    assert!(!memory.peers.contains_key(&key(0)));
}

#[test]
fn names_of_one_node_leave_room_for_those_of_another() {
    let mut memory = Memory::default();
    memory.peers.insert(key(7), named(prefixes(2)));
    memory.reached(key(8), at(1));
    memory.grow_older(HOUR);
    for number in 100..100 + 2 * MAX_PEERS as u64 {
        let mut liars = named(prefixes(number as u32 % (MAX_PREFIXES as u32 + 1)));
        liars.named.as_mut().unwrap().by = key(2);
        memory.peers.insert(key(number), liars);
    }
    memory.keep_within_bounds();
    assert_eq!(memory.check(), Ok(()));
    assert!(memory.peers.get(&key(7)).is_some_and(|known| known.prefixes() == 2));
    assert!(memory.peers.contains_key(&key(8)));
}

#[test]
fn endpoint_stays_where_prefixes_have_no_room() {
    let mut memory = Memory::default();
    for number in 0..=(MAX_PREFIXES_IN_ALL / MAX_PREFIXES) as u64 {
        memory.peers.insert(key(number), named(prefixes(MAX_PREFIXES as u32)));
        memory.reached(key(number), at(1));
    }
    let before = memory.peers.len();
    memory.keep_within_bounds();
    assert_eq!(memory.check(), Ok(()));
    assert_eq!(memory.peers.len(), before);
    let unnamed = memory.peers.values().filter(|known| known.named.is_none());
    assert_eq!(unnamed.count(), 1);
}

#[test]
fn it_survives_its_text_form_in_whole_seconds() {
    let mut memory = Memory::default();
    memory.peers.insert(key(7), named(prefixes(2)));
    memory.reached(key(7), "[2001:db8::1]:7".parse().unwrap());
    memory.grow_older(Duration::from_secs(90));
    memory.introduced.peers.insert(key(7));
    memory
        .introduced
        .prefixes
        .insert("fd00::/64".parse().unwrap(), Given::new(key(7), Some(key(1))));
    let tried = Tried {
        before: None,
        tried: [at(1)].into(),
    };
    memory.introduced.endpoints.insert(key(1), tried);
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    assert!(text.contains("\"age\":90"), "{text}");
}
