use super::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::UnixListener;

/// A socket whose owner answers every connection with the next of the given replies.
struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Server {
    fn new(replies: Vec<&'static str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wirelink-uapi-{}-{count}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let task = tokio::spawn(async move {
            let mut requests = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\n\n") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                requests.push(String::from_utf8(request).unwrap());
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            requests
        });
        Self { path, task }
    }

    fn client(&self, removal: Removal) -> Uapi {
        Uapi {
            iface: "wg0".to_owned(),
            path: self.path.to_str().unwrap().to_owned(),
            removal,
        }
    }

    async fn requests(self) -> Vec<String> {
        let requests = self.task.await.unwrap();
        std::fs::remove_file(self.path).unwrap();
        requests
    }
}

const OK: &str = "errno=0\n\n";
const TWO_PEERS: &str = "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
    public_key=0101010101010101010101010101010101010101010101010101010101010101\n\
    allowed_ip=10.0.0.1/32\nallowed_ip=10.0.0.3/32\n\
    public_key=0202020202020202020202020202020202020202020202020202020202020202\n\
    allowed_ip=10.0.0.2/32\nerrno=0\n\n";
const A: PublicKey = PublicKey::from_bytes([1; 32]);
const B: PublicKey = PublicKey::from_bytes([2; 32]);

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_error_with_a_sign_is_an_error() {
    let server = Server::new(vec!["errno=-98\n\n"]);
    let change = DeviceChange::RemovePeer { peer: A };
    let error = server.client(Removal::Single).apply(&change).await.unwrap_err();
    assert!(
        matches!(error, DeviceError::Refused(_, ref error) if error.raw_os_error() == Some(98)),
        "{error}"
    );
    server.requests().await;
}

#[tokio::test]
async fn a_connection_that_ends_early_is_an_error() {
    for reply in ["", "errno=0", "private_key=00\n\n"] {
        let server = Server::new(vec![reply]);
        let error = server.client(Removal::Single).read().await.unwrap_err();
        // One that says nothing at all has ended, and another may take its place.
        let as_expected = if reply.is_empty() {
            matches!(error, DeviceError::StaleSocket(_))
        } else {
            matches!(error, DeviceError::Malformed(..))
        };
        assert!(as_expected, "{reply:?}: {error}");
        server.requests().await;
    }
}

#[tokio::test]
async fn one_that_refuses_everything_as_it_ends_is_not_one_that_cannot_do_it() {
    let ends = Server::new(vec!["errno=19\n\n", ""]);
    let error = Uapi::question("wg0", ends.path.to_str().unwrap().to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, DeviceError::StaleSocket(_)), "{error}");
    ends.requests().await;
    let cannot = Server::new(vec!["errno=22\n\n", "errno=22\n\n"]);
    let error = Uapi::question("wg0", cannot.path.to_str().unwrap().to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, DeviceError::Unsupported(_)), "{error}");
    cannot.requests().await;
}

#[tokio::test]
async fn a_socket_without_an_owner_is_stale() {
    let server = Server::new(vec![]);
    let client = server.client(Removal::Single);
    server.task.await.unwrap();
    for _ in 0..2 {
        assert!(matches!(client.read().await, Err(DeviceError::StaleSocket(_))));
        let _ = std::fs::remove_file(&server.path);
    }
}

#[tokio::test]
async fn a_long_reply_is_read_in_full() {
    let peer = "public_key=0303030303030303030303030303030303030303030303030303030303030303\n";
    let prefixes: String = (0..5000)
        .map(|n| format!("allowed_ip=10.1.{}.{}/32\n", n / 256, n % 256))
        .collect();
    let reply = TWO_PEERS.replace("errno", &format!("{peer}{prefixes}errno"));
    let server = Server::new(vec![reply.leak()]);
    let reading = server.client(Removal::Single).read().await.unwrap();
    assert_eq!(reading.peers[&PublicKey::from_bytes([3; 32])].allowed_ips.len(), 5000);
    server.requests().await;
}

