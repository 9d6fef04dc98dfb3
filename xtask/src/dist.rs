//! `cargo xtask dist`: one stripped binary with the pages inside.

use std::fs;

use anyhow::{Context, Result};

use crate::job;
use crate::pages;
use crate::setup::Workspace;
use crate::ui::{self, Steps};

/// Builds `target/dist/countersign` and says how big everything is.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(pages::steps(workspace)? + 1);
    pages::build_if_stale(workspace, &mut steps)?;

    let step = steps.next("compiling the binary", "about 6 min the first time");
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--package",
        "countersign",
        "--profile",
        "dist",
        "--features",
        "embed-ui",
    ]);
    job::run(workspace, step, cargo, "dist")?;

    let binary = workspace.target.join("dist/countersign");
    let size = fs::metadata(&binary).with_context(|| format!("reading {}", binary.display()))?;
    let (wasm, script) = pages::sizes(workspace)?;
    ui::say(&format!(
        "{} {}",
        binary.display(),
        ui::spoken_size(size.len())
    ));
    ui::say(&format!(
        "pages after Brotli: {} WebAssembly, {} JavaScript",
        ui::spoken_size(wasm),
        ui::spoken_size(script)
    ));
    Ok(())
}
