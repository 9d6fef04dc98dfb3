//! What every command needs to know of the machine, and system packages.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::job;
use crate::ui::{self, Steps};

/// The only reader of the environment in xtask.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The clone that xtask works on and the machine it works with.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The root of the clone.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// Tools that several clones share.
    pub(crate) cache: PathBuf,
    /// Whether a continuous integration runs us.
    pub(crate) ci: bool,
    interrupted: Arc<AtomicBool>,
}

impl Workspace {
    /// Looks where we are, and listens for Ctrl-C from here on.
    pub(crate) fn detect() -> Result<Self> {
        let manifest = variable("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("xtask's manifest has no folder above it")?
            .to_owned();
        let target =
            variable("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(target).context("finding the target folder")?;
        let cache = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .unwrap_or_else(|| target.clone())
            .join("countersign");
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .context("listening for Ctrl-C")?;
        }
        Ok(Self {
            root,
            target,
            cache,
            ci: variable("CI").is_some(),
            interrupted,
        })
    }

    /// Whether somebody wants us to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Makes everything under way end as Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// The path of the log of that name, in a folder that exists.
    pub(crate) fn log(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder.join(format!("{name}.log")))
    }

    /// A program that runs at the root, without what `cargo run` told xtask about itself.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let own = name.to_string_lossy();
            if own == "CARGO" || own.starts_with("CARGO_PKG_") || own.starts_with("CARGO_MANIFEST_")
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Cargo at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command("cargo");
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// Finds a program on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// PATH with folders before it.
pub(crate) fn path_with(folders: &[&Path]) -> Result<OsString> {
    let rest = variable("PATH").unwrap_or_default();
    let folders = folders.iter().map(|folder| (*folder).to_owned());
    env::join_paths(folders.chain(env::split_paths(&rest))).context("putting tools before PATH")
}

/// Whether we run as root.
pub(crate) fn is_root() -> bool {
    job::output_of(Command::new("id").arg("-u")).is_some_and(|id| id == "0")
}

/// Installs Debian packages, with the manners of the house: by itself only where nobody can be
/// asked and we are root; on a terminal it asks; otherwise it names the one command and stops.
pub(crate) fn install(workspace: &Workspace, why: &str, packages: &[&str]) -> Result<()> {
    let wanted = packages.join(" ");
    let command = format!("apt-get install --yes --no-install-recommends {wanted}");
    if on_path("apt-get").is_none() {
        bail!("{why}. Install what your system calls `{wanted}` and run this again.");
    }
    let by_hand = format!("{why}. Install it with:\n\n    sudo {command}\n\nand run this again.");
    if !is_root() {
        bail!(by_hand);
    }
    if io::stdin().is_terminal() && !workspace.ci {
        if !ui::ask(&format!("{why}. Run `{command}`?")).context("reading the answer")? {
            bail!(by_hand);
        }
    } else {
        ui::talk(&format!(
            "{why}, we are root and nobody can be asked: running `{command}`"
        ));
    }
    let mut steps = Steps::new(1);
    let step = steps.next(&format!("installing {wanted}"), "");
    // One shell, since the lists of packages may be missing or older than what the mirror holds.
    let script = format!("{command} || (apt-get update && {command})");
    let mut shell = workspace.command("sh");
    shell
        .args(["-c", &script])
        .env("DEBIAN_FRONTEND", "noninteractive");
    job::run(workspace, step, shell, "packages")
}
