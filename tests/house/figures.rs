//! Figures about the code, each with the most that is accepted. A change that makes one smaller lowers its limit.

use std::collections::{BTreeMap, BTreeSet};

use crate::layers;
use crate::source::Source;

/// The most fields and methods of `Node`.
const NODE_FIELDS: usize = 48;
const NODE_METHODS: usize = 222;
/// The most files that hold methods of one type, and how many types have more than three.
const FILES_OF_A_TYPE: usize = 24;
const TYPES_IN_MORE_THAN_THREE_FILES: usize = 4;
/// The most lines of one function outside tests.
const LINES_OF_A_FUNCTION: usize = 85;
/// How many files outside tests have more than 400 lines.
const LONG_FILES: usize = 11;
/// How many sentences in comments open with a free relative ("What", "Who", "Whoever" and the like).
const FREE_RELATIVES: usize = 876;
/// How many names of tests have more than 60 characters.
const LONG_TEST_NAMES: usize = 166;

/// The words with which a sentence opens that names no thing.
const RELATIVES: [&str; 7] = ["What", "Who", "Whoever", "Whatever", "Whose", "Whom", "Where"];

/// A figure with its limit, and the items behind it.
struct Figure {
    name: &'static str,
    value: usize,
    limit: usize,
    items: Vec<String>,
}

#[test]
fn figures_are_within_their_limits() {
    let sources = Source::below("src");
    let everywhere: Vec<Source> = ["src", "tests", "benches", "fuzz", "examples"]
        .into_iter()
        .flat_map(Source::below)
        .collect();
    let mut figures = types(&sources);
    figures.push(functions(&sources));
    figures.push(files(&sources));
    figures.push(relatives(&everywhere));
    figures.push(tests(&everywhere));
    let breaks = layers::breaks();
    figures.push(Figure {
        name: "import-layer breaks",
        value: breaks.len(),
        limit: 0,
        items: breaks,
    });
    for figure in &figures {
        println!("{:5} of {:4}  {}", figure.value, figure.limit, figure.name);
        figure.items.iter().for_each(|item| println!("               {item}"));
    }
    let beyond = figures.iter().filter(|figure| figure.value > figure.limit);
    let beyond: Vec<&str> = beyond.map(|figure| figure.name).collect();
    assert!(beyond.is_empty(), "more than before: {beyond:?}; see `tests/run house`");
}

/// Returns the name of the type that a line begins inherent methods of.
fn inherent(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generic) => generic.split_once("> ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    let is_inherent = !rest.contains(" for ") && !rest[..end].is_empty();
    is_inherent.then_some(&rest[..end])
}

/// Returns whether a line begins a function, at whatever indent.
fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_visibility = |word: &str| word.starts_with("pub") || word.starts_with("super") || word.starts_with("crate");
    let first = words.find(|word| !is_visibility(word) && !["const", "async", "in"].contains(word));
    first == Some("fn") && line.contains('(')
}

/// Returns the files that define a type, by its name.
fn definitions(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        for (_, line) in source.production() {
            let words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
            let mut words = words.take(2);
            if matches!(words.next(), Some("struct" | "enum")) {
                let name = words.next().unwrap_or_default();
                let end = name
                    .find(|letter: char| !letter.is_alphanumeric())
                    .unwrap_or(name.len());
                defined
                    .entry(name[..end].to_owned())
                    .or_default()
                    .push(source.path.clone());
            }
        }
    }
    defined
}

/// Returns the file that defines the type whose methods a file has: the one with which its path has most in common.
fn home<'a>(files: &'a [String], user: &str) -> Option<&'a String> {
    let common = |file: &str| {
        file.bytes()
            .zip(user.bytes())
            .take_while(|(one, other)| one == other)
            .count()
    };
    files.iter().max_by_key(|file| common(file))
}

/// Returns the figures about types: fields and methods of `Node`, and files with methods of each type.
fn types(sources: &[Source]) -> Vec<Figure> {
    let defined = definitions(sources);
    let mut files: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut node_methods = 0;
    for source in sources {
        let mut current = None;
        for (_, line) in source.production() {
            if let Some(name) = inherent(line) {
                let home = defined.get(name).and_then(|files| home(files, &source.path));
                current = home.map(|home| (name.to_owned(), home.clone()));
                if let Some(of) = &current {
                    files.entry(of.clone()).or_default().insert(source.path.clone());
                }
            } else if line == "}" {
                current = None;
            }
            let is_nodes = current
                .as_ref()
                .is_some_and(|(name, home)| name == "Node" && home == "src/mesh/node.rs");
            node_methods +=
                usize::from(is_nodes && is_function(line) && line.starts_with("    ") && !line.starts_with("     "));
        }
    }
    let node = sources
        .iter()
        .find(|source| source.path == "src/mesh/node.rs")
        .expect("there is a node");
    let fields = node.production().skip_while(|(_, line)| *line != "pub struct Node {");
    let fields = fields.take_while(|(_, line)| *line != "}");
    let is_field = |line: &str| line.contains(": ") && !line.trim_start().starts_with("//");
    let fields = fields.filter(|(_, line)| is_field(line)).count();
    let many: Vec<_> = files.iter().filter(|(_, files)| files.len() > 3).collect();
    let items = many
        .iter()
        .map(|((name, home), files)| format!("{name} of {home}: {} files", files.len()));
    vec![
        figure("fields of Node", fields, NODE_FIELDS),
        figure("methods of Node", node_methods, NODE_METHODS),
        figure(
            "files with methods of one type, at most",
            files.values().map(BTreeSet::len).max().unwrap_or(0),
            FILES_OF_A_TYPE,
        ),
        Figure {
            items: items.collect(),
            ..figure(
                "types with methods in more than three files",
                many.len(),
                TYPES_IN_MORE_THAN_THREE_FILES,
            )
        },
    ]
}

