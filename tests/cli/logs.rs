//! In which form lines are logged.

use serde_json::Value;

use crate::{Directory, output, stderr};

/// Returns what is logged about a variable that means nothing.
fn logged(format: &str) -> String {
    let directory = Directory::new();
    let mut command = directory.wirelink(&["--dump", "--log-format", format]);
    let done = output(command.env("WIRELINK_NONSENSE", "1"));
    assert_eq!(done.status.code(), Some(0));
    stderr(&done)
}

#[test]
fn a_line_is_an_object_where_that_is_wanted_and_text_else() {
    let json: Value = serde_json::from_str(logged("json").trim()).expect("one object");
    assert_eq!(json["level"], "warn", "{json}");
    assert!(json["time"].is_string(), "{json}");
    let message = json["message"].as_str().expect("a text");
    assert!(message.contains("WIRELINK_NONSENSE"), "{json}");
    for format in ["plain", "auto"] {
        let line = logged(format);
        assert!(line.contains("WARN") && line.contains(message), "{line}");
    }
}
