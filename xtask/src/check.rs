//! `cargo xtask check`: everything that can be known without running the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::counts::Counts;
use crate::directions;
use crate::job::{self, Interrupted, Job};
use crate::pages;
use crate::setup::Workspace;
use crate::ui::{self, Step, Steps};
use crate::wasm;

const README_LINES: usize = 150;
const SHOWN_LINES: usize = 100;

/// Runs every check, also after one failed, and says how to mend what did.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut run = Run {
        workspace,
        steps: Steps::new(15),
        counts: Counts::default(),
    };

    let mut format = workspace.cargo();
    format.args(["fmt", "--all", "--check"]);
    run.program(
        "format",
        "the sources' form",
        format,
        "`cargo fmt --all` mends it",
    )?;

    run.directions()?;
    run.texts()?;

    let deny = ["--all-targets", "--", "--deny", "warnings"];
    let mend = "`cargo clippy --fix --allow-dirty` mends some of them";
    let mut clippy = workspace.cargo();
    // The workspace's default members, as in the tests: the same features, compiled once.
    clippy.args(["clippy", "--features", REMOTE]).args(deny);
    run.program("clippy", "lints of server and shared", clippy, mend)?;
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--package", "xtask"]).args(deny);
    run.program("clippy-xtask", "lints of xtask", clippy, mend)?;
    let mut clippy = workspace.cargo();
    clippy.args([
        "clippy",
        "--package",
        "countersign",
        "--package",
        "countersign-types",
    ]);
    clippy
        .args(["--features", "countersign/embed-ui", "--features", REMOTE])
        .args(deny);
    if !pages::dist(workspace).join("index.html").is_file() {
        clippy.env("COUNTERSIGN_PAGES", stand_in(workspace)?);
    }
    run.program(
        "clippy-embed",
        "lints of the server with its pages",
        clippy,
        mend,
    )?;

    for part in &ALONE {
        // Their own folder: other features of the same dependencies would compile them anew each
        // time.
        let mut clippy = workspace.cargo();
        clippy
            .args(["clippy", "--package", "countersign", "--lib"])
            .args(part.features())
            .args(["--", "--deny", "warnings"])
            .env("CARGO_TARGET_DIR", workspace.target.join("verify"));
        let log = format!("clippy-{}", part.feature);
        run.program(
            &log,
            &format!("lints of {} alone", part.title),
            clippy,
            mend,
        )?;
        run.packages(part)?;
    }

    let mut doc = workspace.cargo();
    doc.args([
        "doc",
        "--no-deps",
        "--document-private-items",
        "--package",
        "countersign",
    ]);
    doc.args(["--package", "countersign-types", "--features", REMOTE])
        .env("RUSTDOCFLAGS", "--deny warnings");
    run.program(
        "doc",
        "the documentation",
        doc,
        "mend the links and texts that are named",
    )?;

    run.wasm()?;
    run.deny()?;
    Ok(run.close())
}

/// What the tests are run with too.
const REMOTE: &str = "countersign/remote-jwks";

/// What a service takes without the server.
const ALONE: [Alone; 2] = [
    Alone {
        feature: "verify",
        title: "the token layer",
        packages: 130,
    },
    Alone {
        feature: "remote-jwks",
        title: "the keys of others",
        packages: 140,
    },
];

/// A part of the server that is used without the rest of it.
struct Alone {
    feature: &'static str,
    title: &'static str,
    /// How many packages it may bring: whoever adds it to a small service notices each.
    packages: usize,
}

impl Alone {
    const fn features(&self) -> [&'static str; 3] {
        ["--no-default-features", "--features", self.feature]
    }
}

/// A folder to embed where no pages are built: for lints it matters that there are some, not which.
fn stand_in(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("xtask/stand-in");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    fs::write(folder.join("index.html"), "<!doctype html>").context("writing a stand-in page")?;
    Ok(folder)
}

