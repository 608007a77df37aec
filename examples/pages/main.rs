//! Writes the completions and man pages in `packaging/` anew: `cargo run --example pages`. A test compares.

mod pages;

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for folder in pages::FOLDERS {
        let folder = packaging.join(folder);
        // What a command that is gone left behind.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => fs::create_dir_all(&folder)?,
        }
    }
    for (path, content) in pages::all()? {
        fs::write(packaging.join(path), content)?;
    }
    Ok(())
}