#[tokio::test]
async fn edits_never_make_a_peer() {
    let server = Server::new(vec![OK; 3]);
    let client = server.client(Removal::Single);
    let endpoint = "192.0.2.1:5".parse().unwrap();
    let prefix = prefix("10.0.0.2/32");
    for change in [
        DeviceChange::SetEndpoint { peer: A, endpoint },
        DeviceChange::AddAllowedIp { peer: A, prefix },
        DeviceChange::RemoveAllowedIp { peer: A, prefix },
    ] {
        client.apply(&change).await.unwrap();
    }
    for request in server.requests().await {
        let second = request.lines().nth(2);
        assert_eq!(second, Some("update_only=true"), "{request}");
    }
}

#[tokio::test]
async fn a_decoy_takes_only_what_the_peer_has() {
    let server = Server::new(vec![TWO_PEERS, TWO_PEERS, OK]);
    let client = server.client(Removal::Decoy);
    for (peer, text) in [(A, "10.0.0.2/32"), (B, "10.0.0.2/32")] {
        let prefix = prefix(text);
        client
            .apply(&DeviceChange::RemoveAllowedIp { peer, prefix })
            .await
            .unwrap();
    }
    let requests = server.requests().await;
    assert_eq!(requests[0], "get=1\n\n");
    assert_eq!(requests[1], "get=1\n\n");
    let lines: Vec<&str> = requests[2].lines().collect();
    assert_eq!(lines[2], "allowed_ip=10.0.0.2/32");
    assert_eq!((lines[1], lines[4]), (lines[3], "remove=true"));
    assert!(!lines[1].contains("0202020202"), "{lines:?}");
}

#[tokio::test]
async fn where_lists_do_not_give_way_they_are_rewritten() {
    let server = Server::new(vec![TWO_PEERS, OK]);
    let change = DeviceChange::AddAllowedIp {
        peer: B,
        prefix: prefix("10.0.0.3/32"),
    };
    server.client(Removal::Rewrite).apply(&change).await.unwrap();
    let requests = server.requests().await;
    let [key_a, key_b] = ["01", "02"].map(|byte| format!("public_key={}", byte.repeat(32)));
    let expected = format!(
        "set=1\n{key_a}\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.0.0.1/32\n\
         {key_b}\nupdate_only=true\nallowed_ip=10.0.0.3/32\n\n"
    );
    assert_eq!(requests[1], expected);
}

#[tokio::test]
async fn sources_are_forgotten_by_setting_the_endpoints_that_are_there() {
    const REACHED: &str = "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
        public_key=0101010101010101010101010101010101010101010101010101010101010101\n\
        endpoint=192.0.2.1:7\nrx_bytes=5\n\
        public_key=0202020202020202020202020202020202020202020202020202020202020202\n\
        endpoint=192.0.2.2:7\nerrno=0\n\n";
    let server = Server::new(vec![REACHED, OK]);
    server.client(Removal::Single).forget_sources().await.unwrap();
    let requests = server.requests().await;
    assert!(requests[1].contains("endpoint=192.0.2.1:7"), "{requests:?}");
    assert!(requests[1].contains("update_only=true"), "{requests:?}");
    assert!(!requests[1].contains("192.0.2.2"), "{requests:?}");
    let nobody = Server::new(vec![TWO_PEERS]);
    nobody.client(Removal::Single).forget_sources().await.unwrap();
    assert_eq!(nobody.requests().await.len(), 1, "nothing is set");
}

#[tokio::test]
async fn amneziawg_is_named_and_refused() {
    const AMNEZIA: &str = "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\njc=4\njmin=40\n\
        s1=0\nh1=1\nerrno=0\n\n";
    let server = Server::new(vec![AMNEZIA, AMNEZIA]);
    let client = server.client(Removal::Single);
    for error in [client.read().await.map(drop), client.identity().await.map(drop)] {
        let error = error.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("AmneziaWG (its device has the key jc)"), "{text}");
        assert!(!text.contains("e84b5a6d") && text.contains("wireguard-go"), "{text}");
    }
    server.requests().await;
    // One that refuses the question is asked what it is.
    let server = Server::new(vec!["errno=-22\n\n", "errno=-22\n\n", AMNEZIA]);
    let path = server.path.to_str().unwrap().to_owned();
    let error = Uapi::question("wg0", path).await.unwrap_err();
    assert!(matches!(error, DeviceError::Amnezia(..)), "{error}");
    server.requests().await;
}
