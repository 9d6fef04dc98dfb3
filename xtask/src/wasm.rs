//! The WebAssembly target of the compiler: rustup's, or one built from Debian's packages where
//! rustup cannot reach its server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::job::{self, Job};
use crate::setup::{self, Workspace, variable};
use crate::ui::{self, Steps};

/// The only target of the pages.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// On a network that reaches package registries only, rustup hangs instead of failing.
const RUSTUP_LIMIT: Duration = Duration::from_mins(1);
/// Debian's compiler, cargo, the sources of the standard library and what links WebAssembly.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
/// Not the one on PATH, which is rustup's.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

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
    let debian = Debian::below(&workspace.cache);
    debian
        .is_ready()
        .then(|| Compiler::Debian(debian.root.join("bin")))
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
    by_debian(workspace, steps)
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
    // The next way is another step.
    steps.more(1);
    ui::talk("    rustup cannot reach its server from here, so we go another way");
    Ok(false)
}

/// Debian's compiler for WebAssembly. Its packages bring no standard library for the target, but the
/// sources of one, which are compiled once.
fn by_debian(workspace: &Workspace, steps: &mut Steps) -> Result<Compiler> {
    let why = format!("The compiler lacks {TARGET}, which `rustup target add {TARGET}` brings");
    setup::install(workspace, &why, &PACKAGES)?;
    // A link to the linker of the very version, which the packages only suggest.
    let linker = fs::read_link("/usr/bin/rust-lld").context("finding Debian's linker")?;
    if setup::on_path(&linker.to_string_lossy()).is_none() {
        setup::install(workspace, &why, &[&linker.to_string_lossy()])?;
    }

    let debian = Debian::below(&workspace.cache);
    let step = steps.next(
        "compiling the standard library for WebAssembly",
        "about 1 min, once",
    );
    debian.prepare()?;
    let mut cargo = workspace.command(DEBIAN_CARGO);
    cargo
        .args(["build", "--release", "--target", TARGET])
        .args(["-Z", "build-std=std,panic_abort,panic_unwind,proc_macro"])
        .current_dir(debian.source())
        .env("PATH", setup::path_with(&[Path::new("/usr/bin")])?)
        // Building std is no stable feature, though it is Debian's stable compiler that does it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", debian.source().join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("LD_LIBRARY_PATH");
    job::run(workspace, step, cargo, "wasm-std")?;
    debian.assemble()?;
    Ok(Compiler::Debian(debian.root.join("bin")))
}

/// A sysroot of our own in the cache folder, beside Debian's, which stays as it is: Debian's
/// libraries by links, and the standard library that we compiled.
#[derive(Debug)]
struct Debian {
    root: PathBuf,
}

impl Debian {
    fn below(cache: &Path) -> Self {
        Self {
            root: cache.join("rust-for-wasm"),
        }
    }

    fn source(&self) -> PathBuf {
        self.root.join("std")
    }

    fn stamp(&self) -> PathBuf {
        self.root.join("version")
    }

    /// Whether the sysroot is whole, and of the compiler that is installed now.
    fn is_ready(&self) -> bool {
        debian_version().is_some_and(|version| {
            fs::read_to_string(self.stamp()).is_ok_and(|stamped| stamped == version)
                && has_target(&self.root)
        })
    }

    /// Empties the folder and writes the empty crate whose dependencies std is.
    fn prepare(&self) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)
                .with_context(|| format!("emptying {}", self.root.display()))?;
        }
        let crate_files = [
            (
                "Cargo.toml",
                "[package]\nname = \"std-for-wasm\"\nedition = \"2024\"\n\n[workspace]\n",
            ),
            ("src/lib.rs", ""),
        ];
        for (name, text) in crate_files {
            write(&self.source().join(name), text)?;
        }
        Ok(())
    }

    fn assemble(&self) -> Result<()> {
        let library = self.root.join("lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&library).with_context(|| format!("creating {}", library.display()))?;
        let built = self
            .source()
            .join("target")
            .join(TARGET)
            .join("release/deps");
        let entries =
            fs::read_dir(&built).with_context(|| format!("reading {}", built.display()))?;
        for entry in entries {
            let path = entry.context("reading the standard library")?.path();
            let Some(name) = path.file_name().filter(|_| {
                path.extension()
                    .is_some_and(|extension| extension == "rlib")
            }) else {
                continue;
            };
            fs::copy(&path, library.join(name)).context("copying the standard library")?;
        }
        let theirs = Path::new("/usr/lib/rustlib");
        let entries =
            fs::read_dir(theirs).with_context(|| format!("reading {}", theirs.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", theirs.display()))?;
            let link = self.root.join("lib/rustlib").join(entry.file_name());
            if !link.exists() {
                symlink(entry.path(), &link)
                    .with_context(|| format!("linking {}", link.display()))?;
            }
        }
        let bin = self.root.join("bin");
        for program in ["rustc", "rustdoc"] {
            let file = bin.join(program);
            let root = self.root.display();
            write(
                &file,
                &format!("#!/bin/sh\nexec /usr/bin/{program} --sysroot '{root}' \"$@\"\n"),
            )?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("making {} run", file.display()))?;
        }
        symlink(DEBIAN_CARGO, bin.join("cargo")).context("linking Debian's cargo")?;
        // It was needed for its libraries only, and is larger than they are.
        fs::remove_dir_all(self.source()).context("removing what std was built in")?;
        // Last, since it says that all of this is whole.
        let version = debian_version().context("Debian's rustc does not say its version")?;
        write(&self.stamp(), &version)
    }
}

fn debian_version() -> Option<String> {
    job::output_of(
        Command::new("/usr/bin/rustc")
            .arg("--version")
            .env_remove("LD_LIBRARY_PATH"),
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysroot_has_the_target_when_its_std_is_there() {
        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("lib/rustlib").join(TARGET).join("lib");

        assert!(!has_target(root.path()));
        write(&library.join("libcore-1.rlib"), "").unwrap();
        assert!(!has_target(root.path()));
        write(&library.join("libstd-1.rlib"), "").unwrap();
        assert!(has_target(root.path()));
    }

    #[test]
    fn a_half_built_sysroot_is_not_ready() {
        let cache = tempfile::tempdir().unwrap();
        let debian = Debian::below(cache.path());

        debian.prepare().unwrap();

        assert!(debian.source().join("src/lib.rs").is_file());
        assert!(!debian.is_ready());
    }
}
