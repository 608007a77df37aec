use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// Two folders, that of the operator and that of the copies; gone at the end.
struct Folders(PathBuf);

impl Folders {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wirelink-copy-{}-{name}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        for folder in ["from", "to"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        Self(path)
    }

    fn from(&self, name: &str) -> PathBuf {
        self.0.join("from").join(name)
    }

    fn to(&self, name: &str) -> PathBuf {
        self.0.join("to").join(name)
    }

    fn copy(&self) -> anyhow::Result<()> {
        let variables = [(CONFIG_PATH, "from"), (CONFIG_COPY, "to")];
        let variables = variables.map(|(name, folder)| (name.into(), self.0.join(folder).into()));
        settings("wg0", variables, &self.to(""))
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn the_file_of_the_interface_is_copied_and_goes_when_it_goes() {
    let folders = Folders::new("file");
    fs::write(folders.from("wirelink.wg0.yaml"), "router: true").unwrap();
    fs::write(folders.from("wirelink.wg1.yaml"), "router: true").unwrap();
    fs::write(folders.from("wg0.conf"), "[Interface]\nPrivateKey = secret\n").unwrap();
    folders.copy().unwrap();
    let copy = folders.to("wirelink.wg0.yaml");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "router: true");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o400);
    let count = || fs::read_dir(folders.to("")).unwrap().count();
    assert_eq!(count(), 1, "nobody asked for the rest");
    fs::remove_file(folders.from("wirelink.wg0.yaml")).unwrap();
    folders.copy().unwrap();
    assert_eq!(count(), 0);
}

#[test]
fn a_directory_that_is_none_is_an_error_here_and_not_seen_by_who_reads_copies() {
    let folders = Folders::new("none");
    fs::remove_dir(folders.from("")).unwrap();
    let error = folders.copy().unwrap_err();
    assert!(error.is::<config::ConfigError>(), "{error}");
    let variables = [(CONFIG_PATH, "from"), (CONFIG_COPY, "to")];
    let variables = variables.map(|(name, folder)| (name.into(), folders.0.join(folder).into()));
    assert!(config::load(&Flags::default(), variables).is_ok());
}

#[test]
fn of_the_file_of_wg_quick_only_names_are_copied() {
    let folders = Folders::new("names");
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    fs::write(folders.from("wirelink.wg0.json"), r#"{"ResolveWgQuick": true}"#).unwrap();
    let file = format!(
        "[Interface]\nPrivateKey = secret\nPostUp = true\n[Peer]\nPublicKey = {key}\nPresharedKey = psk\n\
         Endpoint = hub.example.org:51820\n"
    );
    fs::write(folders.from("wg0.conf"), file).unwrap();
    folders.copy().unwrap();
    let copy = fs::read_to_string(folders.to("wg0.conf")).unwrap();
    assert_eq!(
        copy,
        format!("[Peer]\nPublicKey = {key}\nEndpoint = hub.example.org:51820\n")
    );
    fs::write(folders.from("wirelink.wg0.json"), "{}").unwrap();
    folders.copy().unwrap();
    assert!(!folders.to("wg0.conf").exists(), "it is not wanted any more");
}

#[test]
fn what_lies_in_the_way_is_neither_followed_nor_written_to() {
    let folders = Folders::new("link");
    let precious = folders.0.join("precious");
    fs::write(&precious, "as it was").unwrap();
    for name in ["wirelink.wg0.json", "wirelink.wg0.json.new"] {
        symlink(&precious, folders.to(name)).unwrap();
    }
    fs::write(folders.from("wirelink.wg0.json"), "{}").unwrap();
    folders.copy().unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "as it was");
    let copy = folders.to("wirelink.wg0.json");
    assert!(fs::symlink_metadata(copy).unwrap().is_file());
}

#[test]
fn settings_that_are_wrong_are_copied_for_the_daemon_to_say_so() {
    let folders = Folders::new("wrong");
    fs::write(folders.from("wirelink.wg0.json"), "{").unwrap();
    folders.copy().unwrap();
    assert!(folders.to("wirelink.wg0.json").exists());
}
