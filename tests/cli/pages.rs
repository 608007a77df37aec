//! The completions and man pages in `packaging/`, which follow from the tree of commands.

#[path = "../../examples/pages/pages.rs"]
mod generated;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{Directory, output, stdout};

/// Compares byte for byte; the tree has all commands only with all features.
#[cfg(feature = "demo")]
#[test]
fn completions_and_man_pages_are_those_of_the_commands() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let mut kept = BTreeMap::new();
    for folder in generated::FOLDERS {
        let entries = fs::read_dir(packaging.join(folder)).expect("the folder is there");
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            kept.insert(format!("{folder}/{name}"), fs::read(&path).expect("a file"));
        }
    }
    let due = generated::all().expect("memory takes them");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let what = "packaging/ is behind the commands: `cargo run --example pages` writes it anew";
    assert_eq!(names(&kept), names(&due), "{what}");
    for (name, content) in &due {
        assert!(kept[name] == *content, "{name}: {what}");
    }
}

#[test]
fn every_command_has_help_and_a_man_page() {
    let pages = generated::all().expect("memory takes them");
    let help = stdout(&output(&mut Directory::new().wirelink(&["--help"])));
    let commands = help
        .split("Commands:")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next());
    let names = commands
        .expect("a list")
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"watch") && names.contains(&"doctor"), "{names:?}");
    for name in names {
        let page = pages.get(&format!("man/wirelink-{name}.8"));
        let page = page.unwrap_or_else(|| panic!("{name} has no page"));
        assert!(String::from_utf8_lossy(page).contains("SYNOPSIS"));
    }
}

#[test]
fn every_command_that_asks_a_daemon_prints_json_where_it_is_told_to() {
    for command in [
        "status", "explain", "facts", "events", "ping", "export", "reload", "log", "set",
    ] {
        let help = stdout(&output(&mut Directory::new().wirelink(&[command, "--help"])));
        assert!(help.contains("--json"), "{command}");
    }
    let both = output(&mut Directory::new().wirelink(&["export", "--json", "--format", "wg-quick"]));
    assert_eq!(both.status.code(), Some(2));
}
