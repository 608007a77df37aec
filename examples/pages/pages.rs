//! Completions and man pages, as they follow from the tree of commands.

use std::collections::BTreeMap;
use std::io;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use wirelink::cli::Cli;

/// Where they are, in `packaging/`.
pub(crate) const FOLDERS: [&str; 2] = ["completions", "man"];

/// Administration (man-pages): most of it is for root.
const SECTION: &str = "8";

/// Returns all files with their content, by their paths in `packaging/`.
pub(crate) fn all() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for (shell, name) in [
        (Shell::Bash, "wirelink.bash"),
        (Shell::Zsh, "_wirelink"),
        (Shell::Fish, "wirelink.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "wirelink", &mut script);
        files.insert(format!("completions/{name}"), script);
    }
    let mut command = Cli::command();
    command.build();
    add_pages(&command, &mut files)?;
    Ok(files)
}

/// Leaves lines as they are where they are laid out: examples, files, variables.
fn as_typed(page: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&page);
    let text = text.replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    text.replace(".SH VERSION\n", ".fi\n.SH VERSION\n").into_bytes()
}

/// Adds the page of a command and those of its subcommands.
fn add_pages(command: &Command, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let man = Man::new(command.clone())
        .section(SECTION)
        .source(concat!("wirelink ", env!("CARGO_PKG_VERSION")))
        .manual("wirelink");
    let mut page = Vec::new();
    man.render(&mut page)?;
    files.insert(format!("man/{}", man.get_filename()), as_typed(page));
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| add_pages(below, files))
}
