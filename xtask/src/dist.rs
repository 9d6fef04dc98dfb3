//! `cargo xtask dist`: one stripped binary with the pages inside.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::job;
use crate::pages;
use crate::setup::{Workspace, variable};
use crate::ui::{self, Steps};

/// Builds `target/dist/countersign` and says how big everything is.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(pages::steps(workspace)? + 1);
    pages::build_if_stale(workspace, &mut steps)?;

    let linking = Linking::of(workspace);
    let step = steps.next("compiling the binary", "about 4 min the first time");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "countersign", "--profile", "dist"]);
    cargo.args(["--features", "embed-ui"]);
    let binary = workspace.target.join("dist/countersign");
    if let Linking::Static { target } = &linking {
        // Named although it is this machine's own: so the flag stays away from build scripts and
        // macros, which have to be loaded dynamically.
        let own = variable("RUSTFLAGS").unwrap_or_default();
        let flags = format!("{} -C target-feature=+crt-static", own.to_string_lossy());
        cargo
            .args(["--target", target])
            .env("RUSTFLAGS", flags.trim());
        job::run(workspace, step, cargo, "dist")?;
        let built = workspace.target.join(target).join("dist/countersign");
        let folder = binary.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::copy(&built, &binary).with_context(|| format!("copying {}", built.display()))?;
    } else {
        job::run(workspace, step, cargo, "dist")?;
    }

    let size = fs::metadata(&binary).with_context(|| format!("reading {}", binary.display()))?;
    let (wasm, script) = pages::sizes(workspace)?;
    ui::say(&format!(
        "{} {}, {}",
        binary.display(),
        ui::spoken_size(size.len()),
        linking.spoken(&binary)?
    ));
    ui::say(&format!(
        "pages after Brotli: {} WebAssembly, {} JavaScript",
        ui::spoken_size(wasm),
        ui::spoken_size(script)
    ));
    Ok(())
}

/// What the binary needs of the machine that it runs on.
#[derive(Debug, PartialEq, Eq)]
enum Linking {
    /// Nothing but the kernel.
    Static {
        /// The target, by its name.
        target: String,
    },
    /// The C library, for this reason.
    Dynamic(&'static str),
}

impl Linking {
    fn of(workspace: &Workspace) -> Self {
        let host = job::output_of(workspace.command("rustc").arg("-vV"));
        let archive = job::output_of(workspace.command("cc").arg("-print-file-name=libc.a"));
        Self::choose(host.as_deref().and_then(host_of), archive.as_deref())
    }

    /// glibc can be linked statically since names are resolved without loading more of it (2.34);
    /// `cc` answers with a path where its archive is installed, and with the bare name where not.
    fn choose(host: Option<&str>, archive: Option<&str>) -> Self {
        match host {
            Some(host) if host.ends_with("-linux-gnu") => {
                if archive.is_some_and(|path| Path::new(path.trim()).is_absolute()) {
                    Self::Static {
                        target: host.to_owned(),
                    }
                } else {
                    Self::Dynamic("dynamically linked: the C library has no libc.a here")
                }
            }
            // Static by itself.
            Some(host) if host.ends_with("-linux-musl") => Self::Static {
                target: host.to_owned(),
            },
            _ => Self::Dynamic("dynamically linked, as this system wants it"),
        }
    }

    /// What the binary itself says, since it may have been linked otherwise than it was asked for.
    fn spoken(&self, binary: &Path) -> Result<&'static str> {
        let bytes = fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
        Ok(match self {
            Self::Static { .. } if names_a_loader(&bytes) => "dynamically linked all the same",
            Self::Static { .. } => "statically linked",
            Self::Dynamic(reason) => reason,
        })
    }
}

/// Whether an ELF file wants a dynamic loader, whose path then stands right behind its headers.
fn names_a_loader(elf: &[u8]) -> bool {
    const LOADER: &[u8] = b"/ld-";
    const HEADERS: usize = 4096;

    let headers = &elf[..elf.len().min(HEADERS)];
    headers.windows(LOADER.len()).any(|bytes| bytes == LOADER)
}

/// The machine's own target, from what `rustc -vV` says.
fn host_of(version: &str) -> Option<&str> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_that_wants_a_loader_says_so() {
        assert!(names_a_loader(
            b"\x7fELF....../lib64/ld-linux-x86-64.so.2\0"
        ));
        assert!(!names_a_loader(b"\x7fELF......"));
    }

    #[test]
    fn binary_is_static_where_the_c_library_can_be() {
        let gnu = host_of("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n");
        let target = "x86_64-unknown-linux-gnu".to_owned();

        assert_eq!(
            Linking::choose(gnu, Some("/usr/lib/x86_64-linux-gnu/libc.a\n")),
            Linking::Static { target }
        );
        assert!(matches!(
            Linking::choose(gnu, Some("libc.a\n")),
            Linking::Dynamic(_)
        ));
        assert!(matches!(Linking::choose(gnu, None), Linking::Dynamic(_)));
        let mac = Some("aarch64-apple-darwin");
        assert!(matches!(Linking::choose(mac, None), Linking::Dynamic(_)));
    }
}