/// How many packages `cargo tree` names, each once.
fn packages(tree: &str) -> usize {
    tree.lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect::<BTreeSet<_>>()
        .len()
}

#[derive(Debug)]
struct Run<'a> {
    workspace: &'a Workspace,
    steps: Steps,
    counts: Counts,
}

impl Run<'_> {
    /// Checks by a program: its success is the check's.
    fn program(&mut self, name: &str, title: &str, command: Command, mend: &str) -> Result<()> {
        let mut step = self.steps.next(title, "");
        let log = format!("check-{name}");
        let mut job = Job::start(self.workspace, command, &log)?;
        if job.wait(self.workspace, &mut step)?.success() {
            step.done("");
            self.counts.passed += 1;
            return Ok(());
        }
        step.failed();
        let log = self.workspace.log(&log)?;
        job::show_tail(&log, SHOWN_LINES);
        ui::talk(&format!(
            "    {mend}; the whole output is in {}",
            log.display()
        ));
        self.counts.failed += 1;
        Ok(())
    }

    /// Checks by ourselves: every finding is a line.
    fn findings(&mut self, step: Step, findings: &[String]) {
        if findings.is_empty() {
            step.done("");
            self.counts.passed += 1;
            return;
        }
        step.failed();
        for finding in findings {
            ui::talk(&format!("    {finding}"));
        }
        self.counts.failed += 1;
    }

    fn packages(&mut self, part: &Alone) -> Result<()> {
        let step = self.steps.next(&format!("packages of {}", part.title), "");
        let mut tree = self.workspace.cargo();
        tree.args(["tree", "--package", "countersign", "--edges", "normal"])
            .args(["--prefix", "none"])
            .args(part.features());
        let tree = job::output_of(&mut tree).context("cargo cannot list the packages")?;
        let packages = packages(&tree);
        let findings = if packages > part.packages {
            vec![format!(
                "`{}` brings {packages} packages; {} are allowed",
                part.feature, part.packages
            )]
        } else {
            Vec::new()
        };
        self.findings(step, &findings);
        Ok(())
    }

    fn directions(&mut self) -> Result<()> {
        let step = self.steps.next("who may call whom", "");
        let sources = directions::read(&self.workspace.root)?;
        let findings: Vec<String> = directions::violations(&sources)
            .iter()
            .map(ToString::to_string)
            .collect();
        self.findings(step, &findings);
        Ok(())
    }

    fn texts(&mut self) -> Result<()> {
        let step = self.steps.next("README and lock files", "");
        let read = |name: &str| {
            let path = self.workspace.root.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let mut findings = Vec::new();
        match read("README.md") {
            Ok(readme) => {
                let lines = readme.lines().count();
                if lines > README_LINES {
                    findings.push(format!(
                        "README.md has {lines} lines; more than {README_LINES} are not read: move \
                         some into docs/"
                    ));
                }
            }
            Err(error) => findings.push(format!("{error:#}")),
        }
        let files = job::output_of(self.workspace.command("git").args(["ls-files"]));
        for name in files.unwrap_or_default().lines() {
            if is_lock_file(name) {
                findings.extend(foreign_hosts(name, &read(name)?));
            }
        }
        self.findings(step, &findings);
        Ok(())
    }

    fn wasm(&mut self) -> Result<()> {
        let compiler = match wasm::ensure(self.workspace, &mut self.steps) {
            Ok(compiler) => compiler,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                ui::talk(&format!("    {error:#}"));
                self.counts.failed += 1;
                return Ok(());
            }
        };
        let mut lint = wasm::cargo(self.workspace, &compiler)?;
        let packages = [
            "--package",
            "countersign-leptos",
            "--package",
            "countersign-types",
            "--package",
            "notes-page",
        ];
        let (name, title) = if compiler.is_own() {
            lint.arg("clippy");
            ("clippy-wasm", "lints of pages and shared for WebAssembly")
        } else {
            // Debian's compiler for browsers comes without clippy.
            lint.arg("check").env("RUSTFLAGS", "--deny warnings");
            (
                "check-wasm",
                "warnings of pages and shared for WebAssembly (clippy is not there)",
            )
        };
        lint.args(packages).args(["--target", wasm::TARGET]);
        if compiler.is_own() {
            lint.args(["--all-targets", "--", "--deny", "warnings"]);
        }
        self.program(name, title, lint, "mend what is named")?;

        let mut doc = wasm::cargo(self.workspace, &compiler)?;
        doc.args([
            "doc",
            "--no-deps",
            "--document-private-items",
            "--target",
            wasm::TARGET,
        ]);
        doc.args(["--package", "countersign-leptos"])
            .env("RUSTDOCFLAGS", "--deny warnings");
        self.program(
            "doc-wasm",
            "the documentation of the pages",
            doc,
            "mend what is named",
        )
    }

    fn deny(&mut self) -> Result<()> {
        let there = job::output_of(self.workspace.cargo().args(["deny", "--version"])).is_some();
        if !there {
            self.steps
                .skip("skipped licences and advisories: `cargo install cargo-deny` for them");
            self.counts.skipped += 1;
            return Ok(());
        }
        let mut deny = self.workspace.cargo();
        deny.args(["deny", "check", "licenses", "bans", "sources"]);
        self.program("deny", "licences and sources", deny, "deny.toml says why")?;

        self.steps.more(1);
        let mut step = self.steps.next("advisories", "");
        let mut deny = self.workspace.cargo();
        deny.args(["deny", "check", "advisories"]);
        let mut job = Job::start(self.workspace, deny, "check-advisories")?;
        let log = self.workspace.log("check-advisories")?;
        if job.wait(self.workspace, &mut step)?.success() {
            step.done("");
            self.counts.passed += 1;
        } else if job::read_log(&log).contains("failed to fetch advisory database") {
            step.done("skipped: their list cannot be reached from here");
            self.counts.skipped += 1;
        } else {
            step.failed();
            job::show_tail(&log, SHOWN_LINES);
            self.counts.failed += 1;
        }
        Ok(())
    }

    fn close(&self) -> ExitCode {
        ui::say("");
        ui::say(&self.counts.to_string());
        if self.counts.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn is_lock_file(name: &str) -> bool {
    name.ends_with("Cargo.lock") || name.ends_with("package-lock.json")
}

/// Download addresses other than the public registries': they work on one machine only.
fn foreign_hosts(name: &str, text: &str) -> Vec<String> {
    const PUBLIC: [&str; 2] = [
        "https://github.com/rust-lang/crates.io-index",
        "https://registry.npmjs.org/",
    ];
    text.lines()
        .enumerate()
        .filter(|(_, line)| {
            let line = line.trim_start();
            line.starts_with("source = ") || line.starts_with("\"resolved\": ")
        })
        .filter(|(_, line)| !PUBLIC.iter().any(|public| line.contains(public)))
        .map(|(index, line)| {
            format!(
                "{name}:{}: {} is no public registry",
                index + 1,
                line.trim()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_that_is_named_twice_counts_once() {
        assert_eq!(packages("a v1\nb v2\n\na v1 (*)\nb v3\n"), 3);
    }

    #[test]
    fn a_private_registry_in_a_lock_file_is_found() {
        let text = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                    source = \"registry+https://mirror.example/index\"\n\
                    \"resolved\": \"https://registry.npmjs.org/x/-/x-1.0.0.tgz\",\n\
                    \"resolved\": \"https://npm.example/x-1.0.0.tgz\",\n\
                    \"funding\": \"https://elsewhere.example\",\n";

        let found = foreign_hosts("Cargo.lock", text);

        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("Cargo.lock:2: "));
        assert!(found[1].starts_with("Cargo.lock:4: "));
    }

    #[test]
    fn lock_files_are_known_by_name() {
        assert!(is_lock_file("Cargo.lock") && is_lock_file("frontend/x/package-lock.json"));
        assert!(!is_lock_file("package.json"));
    }
}
