use proptest::prelude::*;

use super::*;

const HUB: &str = "VYyIQThKsA+fXJBvrvGKUolrfBBpkkYGT11VxkFwsSM=";
const LEAF: &str = "Qa7D+1xA1xq/sPGaoMyxalgOzg6MwrnU74KrYhPWLlk=";
/// What must appear nowhere.
const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn names(text: &str) -> Vec<(String, String)> {
    let said = parse(text.as_bytes());
    let pairs = said.names.iter();
    pairs.map(|(key, host)| (key.to_string(), host.to_string())).collect()
}

fn one(key: &str, host: &str) -> Vec<(String, String)> {
    vec![(key.to_owned(), host.to_owned())]
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(seconds))
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wirelink-wg-quick-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn only_the_names_of_peers_are_read() {
    let text = format!(
        "[Interface]\nPrivateKey = {SECRET}\nAddress = 10.0.0.2/24\nEndpoint = nobody.example:1\nPostUp = echo a=b [Peer]\n\n\
         [Peer]\n# hub\nPublicKey = {HUB}\nPresharedKey = {SECRET}\nEndpoint = vpn.example.org:51820\nAllowedIPs = 10.0.0.0/24, fd00::/64\n\n\
         [Peer]\nPublicKey = {LEAF}\nEndpoint = [2001:db8::1]:51820\n"
    );
    let said = parse(text.as_bytes());
    assert_eq!(names(&text), one(HUB, "vpn.example.org:51820"));
    assert_eq!(said.odd_lines, [0_usize; 0]);
    assert!(!format!("{said:?}").contains(&SECRET[..20]));
}

#[test]
fn it_is_read_as_wg_reads_it() {
    for text in [
        format!("[peer]\nPUBLICKEY={HUB}\nendpoint=Vpn.Example.ORG:5"),
        format!("  [Peer]  # the hub\r\n\tPublicKey\t=\t{HUB} # key\r\n Endpoint = vpn.example.org:5#here\r\n"),
        format!("[Peer]\nEndpoint = vpn.example.org:5\nPublicKey = {HUB}\n[Interface]\nEndpoint = other:5"),
        format!("[Peer]\nPublicKey = {HUB}\nEndpoint = first.example:5\nEndpoint = vpn.example.org:5"),
        format!(
            "[Peer]\nPublicKey = {HUB}\nEndpoint = 192.0.2.1:5\n[Peer]\nPublicKey = {HUB}\nEndpoint = vpn.example.org:5"
        ),
        format!("[Peer]\nPublicKey = {LEAF}\nPublicKey = {HUB}\nEndpoint = vpn.example.org:5"),
    ] {
        assert_eq!(names(&text), one(HUB, "vpn.example.org:5"), "{text}");
    }
    for text in [
        format!("[Peer]\nPublicKey = {HUB}\n#Endpoint = vpn.example.org:5"),
        format!("[Peer]\nPublicKey = {HUB}\n[Peer]\nEndpoint = vpn.example.org:5"),
        format!("[Peer]\nPublicKey = {HUB}\nEndpoint = vpn.example.org:5\nEndpoint = 192.0.2.1:5"),
        format!(
            "[Peer]\nPublicKey = {HUB}\nEndpoint = vpn.example.org:5\n[Peer]\nPublicKey = {HUB}\nEndpoint = [2001:db8::1]:5"
        ),
        format!("PublicKey = {HUB}\nEndpoint = vpn.example.org:5"),
        format!("[Peer]\nPublicKeys = {HUB}\nEndpoint = vpn.example.org:5"),
    ] {
        assert_eq!(names(&text), [], "{text}");
    }
}

#[test]
fn a_line_that_is_not_understood_is_told_by_its_number_alone() {
    let text =
        format!("[Peer]\nPublicKey = {HUB}\nEndpoint = vpn example:5\n[Peer]\nPublicKey = {SECRET}x\nEndpoint\n");
    let said = parse(text.as_bytes());
    assert_eq!((said.names.len(), said.odd_lines), (0, vec![3, 5, 6]));
}

