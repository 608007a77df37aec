//! Files of every kind, in a folder that goes with the test.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::mesh::keep::memory::{KEPT_FOR, MAX_PEERS};

const KEY: PublicKey = PublicKey::from_bytes([1; 32]);
const PEER: PublicKey = PublicKey::from_bytes([2; 32]);

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wirelink-state-{}-{number}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }

    fn file(&self) -> StateFile {
        StateFile::new(&self.0, "wg0", KEY)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn owner() -> Owner {
    StateFile::new(Path::new("/"), "wg0", KEY).owner
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    memory.introduced.peers.insert(PEER);
    memory.reached(PEER, "192.0.2.1:7".parse().unwrap());
    memory
}

/// Says whether it holds what is saved here, ages aside: they are those of the clock on the wall.
fn holds_all(file: &StateFile) -> bool {
    let (loaded, saved) = (file.load(), memory());
    loaded.introduced == saved.introduced && loaded.peers.keys().eq(saved.peers.keys())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn what_was_saved_is_loaded_and_nobody_else_may_read_it() {
    let folder = Folder::new();
    folder.file().save(&memory());
    assert!(holds_all(&folder.file()));
    assert_eq!((mode(&folder.0), mode(&folder.file().path())), (0o700, 0o600));
    assert_eq!(folder.names(), ["wg0.json"]);
    folder.file().save(&Memory::default());
    assert_eq!(folder.file().load(), Memory::default());
}

#[test]
fn what_a_crash_left_half_written_is_written_over() {
    let folder = Folder::new();
    folder.file().save(&memory());
    fs::write(folder.0.join("wg0.json.new"), "{").unwrap();
    assert!(holds_all(&folder.file()));
    folder.file().save(&memory());
    assert_eq!(folder.names(), ["wg0.json"]);
}

#[test]
fn no_file_is_no_fault() {
    let folder = Folder::new();
    assert_eq!(folder.file().load(), Memory::default());
    assert!(!folder.0.exists(), "nor is anything made");
}

#[test]
fn a_file_that_does_not_fit_is_set_aside_whatever_is_wrong_with_it() {
    let good = String::from_utf8(owner().write(&memory(), Duration::ZERO)).unwrap();
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("damaged", good[..good.len() / 2].to_owned()),
        ("no object", "[]".to_owned()),
        ("newer", good.replace("\"version\": 1", "\"version\": 2")),
        ("interface", good.replace("wg0", "wg1")),
        ("key", good.replace(&KEY.to_string(), &PEER.to_string())),
        ("unknown", good.replace("\"written\"", "\"more\": 1, \"written\"")),
        ("prefix", good.replace("192.0.2.1:7", "192.0.2.1")),
    ];
    for (what, text) in cases {
        assert_ne!(text, good, "{what}");
        let folder = Folder::new();
        fs::create_dir(&folder.0).unwrap();
        fs::write(folder.file().path(), text).unwrap();
        fs::set_permissions(folder.file().path(), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(folder.file().load(), Memory::default(), "{what}");
        assert_eq!(folder.names(), ["wg0.json.bad-1"], "{what}");
        folder.file().save(&memory());
        assert!(holds_all(&folder.file()), "{what}");
    }
}

#[test]
fn a_file_with_more_than_a_node_remembers_is_set_aside() {
    let folder = Folder::new();
    let mut memory = memory();
    memory.introduced.peers = (0..=MAX_PEERS as u64)
        .map(|number| PublicKey::from_bytes(std::array::from_fn(|at| (number >> (8 * (at % 8))) as u8)))
        .collect();
    folder.file().save(&memory);
    assert_eq!(folder.file().load(), Memory::default());
}

#[test]
fn links_folders_and_files_of_others_are_set_aside_and_what_they_lead_to_is_not_touched() {
    let folder = Folder::new();
    folder.file().save(&memory());
    let elsewhere = folder.0.join("elsewhere");
    fs::rename(folder.file().path(), &elsewhere).unwrap();
    symlink(&elsewhere, folder.file().path()).unwrap();
    assert_eq!(folder.file().load(), Memory::default());
    fs::create_dir(folder.file().path()).unwrap();
    assert_eq!(folder.file().load(), Memory::default());
    fs::copy(&elsewhere, folder.file().path()).unwrap();
    fs::set_permissions(folder.file().path(), Permissions::from_mode(0o666)).unwrap();
    assert_eq!(folder.file().load(), Memory::default());
    assert_eq!(
        folder.names(),
        ["elsewhere", "wg0.json.bad-1", "wg0.json.bad-2", "wg0.json.bad-3"]
    );
    let written = File::open(&elsewhere).and_then(|file| file.metadata()).unwrap();
    assert!(written.len() > 100);
}

#[test]
fn not_more_than_so_many_are_kept_aside() {
    let folder = Folder::new();
    for _ in 0..MAX_ASIDE + 3 {
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.file().path(), "{").unwrap();
        folder.file().load();
    }
    assert_eq!(folder.names().len() as u32, MAX_ASIDE);
}

#[test]
fn time_passes_between_two_runs_and_never_backwards() {
    let hour = Duration::from_secs(3600);
    let text = owner().write(&memory(), KEPT_FOR);
    let age = |now| {
        owner()
            .read(&text, now)
            .unwrap()
            .peers
            .get(&PEER)
            .map(|known| known.endpoints[0].age)
    };
    assert_eq!(age(KEPT_FOR + hour), Some(hour));
    assert_eq!(age(hour), Some(Duration::ZERO), "the clock went back");
    assert_eq!(age(KEPT_FOR + KEPT_FOR), None, "too old");
}

#[test]
fn a_folder_that_cannot_be_written_is_said_once_and_no_more() {
    let folder = Folder::new();
    fs::write(&folder.0, "a file where the folder should be").unwrap();
    let mut file = folder.file();
    file.save(&memory());
    assert!(file.is_failing);
    fs::remove_file(&folder.0).unwrap();
    file.save(&memory());
    assert!(!file.is_failing);
    assert!(holds_all(&file));
}

#[test]
fn what_was_remembered_goes_along_with_a_new_name() {
    let folder = Folder::new();
    let mut file = folder.file();
    file.save(&memory());
    file.rename("wg7");
    assert_eq!(folder.names(), ["wg7.json"]);
    assert!(holds_all(&file) && holds_all(&StateFile::new(&folder.0, "wg7", KEY)));
}

#[tokio::test]
async fn nothing_waits_for_a_write_but_the_next_one() {
    let folder = Folder::new();
    let mut writer = Writer::new(Some(folder.file()));
    writer.start(Box::default());
    assert!(writer.is_writing());
    writer.save(Box::new(memory())).await;
    assert!(!writer.is_writing());
    assert!(holds_all(&folder.file()), "the last one is there");
    writer.start(Box::new(memory()));
    writer.rename("wg7").await;
    assert_eq!(folder.names(), ["wg7.json"], "in their order");
}

#[tokio::test]
async fn where_nothing_is_kept_nothing_is_written() {
    let mut writer = Writer::new(None);
    writer.start(Box::new(memory()));
    assert!(!writer.is_writing());
    writer.save(Box::new(memory())).await;
    writer.rename("wg7").await;
}

/// Only root can give a folder away.
#[test]
fn what_root_writes_belongs_to_whom_the_folder_belongs() {
    if !geteuid().is_root() {
        return;
    }
    const OTHER: u32 = 61_234;
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    std::os::unix::fs::chown(&folder.0, Some(OTHER), None).unwrap();
    folder.file().save(&memory());
    assert_eq!(fs::metadata(folder.file().path()).unwrap().uid(), OTHER);
    assert!(holds_all(&folder.file()));
    // Of a third user it is not believed.
    std::os::unix::fs::chown(folder.file().path(), Some(OTHER + 1), None).unwrap();
    assert_eq!(folder.file().load(), Memory::default());
}
