//! Tasks of the source tree itself: `cargo run -p xtask -- <task>`.

mod gen_ops;

use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo run -p xtask -- gen-ops [--check]";

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["gen-ops"] => gen_ops::write(&root()),
        ["gen-ops", "--check"] => gen_ops::check(&root()),
        _ => anyhow::bail!(USAGE),
    }
}

/// The root of the source tree this program was built from.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
