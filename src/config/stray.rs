//! Files that seem to be the configuration of an interface by their names, and are not read.

use std::fs;
use std::path::Path;

use super::error::prefix;
use super::tree::FileFormat;

/// Ends of names that the loader of wirelink v1 looks for, too, in formats that it cannot read either.
const OTHER_FORMATS: [&str; 6] = ["properties", "props", "prop", "hcl", "tfvars", "ini"];

/// A file that is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) name: String,
    /// Whether the name is that of a copy, as editors and package managers make them.
    pub(super) is_copy: bool,
}

/// Returns the files in a directory that seem to be for `iface`, in the order of their names; none where it cannot be looked into.
pub(super) fn find(directory: &Path, iface: &str) -> Vec<Stray> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    let mut found: Vec<Stray> = files
        .filter_map(|entry| judge(&entry.file_name().to_string_lossy(), iface))
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Returns the file of this name, where it seems to be for `iface` and is not read.
fn judge(name: &str, iface: &str) -> Option<Stray> {
    let program = name.get(.."wirelink".len())?;
    let rest = program
        .eq_ignore_ascii_case("wirelink")
        .then(|| &name[program.len()..])?;
    let end = rest.strip_prefix(&prefix(iface)["wirelink".len()..])?;
    let end = match end.strip_prefix('.') {
        Some(end) => end,
        None if end.is_empty() => end,
        None => return None,
    };
    if program == "wirelink" && FileFormat::EXTENSIONS.iter().any(|(extension, _)| *extension == end) {
        return None;
    }
    let mut parts = end.split('.');
    let is_ours = parts.next().is_some_and(|first| {
        let letters = first.split(|c: char| !c.is_ascii_alphanumeric()).next();
        letters.is_some_and(is_format)
    });
    // "wirelink.wg.0.json" is the file of an interface "wg.0".
    if !is_ours && parts.any(is_format) {
        return None;
    }
    let (name, is_copy) = (name.to_owned(), !is_format(end));
    Some(Stray { name, is_copy })
}

fn is_format(end: &str) -> bool {
    let ours = FileFormat::EXTENSIONS.iter().map(|(extension, _)| *extension);
    ours.chain(OTHER_FORMATS).any(|known| known.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_resemble_the_file_are_found() {
        for (name, is_copy) in [
            ("wirelink.wg0.JSON", false),
            ("Wirelink.wg0.json", false),
            ("wirelink.wg0.Yml", false),
            ("wirelink.wg0.hcl", false),
            ("wirelink.wg0.ini", false),
            ("wirelink.wg0.properties", false),
            ("wirelink.wg0.yml~", true),
            ("wirelink.wg0.json.bak", true),
            ("wirelink.wg0.json.dpkg-old", true),
            ("wirelink.wg0.jsn", true),
            ("wirelink.wg0.conf", true),
            ("wirelink.wg0", true),
            ("wirelink.wg0.", true),
        ] {
            let name = name.to_owned();
            assert_eq!(
                judge(&name, "wg0"),
                Some(Stray {
                    name: name.clone(),
                    is_copy
                })
            );
        }
    }

    #[test]
    fn files_of_others_are_left_alone() {
        for name in [
            "wirelink.wg0.json",
            "wirelink.wg0.dotenv",
            "wirelink.wg00.JSON",
            "wirelink.wg0.1.json",
            "wirelink.wg0.1.json.bak",
            "wg0.conf",
            "wirelink.WG0.hcl",
            ".wirelink.wg0.json.swp",
            "wirelink",
            "wireguard-go",
            "é",
        ] {
            assert_eq!(judge(name, "wg0"), None, "{name}");
        }
    }
}
