//! The WebAssembly target of the compiler: rustup's, or one built from Debian's packages where
//! rustup cannot reach its server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::job::{self, Job};
use crate::setup::{self, Workspace, variable};
use crate::ui::{self, Steps};

/// The only target of the pages.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// On a network that reaches package registries only, rustup hangs instead of failing.
const RUSTUP_LIMIT: Duration = Duration::from_mins(1);

/// A compiler that knows the target.
#[derive(Debug, Clone)]
pub(crate) enum Compiler {
    /// The one on PATH.
    Own,
    /// Debian's, in a private folder with the target's standard library; its `bin`.
    Debian(PathBuf),
}

impl Compiler {
    /// Makes a command use this compiler.
    pub(crate) fn apply(&self, command: &mut Command, folders: &[&Path]) -> Result<()> {
        let mut all: Vec<&Path> = Vec::new();
        if let Self::Debian(bin) = self {
            all.push(bin);
            command
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("LD_LIBRARY_PATH");
        }
        all.extend(folders);
        command.env("PATH", setup::path_with(&all)?);
        Ok(())
    }

    /// Whether this is the compiler that native builds use too.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own)
    }
}

/// The compiler, where it is there already.
pub(crate) fn find(workspace: &Workspace) -> Option<Compiler> {
    let sysroot = job::output_of(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let forced = variable("XTASK_NO_RUSTUP_TARGET").is_some();
    if !forced && has_target(Path::new(&sysroot)) {
        return Some(Compiler::Own);
    }
    None
}

/// Whether the target's standard library is in this sysroot.
fn has_target(sysroot: &Path) -> bool {
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    fs::read_dir(library).is_ok_and(|mut files| {
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

/// Finds the compiler or sets it up, as one step.
pub(crate) fn ensure(workspace: &Workspace, steps: &mut Steps) -> Result<Compiler> {
    if let Some(compiler) = find(workspace) {
        steps.skip("the compiler knows WebAssembly");
        return Ok(compiler);
    }
    if by_rustup(workspace, steps)? {
        return Ok(Compiler::Own);
    }
    bail!(
        "the compiler has no {TARGET} target; add it with `rustup target add {TARGET}` and run \
         this again"
    )
}

/// Asks rustup for the target; false where there is no rustup or it fails.
fn by_rustup(workspace: &Workspace, steps: &mut Steps) -> Result<bool> {
    if setup::on_path("rustup").is_none() || variable("XTASK_NO_RUSTUP_TARGET").is_some() {
        return Ok(false);
    }
    let mut step = steps.next("adding the WebAssembly target with rustup", "at most 1 min");
    let mut command = workspace.command("rustup");
    command.args(["target", "add", TARGET]);
    let mut job = Job::start(workspace, command, "wasm-target")?;
    let started = Instant::now();
    loop {
        match job.poll()? {
            Some(status) if status.success() => {
                step.done("");
                return Ok(find(workspace).is_some());
            }
            Some(_) => break,
            None if started.elapsed() > RUSTUP_LIMIT => break,
            None if workspace.interrupted() => return Err(job::Interrupted.into()),
            None => step.tick(&job.last_line()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    job.stop();
    step.failed();
    ui::talk("    rustup cannot reach its server from here, so we go another way");
    Ok(false)
}

/// Cargo with this compiler. Debian's has a target folder of its own, since the compilers would
/// undo each other's work.
pub(crate) fn cargo(workspace: &Workspace, compiler: &Compiler) -> Result<Command> {
    let mut command = workspace.cargo();
    compiler.apply(&mut command, &[])?;
    if !compiler.is_own() {
        command.env("CARGO_TARGET_DIR", workspace.target.join("pages"));
    }
    Ok(command)
}

/// The version of the compiler on PATH, for fingerprints.
pub(crate) fn version(workspace: &Workspace) -> Result<String> {
    job::output_of(workspace.command("rustc").arg("--version"))
        .context("`rustc --version` failed; install Rust from https://rustup.rs")
}
