//! Any text as a configuration: nothing may panic, an error is one line, and what is read is dumped so that it reads the same.

use std::path::Path;

use wirelink::config::{FileFormat, parse};

/// The first byte says which format the rest is in.
pub(crate) fn run(data: &[u8]) {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let format = FileFormat::ALL[usize::from(*first) % FileFormat::ALL.len()];
    match parse(format, Path::new("file"), text) {
        Ok(config) => {
            let dumped = config.to_json();
            let again = parse(FileFormat::Json, Path::new("dumped"), dumped.as_bytes());
            let again = again.unwrap_or_else(|error| panic!("our own dump is refused: {error}\n{dumped}"));
            assert_eq!(again.to_json(), dumped);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty() && !message.contains(char::is_control),
                "{message:?}"
            );
        }
    }
}