fn figure(name: &'static str, value: usize, limit: usize) -> Figure {
    Figure {
        name,
        value,
        limit,
        items: Vec::new(),
    }
}

/// Returns the longest functions outside tests.
fn functions(sources: &[Source]) -> Figure {
    let mut lengths: Vec<(usize, String)> = Vec::new();
    for source in sources {
        let lines: Vec<(usize, &str)> = source.production().collect();
        for (at, (number, line)) in lines.iter().enumerate().filter(|(_, (_, line))| is_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", &line[..indent]);
            let length = lines[at..]
                .iter()
                .position(|(_, line)| *line == end || line.ends_with(';') && line.len() < indent);
            let one_line = line.ends_with('}') || line.ends_with(';');
            let length = if one_line {
                1
            } else {
                length.map_or(1, |length| length + 1)
            };
            lengths.push((length, format!("{}:{number}", source.path)));
        }
    }
    lengths.sort_by(|one, other| other.cmp(one));
    Figure {
        items: lengths
            .iter()
            .take(10)
            .map(|(length, place)| format!("{length:4} {place}"))
            .collect(),
        ..figure(
            "lines of the longest function",
            lengths.first().map_or(0, |(length, _)| *length),
            LINES_OF_A_FUNCTION,
        )
    }
}

/// Returns the files that are too long to be read at once.
fn files(sources: &[Source]) -> Figure {
    let long = sources
        .iter()
        .filter(|source| !source.is_test() && source.lines.len() > 400);
    let items: Vec<String> = long
        .map(|source| format!("{:4} {}", source.lines.len(), source.path))
        .collect();
    Figure {
        value: items.len(),
        items,
        ..figure("files of more than 400 lines", 0, LONG_FILES)
    }
}

/// Returns how many sentences in comments open with a relative that stands for no noun; questions may.
fn relatives(sources: &[Source]) -> Figure {
    let mut sentences = 0;
    let mut by_file: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        for text in comments(&source.lines) {
            for sentence in text.split_inclusive(['.', '?', ':', '!']) {
                sentences += 1;
                let opens = sentence
                    .split_whitespace()
                    .next()
                    .is_some_and(|word| RELATIVES.contains(&word));
                if opens && !sentence.ends_with('?') {
                    *by_file.entry(&source.path).or_default() += 1;
                }
            }
        }
    }
    assert!(sentences > 1_000, "no comments were found");
    let mut worst: Vec<(usize, &str)> = by_file.iter().map(|(path, number)| (*number, *path)).collect();
    worst.sort_by(|one, other| other.cmp(one));
    Figure {
        items: worst
            .iter()
            .take(10)
            .map(|(number, path)| format!("{number:4} {path}"))
            .collect(),
        ..figure(
            "sentences in comments that open with a free relative",
            by_file.values().sum(),
            FREE_RELATIVES,
        )
    }
}

/// Returns the comments of a file, each with all its lines.
fn comments(lines: &[String]) -> Vec<String> {
    let mut comments = Vec::new();
    let mut current = String::new();
    for line in lines {
        let line = line.trim_start();
        match line.strip_prefix("//") {
            Some(text) => {
                current.push_str(text.trim_start_matches(['/', '!']));
                current.push(' ');
            }
            None if current.is_empty() => {}
            None => comments.push(std::mem::take(&mut current)),
        }
    }
    comments.push(current);
    comments
}

/// Returns the names of tests that are stories rather than names.
fn tests(sources: &[Source]) -> Figure {
    let mut long = Vec::new();
    let mut tests = 0;
    for source in sources {
        let mut is_test = false;
        for line in source.lines.iter().map(|line| line.trim_start()) {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            if let (true, Some(at)) = (is_test || line.starts_with("fn "), line.find("fn ")) {
                let name = line[at + 3..].split('(').next().unwrap_or_default();
                tests += usize::from(is_test);
                if is_test && name.len() > 60 {
                    long.push(format!("{} {name}", source.path));
                }
                is_test = false;
            }
        }
    }
    assert!(tests > 500, "no tests were found");
    Figure {
        value: long.len(),
        items: long.into_iter().take(5).collect(),
        ..figure("names of tests with more than 60 characters", 0, LONG_TEST_NAMES)
    }
}
