//! The groups of `src/mesh` in their order: each may use the groups before it and none after it, and those that decide do not use
//! one another. `node` passes on between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, code};

/// The groups, lowest first; those of one row may not use one another.
const LAYERS: [&[&str]; 7] = [
    &["base"],
    &["device"],
    &["believe"],
    &["keep"],
    &["members", "reach", "route", "share"],
    &["show"],
    &["node"],
];

/// Returns the layer of a group.
fn layer(group: &str) -> usize {
    let layer = LAYERS.iter().position(|row| row.contains(&group));
    layer.unwrap_or_else(|| panic!("{group} is no group: put it into LAYERS"))
}

/// Returns the group of a file.
fn group(path: &str) -> &str {
    let rest = path.strip_prefix("src/mesh/").expect("it is a file of the core");
    rest.split(['/', '.']).next().expect("a split has a first part")
}

/// Returns the modules of the core that a statement names, each by its group and, where that is named, its name.
fn named(statement: &str) -> Vec<(&str, &str)> {
    let mut paths = Vec::new();
    for (at, prefix) in statement.match_indices("crate::mesh::") {
        for (group, rest) in branches(&statement[at + prefix.len()..]) {
            let inner = rest.strip_prefix("::").map(branches).unwrap_or_default();
            paths.extend(inner.iter().map(|(module, _)| (group, *module)));
            if inner.is_empty() {
                paths.push((group, ""));
            }
        }
    }
    paths
}

/// Returns the words that the paths of a use tree begin with, each with the text behind it: one, or those between braces.
fn branches(tree: &str) -> Vec<(&str, &str)> {
    let Some(inner) = tree.strip_prefix('{') else {
        return word(tree).into_iter().collect();
    };
    let (mut branches, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            letter if begins && letter.is_alphabetic() => {
                branches.extend(word(&inner[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    branches
}

/// Returns the word that a text begins with, and the rest.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let end = text.find(|letter: char| !is_part(letter)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Returns the statements of a file, without its comments and tests.
fn statements(source: &Source) -> Vec<String> {
    let text: String = source.production().map(|(_, line)| code(line).trim()).collect();
    text.split(';').map(str::to_owned).collect()
}

/// Returns each use of a group by a file of a group that may not use it.
pub(crate) fn breaks() -> Vec<String> {
    let mut breaks = Vec::new();
    for source in Source::below("src/mesh") {
        let own = group(&source.path);
        for statement in statements(&source) {
            let used = named(&statement).into_iter().map(|(group, _)| group);
            let above = used.filter(|used| *used != own && layer(used) >= layer(own));
            breaks.extend(above.map(|used| format!("{} uses {used}", source.path)));
        }
    }
    breaks.sort();
    breaks.dedup();
    breaks
}

/// Returns which modules use which others of the same group, by their paths from the core.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in Source::below("src/mesh") {
        let mut parts = source.path["src/mesh/".len()..].trim_end_matches(".rs").split('/');
        let (Some(group), Some(own)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_whole = parts.next().is_none();
        let from = uses.entry(format!("{group}/{own}")).or_default();
        for statement in statements(&source) {
            let siblings = statement
                .split("super::")
                .skip(1)
                .flat_map(branches)
                .map(|(module, _)| (group, module));
            let siblings = siblings.filter(|_| is_whole && !statement.contains("super::super"));
            let used: Vec<(&str, &str)> = named(&statement).into_iter().chain(siblings).collect();
            let same_group = used.into_iter().filter(|(of, module)| *of == group && *module != own);
            from.extend(same_group.map(|(of, module)| format!("{of}/{module}")));
        }
    }
    uses
}

#[test]
fn no_modules_of_a_group_use_each_other_in_a_circle() {
    let mut uses = uses();
    assert!(uses.values().any(|used| !used.is_empty()), "no use was found");
    // Modules that use nothing that is left are taken away; a circle stays.
    loop {
        let before = uses.len();
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, used| used.iter().any(|module| left.contains(module)));
        if uses.len() == before {
            break;
        }
    }
    assert!(uses.is_empty(), "in a circle, or above one: {uses:#?}");
}

#[test]
fn no_module_uses_a_layer_above_its_own() {
    let breaks = breaks();
    assert!(breaks.is_empty(), "{}", breaks.join("\n"));
}

#[test]
fn groups_are_found_in_every_form_of_import() {
    let statement =
        "use crate::mesh::base::time; let x = crate::mesh::{reach::{link, probe}, show::event}; crate::mesh::keep";
    let expected = [
        ("base", "time"),
        ("reach", "link"),
        ("reach", "probe"),
        ("show", "event"),
        ("keep", ""),
    ];
    assert_eq!(named(statement), expected);
}
