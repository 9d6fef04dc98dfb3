//! What the tests with other people's libraries need: a Python environment of their own, with the
//! very packages that are written down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::job::{self, Job};
use crate::setup::{self, Workspace};
use crate::ui::Steps;

/// Whether a Python is new enough for the packages and can make environments: Debian's cannot,
/// without a package of its own for that.
const SUITABLE: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
/// What an environment was made of and by.
const STAMP: &str = "countersign-stamp";

/// Where the tests are.
pub(crate) fn suite(workspace: &Workspace) -> PathBuf {
    workspace.root.join("backend/tests/peers")
}

/// The example for Node, which has its packages beside it.
pub(crate) fn node_example(workspace: &Workspace) -> PathBuf {
    workspace.root.join("examples/node")
}

/// A Python that can make environments, installed where it is missing and that may be done.
pub(crate) fn interpreter(workspace: &Workspace) -> Result<PathBuf> {
    // The system's second: after its installation another one may still be first on PATH.
    let look = || {
        [setup::on_path("python3"), Some("/usr/bin/python3".into())]
            .into_iter()
            .flatten()
            .find(|python| job::output_of(Command::new(python).args(["-c", SUITABLE])).is_some())
    };
    if let Some(found) = look() {
        return Ok(found);
    }
    setup::install(
        workspace,
        "The tests with Python's libraries need Python 3.10 or newer with venv",
        &["python3", "python3-venv"],
    )?;
    look().context("Python is installed, but is older than 3.10 or has no venv")
}

/// The Python of an environment with the packages of `requirements.txt`, made as one step where it
/// is not there.
pub(crate) fn environment(
    workspace: &Workspace,
    steps: &mut Steps,
    interpreter: &Path,
) -> Result<PathBuf> {
    let requirements = suite(workspace).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let version = job::output_of(Command::new(interpreter).arg("--version"))
        .with_context(|| format!("{} does not say its version", interpreter.display()))?;
    let wanted = format!("{} {version}\n{wanted}", interpreter.display());

    let folder = workspace.target.join("peers/python");
    let stamp = folder.join(STAMP);
    let python = folder.join("bin/python");
    let is_made = fs::read_to_string(&stamp).is_ok_and(|made| made == wanted);
    if is_made && job::output_of(Command::new(&python).args(["-c", ""])).is_some() {
        steps.skip("Python's packages are there");
        return Ok(python);
    }
    let mut step = steps.next("installing Python's packages", "");
    let mut make = workspace.command(interpreter);
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut fill = workspace.command(&python);
    // Nothing is compiled or run while it is installed, as with npm's `--ignore-scripts`.
    fill.args(["-m", "pip", "install", "--no-input", "--require-hashes"])
        .args(["--only-binary", ":all:", "--disable-pip-version-check"])
        .arg("--requirement")
        .arg(&requirements);
    for (command, log) in [(make, "python-venv"), (fill, "python-pip")] {
        let mut job = Job::start(workspace, isolated(command), log)?;
        let status = job.wait(workspace, &mut step)?;
        if !status.success() {
            step.failed();
            let log = workspace.log(log)?;
            job::show_tail(&log, 40);
            bail!(
                "Python's packages could not be installed; the reason is in {}",
                log.display()
            );
        }
    }
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    step.done("");
    Ok(python)
}

/// Without what would make Python look for packages elsewhere, and without leaving its own files
/// among the sources.
pub(crate) fn isolated(mut command: Command) -> Command {
    for name in ["PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV"] {
        command.env_remove(name);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
