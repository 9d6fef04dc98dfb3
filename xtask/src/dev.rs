//! `cargo xtask dev`: the server on port 3000, built anew when its sources change, and `trunk serve`
//! on port 8080 with live reload and a proxy to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::job::{Interrupted, Job};
use crate::pages::{self, Kit};
use crate::setup::{Workspace, variable};
use crate::ui::{self, Steps};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where browsers that send no `Sec-Fetch-Site` say that they are; without it they could not refresh
/// through Trunk's proxy.
const EXTRA_ORIGINS: (&str, &str) = (
    "COUNTERSIGN_DEV__EXTRA_ORIGINS",
    r#"["http://localhost:8080","http://127.0.0.1:8080"]"#,
);

/// Runs both until Ctrl-C.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(4);
    let kit = Kit::ensure(workspace, &mut steps)?;
    let mut trunk = kit.trunk(workspace)?;
    // Its own folder, since what it builds is neither small nor compressed.
    trunk
        .args(["serve", "--dist"])
        .arg(pages::target(workspace).join("dev"));
    trunk.stdin(Stdio::null());
    steps.skip("starting server and `trunk serve` on http://localhost:8080 (Ctrl-C ends both)");
    let mut trunk = adopted(workspace, &mut trunk, "trunk")?;

    let mut seen = changes(workspace)?;
    let mut server = build_and_start(workspace)?;
    while !workspace.interrupted() {
        thread::sleep(LOOK_EVERY);
        if trunk.poll()?.is_some() {
            anyhow::bail!("`trunk serve` ended; it says why above");
        }
        if let Some(running) = &mut server
            && let Some(status) = running.poll()?
        {
            ui::talk(&format!(
                "The server ended ({status}); it is started again after a change."
            ));
            server = None;
        }
        let now = changes(workspace)?;
        if now != seen {
            seen = now;
            ui::talk("The server's sources changed; compiling it.");
            // The old one goes on while the new one compiles, and ends before it starts.
            if compile(workspace)? {
                drop(server.take());
                server = Some(start(workspace)?);
            }
        }
    }
    drop(server);
    drop(trunk);
    Err(Interrupted.into())
}

fn adopted(workspace: &Workspace, command: &mut Command, name: &str) -> Result<Job> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child: Child = command
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    Ok(Job::adopt(child, workspace.log(name)?))
}

fn build_and_start(workspace: &Workspace) -> Result<Option<Job>> {
    if compile(workspace)? {
        Ok(Some(start(workspace)?))
    } else {
        Ok(None)
    }
}

/// Compiles the server; cargo says on the terminal what is wrong.
fn compile(workspace: &Workspace) -> Result<bool> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--package", "countersign"])
        .stdin(Stdio::null());
    let mut job = adopted(workspace, &mut cargo, "dev-server")?;
    loop {
        if let Some(status) = job.poll()? {
            return Ok(status.success());
        }
        if workspace.interrupted() {
            return Err(Interrupted.into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn start(workspace: &Workspace) -> Result<Job> {
    let mut server = workspace.command(workspace.target.join("debug/countersign"));
    server
        .args(["serve", "--port", "3000"])
        .stdin(Stdio::null());
    let (name, origins) = EXTRA_ORIGINS;
    if variable(name).is_none() {
        server.env(name, origins);
    }
    adopted(workspace, &mut server, "dev-server")
}

/// When each source of the server was last changed.
fn changes(workspace: &Workspace) -> Result<BTreeMap<PathBuf, SystemTime>> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) -> Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("reading {}", folder.display()))?
                .path();
            if path.is_dir() {
                walk(&path, found)?;
            } else if let Ok(time) = fs::metadata(&path).and_then(|data| data.modified()) {
                // An editor's file may be gone again by now, which is no change of ours.
                found.insert(path, time);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    for folder in ["backend/src", "backend/migrations", "shared/src"] {
        let folder = workspace.root.join(folder);
        if folder.is_dir() {
            walk(&folder, &mut found)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_source_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("lib.rs");
        fs::write(&source, "").unwrap();
        let before = fs::metadata(&source).unwrap().modified().unwrap();

        let file = fs::File::options().write(true).open(&source).unwrap();
        file.set_modified(before + Duration::from_secs(1)).unwrap();

        assert_ne!(fs::metadata(&source).unwrap().modified().unwrap(), before);
    }
}
