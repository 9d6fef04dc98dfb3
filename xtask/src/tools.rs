//! Trunk and wasm-bindgen: found in the right version, or kept in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::job::{self, Job};
use crate::setup::{self, Workspace, variable};
use crate::ui::Steps;

/// The version that `Trunk.toml` is written for.
pub(crate) const TRUNK: &str = "0.21.14";

/// The tools' files.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The program `trunk`.
    pub(crate) trunk: PathBuf,
    /// The program `wasm-bindgen`.
    pub(crate) wasm_bindgen: PathBuf,
}

impl Tools {
    /// The folders to put before PATH.
    pub(crate) fn folders(&self) -> Vec<&Path> {
        [self.wasm_bindgen.parent(), self.trunk.parent()]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Finds both tools or installs them, each as one step.
pub(crate) fn ensure(workspace: &Workspace, steps: &mut Steps) -> Result<Tools> {
    let trunk = tool(
        workspace,
        steps,
        "trunk",
        "trunk",
        TRUNK,
        &["--no-default-features", "--features", "rustls"],
    )?;
    let wasm_bindgen = wasm_bindgen(workspace, steps)?;
    Ok(Tools {
        trunk,
        wasm_bindgen,
    })
}

/// Finds wasm-bindgen or installs it, as one step.
pub(crate) fn wasm_bindgen(workspace: &Workspace, steps: &mut Steps) -> Result<PathBuf> {
    let version = wasm_bindgen_version(workspace)?;
    tool(
        workspace,
        steps,
        "wasm-bindgen-cli",
        "wasm-bindgen",
        &version,
        &[],
    )
}

/// The runner of tests in WebAssembly, which comes in the same package.
pub(crate) fn test_runner(wasm_bindgen: &Path) -> PathBuf {
    wasm_bindgen.with_file_name("wasm-bindgen-test-runner")
}

/// The version of wasm-bindgen in `Cargo.lock`: the tool must be exactly the library's.
fn wasm_bindgen_version(workspace: &Workspace) -> Result<String> {
    let lock = workspace.root.join("Cargo.lock");
    let text = fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
    locked_version(&text, "wasm-bindgen")
        .context("Cargo.lock has no wasm-bindgen; `cargo update --workspace` writes it anew")
}

/// The version of a package in the text of a lock file.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| line.trim() != name);
    let version = lines.nth(1)?;
    Some(
        version
            .trim()
            .strip_prefix("version = \"")?
            .strip_suffix('"')?
            .to_owned(),
    )
}

/// The version in what a tool answers to `--version`: `trunk 0.21.14`, `wasm-bindgen 0.2.130 (…)`.
fn spoken_version(answer: &str) -> Option<&str> {
    answer.split_whitespace().nth(1)
}

fn has_version(program: &Path, version: &str) -> bool {
    job::output_of(Command::new(program).arg("--version"))
        .is_some_and(|answer| spoken_version(&answer) == Some(version))
}

fn tool(
    workspace: &Workspace,
    steps: &mut Steps,
    package: &str,
    program: &str,
    version: &str,
    features: &[&str],
) -> Result<PathBuf> {
    let root = workspace
        .cache
        .join("tools")
        .join(format!("{package}-{version}"));
    let cached = root.join("bin").join(program);
    let candidates = [Some(cached.clone()), setup::on_path(program)];
    if let Some(found) = candidates
        .into_iter()
        .flatten()
        .find(|program| has_version(program, version))
    {
        steps.skip(&format!("{package} {version} is there"));
        return Ok(found);
    }
    if install(workspace, steps, package, version, &root, features)?
        && has_version(&cached, version)
    {
        return Ok(cached);
    }
    bail!(
        "{package} {version} could not be installed; the reason is in {}",
        workspace.log(package)?.display()
    )
}

/// Installs a tool into the cache: a prebuilt one by cargo-binstall where that is there, else
/// compiled quickly, since a build tool that runs for seconds is not worth optimising.
fn install(
    workspace: &Workspace,
    steps: &mut Steps,
    package: &str,
    version: &str,
    root: &Path,
    features: &[&str],
) -> Result<bool> {
    let hint = if package == "trunk" {
        "about 3 min, once"
    } else {
        "about 1 min, once"
    };
    let mut step = steps.next(&format!("installing {package} {version}"), hint);
    let mut ways = Vec::new();
    if setup::on_path("cargo-binstall").is_some() {
        let mut binstall = workspace.command("cargo");
        binstall.args(["binstall", "--no-confirm", "--version", version, "--root"]);
        binstall
            .arg(root)
            .args(["--disable-strategies", "compile", package]);
        ways.push(binstall);
    }
    // The second way is for a lock file in the package that no longer resolves.
    for locked in [true, false] {
        let mut command = workspace.command("cargo");
        command
            .args(["install", package, "--version", version])
            .args(features);
        command
            .args(locked.then_some("--locked"))
            .arg("--root")
            .arg(root);
        // Not inside the workspace, whose configuration is not the tool's.
        command.current_dir(&workspace.cache);
        command
            // Cargo then builds in a temporary folder, instead of leaving a gigabyte behind.
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        ways.push(command);
    }
    fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
    for command in ways {
        let mut job = Job::start(workspace, gently(command), package)?;
        if job.wait(workspace, &mut step)?.success() {
            step.done("");
            return Ok(true);
        }
    }
    step.failed();
    job::show_tail(&workspace.log(package)?, 20);
    Ok(false)
}

/// Lets the server's build go first: it is what people wait for.
pub(crate) fn gently(command: Command) -> Command {
    if setup::on_path("nice").is_none() || variable("XTASK_NO_NICE").is_some() {
        return command;
    }
    let mut gentle = Command::new("nice");
    gentle
        .args(["-n", "10"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        gentle.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => gentle.env(name, value),
            None => gentle.env_remove(name),
        };
    }
    gentle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_is_that_of_the_very_package() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"9.9.9\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";

        assert_eq!(
            locked_version(lock, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(locked_version(lock, "trunk"), None);
    }

    #[test]
    fn a_tools_answer_holds_its_version() {
        assert_eq!(spoken_version("trunk 0.21.14"), Some("0.21.14"));
        assert_eq!(
            spoken_version("wasm-bindgen 0.2.130 (abc)"),
            Some("0.2.130")
        );
        assert_eq!(spoken_version(""), None);
    }
}