#[test]
fn the_file_is_looked_at_once_a_minute_and_read_when_it_is_another() {
    let folder = Folder::new("looks");
    let path = folder.0.join("wg0.conf");
    let write =
        |host: &str| std::fs::write(&path, format!("[Peer]\nPublicKey = {HUB}\nEndpoint = {host}:5\n")).unwrap();
    let mut file = WgQuick::new(path.clone());
    assert!(matches!(file.look(at(0)), Some(Err(error)) if error.kind() == io::ErrorKind::NotFound));
    assert!(file.look(at(60)).is_none(), "said once");
    write("one.example");
    assert!(file.look(at(119)).is_none(), "not yet");
    assert_eq!(file.look(at(120)).unwrap().unwrap().names.len(), 1);
    assert!(file.look(at(180)).is_none(), "the same");
    write("another.example");
    let said = file.look(at(240)).unwrap().unwrap();
    assert_eq!(said.names.values().next().unwrap().to_string(), "another.example:5");
}

#[test]
fn what_is_no_file_of_a_usual_size_is_not_read() {
    let folder = Folder::new("sizes");
    let path = folder.0.join("wg0.conf");
    std::fs::create_dir(&path).unwrap();
    assert!(WgQuick::new(path.clone()).look(at(0)).unwrap().is_err());
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, vec![b'#'; MAX_BYTES]).unwrap();
    assert!(WgQuick::new(path.clone()).look(at(0)).unwrap().is_ok());
    std::fs::write(&path, vec![b'#'; MAX_BYTES + 1]).unwrap();
    assert!(WgQuick::new(path.clone()).look(at(0)).unwrap().is_err());
    let link = folder.0.join("wg1.conf");
    std::fs::write(&path, "[Interface]").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(
        WgQuick::new(link).look(at(0)).unwrap().is_ok(),
        "a link to one is as good"
    );
}

/// Lines as they stand in such files, and some that should not.
fn any_line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("PublicKey"),
        Just("endpoint"),
        Just("PresharedKey"),
        Just("AllowedIPs"),
        Just("[Peer]")
    ];
    let value = prop_oneof![
        Just(HUB),
        Just(LEAF),
        Just(SECRET),
        Just("a.example:5"),
        Just("[::1]:5"),
        Just("#"),
        Just("=")
    ];
    let known = ("[ \t]{0,2}", key, "[ =#]{0,3}", value).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"));
    prop_oneof![4 => known, 1 => Just("[Peer]".to_owned()), 1 => Just("[Interface]".to_owned()), 1 => ".{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_it_only_what_was_written_as_a_name_of_a_peer_comes_out(
        lines in prop::collection::vec(any_line(), 0..30)
    ) {
        let said = parse(lines.join("\n").as_bytes());
        for (key, host) in &said.names {
            prop_assert_eq!(host.to_string(), "a.example:5");
            let key = key.to_string();
            let is_written = |line: &String| {
                let (name, value) = line.split_once('=').unwrap_or_default();
                name.trim().eq_ignore_ascii_case("PublicKey") && value.split('#').next().unwrap().trim() == key
            };
            prop_assert!(lines.iter().any(is_written));
        }
        prop_assert!(said.odd_lines.iter().all(|number| (1..=lines.len()).contains(number)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse(&bytes);
    }

    #[test]
    fn what_is_written_in_any_shape_is_read(
        before in "[ \t]{0,3}", around in "[ \t]{0,3}", remark in "( ?#[ -~]{0,10})?", upper: bool, port in 1..u16::MAX, reversed: bool,
    ) {
        let case = |text: &str| if upper { text.to_uppercase() } else { text.to_lowercase() };
        let line = |key: &str, value: &str| format!("{before}{}{around}={around}{value}{remark}", case(key));
        let mut pair = [line("PublicKey", HUB), line("Endpoint", &format!("vpn.example.org:{port}"))];
        if reversed { pair.reverse(); }
        let text = format!("{before}{}{remark}\n{}\n", case("[Peer]"), pair.join("\n"));
        prop_assert_eq!(names(&text), one(HUB, &format!("vpn.example.org:{port}")));
    }
}
