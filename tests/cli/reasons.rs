//! The table in README of why a peer is not direct, which follows from the codes.

use std::fs;

use wirelink::mesh::reason::Reason;

#[test]
fn readme_has_each_code_with_its_meaning_and_its_remedy() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is there");
    let expected = Reason::ALL.map(|reason| format!("| `{}` | {reason} | {} |", reason.code(), reason.remedy()));
    let missing: Vec<&String> = expected.iter().filter(|row| !readme.contains(*row)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let header = "| code | meaning | what would have to change |\n|---|---|---|\n";
    let (_, rest) = readme.split_once(header).expect("the table has a header");
    let rows = rest.lines().take_while(|line| line.starts_with('|')).count();
    assert_eq!(rows, expected.len(), "none that is gone");
}
