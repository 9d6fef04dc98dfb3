//! `cargo xtask test`: every test there is, on both databases and in a browser, and their count.
//!
//! A part is run even when one before it failed, so that one run tells all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};

use crate::Part;
use crate::counts::{self, Counts};
use crate::job::{self, Interrupted, Job};
use crate::pages;
use crate::peers;
use crate::postgres::Postgres;
use crate::readme;
use crate::setup::{self, Workspace, variable};
use crate::tools;
use crate::ui::{self, Step, Steps};
use crate::wasm;

/// Lines of a failed part's output that are shown; its failures come last.
const SHOWN_LINES: usize = 120;
/// What `cargo test` at the root tests. The same packages in every call, because another selection
/// would turn on other features of their dependencies and compile those anew.
const PACKAGES: [&str; 4] = ["--package", "countersign", "--package", "countersign-types"];
/// What a service takes for tokens of an issuer elsewhere; not among the default features.
const REMOTE: &str = "countersign/remote-jwks";

/// Runs the tests of one part, or of all.
pub(crate) fn run(workspace: &Workspace, part: Option<Part>) -> Result<ExitCode> {
    let mut run = Run {
        workspace,
        nextest: job::output_of(workspace.cargo().args(["nextest", "--version"])).is_some(),
        embed: false,
        steps: Steps::new(0),
        parts: Vec::new(),
    };
    let has = |wanted: Part| part.is_none_or(|part| part == wanted);
    let mut total = 0;
    total += if has(Part::Unit) { 8 } else { 0 };
    total += if has(Part::Http) { 4 } else { 0 };
    total += if has(Part::Browser) {
        6 + pages::steps(workspace)?
    } else {
        0
    };
    total += if has(Part::Peers) { 6 } else { 0 };
    run.steps = Steps::new(total);

    let browser = has(Part::Browser).then(|| run.prepare_browser());
    let browser = match browser {
        Some(Err(error)) if error.is::<Interrupted>() => return Err(error),
        other => other,
    };
    run.embed = matches!(browser, Some(Ok(_)));

    if has(Part::Unit) {
        run.unit()?;
    }
    if has(Part::Http) {
        run.http()?;
    }
    match browser {
        Some(Ok(browser)) => run.browser(&browser)?,
        Some(Err(error)) => run.broken("browser", &error),
        None => {}
    }
    if has(Part::Peers) {
        run.peers()?;
    }
    Ok(run.close())
}

/// What the browser's suite is run with.
#[derive(Debug)]
struct Browser {
    kit: pages::Kit,
    chromium: PathBuf,
}

/// A test run under way.
#[derive(Debug)]
struct Run<'a> {
    workspace: &'a Workspace,
    nextest: bool,
    /// Whether the server is built with the pages inside, for the browser.
    embed: bool,
    steps: Steps,
    parts: Vec<(String, Counts)>,
}

impl Run<'_> {
    fn unit(&mut self) -> Result<()> {
        let libraries = self.tests(&PACKAGES, &["--lib", "--bins"], true);
        self.part(
            "unit",
            "compiling and running the unit tests",
            libraries,
            "about 5 min the first time",
        )?;
        // The pages' own logic, natively: a browser is not needed to know what it says.
        let pages = self.tests(&["--package", "countersign-leptos"], &["--lib"], false);
        self.part(
            "pages",
            "compiling and running the unit tests of the pages",
            pages,
            "about 2 min the first time",
        )?;
        let own = self.tests(&["--package", "xtask"], &[], false);
        self.part("xtask", "running the tests of xtask", own, "")?;
        let mut doc = self.workspace.cargo();
        doc.args(["test", "--doc", "--no-fail-fast"]).args(PACKAGES);
        self.with_features(&mut doc);
        self.part("doc", "running the examples in the documentation", doc, "")?;
        let mut doc = self.workspace.cargo();
        doc.args(["test", "--doc", "--no-fail-fast"])
            .args(["--package", "countersign-leptos"]);
        self.part(
            "examples",
            "running those in the documentation of the pages",
            doc,
            "",
        )?;
        self.wasm()
    }

    fn http(&mut self) -> Result<()> {
        let mut step = self.steps.next("starting PostgreSQL", "");
        let postgres = match Postgres::start(self.workspace, &mut step) {
            Ok(postgres) => postgres,
            Err(error) => {
                step.failed();
                return self.broken_unless_interrupted("http", error);
            }
        };
        step.done("");
        let mut tests = self.tests(&PACKAGES, &["--test", "*"], true);
        tests.env("COUNTERSIGN_TEST_POSTGRES", &postgres.url);
        self.part(
            "http",
            "running the HTTP tests on SQLite and PostgreSQL",
            tests,
            "",
        )?;
        let step = self.steps.next("stopping PostgreSQL", "");
        drop(postgres);
        step.done("");

        // The tests above have built the binary too.
        let binary = self.workspace.target.join("debug/countersign");
        let mut step = self.steps.next("typing the README's commands", "");
        match readme::run(self.workspace, &binary, &mut step) {
            Ok(counted) => {
                Self::finish(step, &self.workspace.log("readme")?, counted);
                self.parts.push(("readme".to_owned(), counted));
                Ok(())
            }
            Err(error) => {
                step.failed();
                self.broken_unless_interrupted("readme", error)
            }
        }
    }

    /// The tests of `shared` again, in WebAssembly, as the pages use it.
    fn wasm(&mut self) -> Result<()> {
        if setup::on_path("node").is_none() && !self.workspace.ci {
            self.steps.more(1);
            self.steps
                .skip("skipped shared in WebAssembly: it needs Node");
            let skipped = Counts {
                skipped: 1,
                ..Counts::default()
            };
            self.parts.push(("wasm".to_owned(), skipped));
            return Ok(());
        }
        let compiler = match wasm::ensure(self.workspace, &mut self.steps) {
            Ok(compiler) => compiler,
            Err(error) => return self.broken_unless_interrupted("wasm", error),
        };
        let wasm_bindgen = match tools::wasm_bindgen(self.workspace, &mut self.steps) {
            Ok(tool) => tool,
            Err(error) => return self.broken_unless_interrupted("wasm", error),
        };
        let mut tests = wasm::cargo(self.workspace, &compiler)?;
        tests
            .args(["test", "--no-fail-fast", "--color", "never", "--lib"])
            .args(["--package", "countersign-types", "--target", wasm::TARGET])
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
                tools::test_runner(&wasm_bindgen),
            );
        self.part(
            "wasm",
            "running the tests of shared in WebAssembly",
            tests,
            "",
        )
    }

    /// Everything the browser's suite needs that can be missing.
    fn prepare_browser(&mut self) -> Result<Browser> {
        let folder = suite(self.workspace);
        if !folder.join("run.mjs").is_file() {
            bail!("there is no {}", folder.join("run.mjs").display());
        }
        if setup::on_path("node").is_none() || setup::on_path("npm").is_none() {
            bail!(
                "the browser tests need Node 20 or newer and npm; install them and run this again"
            );
        }
        let chromium = chromium(self.workspace)?;
        self.steps
            .skip(&format!("the browser is {}", chromium.display()));
        node_modules(
            self.workspace,
            &mut self.steps,
            &folder,
            "the browser tests' packages",
        )?;
        pages::build_if_stale(self.workspace, &mut self.steps)?;
        let kit = pages::Kit::ensure(self.workspace, &mut Steps::quiet())?;
        pages::build_example(self.workspace, &kit, &mut self.steps)?;
        Ok(Browser { kit, chromium })
    }

    fn browser(&mut self, browser: &Browser) -> Result<()> {
        // The same call as for the HTTP tests, so that after them it has nothing left to compile.
        let mut build = self.workspace.cargo();
        build
            .args(["test", "--no-run", "--test", "*"])
            .args(PACKAGES);
        self.with_features(&mut build);
        let step = self.steps.next("compiling the server with its pages", "");
        if let Err(error) = job::run(self.workspace, step, build, "test-browser-server") {
            return self.broken_unless_interrupted("browser", error);
        }
        let mut build = self.workspace.cargo();
        build.args(["build", "--example", "notes"]).args(PACKAGES);
        self.with_features(&mut build);
        let step = self.steps.next("compiling the example", "");
        if let Err(error) = job::run(self.workspace, step, build, "test-browser-example") {
            return self.broken_unless_interrupted("browser", error);
        }
        let mut node = self.workspace.command("node");
        browser
            .kit
            .compiler
            .apply(&mut node, &browser.kit.tools.folders())?;
        node.arg(suite(self.workspace).join("run.mjs"))
            .env(
                "COUNTERSIGN_BIN",
                self.workspace.target.join("debug/countersign"),
            )
            .env(
                "NOTES_BIN",
                self.workspace.target.join("debug/examples/notes"),
            )
            .env("CHROMIUM", &browser.chromium)
            .env("TRUNK", &browser.kit.tools.trunk)
            .env("CARGO_TARGET_DIR", pages::target(self.workspace))
            .env("TRUNK_SKIP_VERSION_CHECK", "true")
            .env("TRUNK_BUILD_OFFLINE", "true")
            // What was compiled for the pages serves `trunk serve` too.
            .env("TRUNK_BUILD_RELEASE", "true")
            // Not over the pages that are embedded.
            .env(
                "TRUNK_BUILD_DIST",
                pages::target(self.workspace).join("trunk-serve"),
            );
        self.part("browser", "running the browser tests", node, "")
    }

    /// Tokens that other people's libraries issue and accept, against the real server.
    fn peers(&mut self) -> Result<()> {
        let mut build = self.workspace.cargo();
        build
            .args(["build", "--bin", "countersign", "--example", "peer_service"])
            .args(PACKAGES);
        self.with_features(&mut build);
        let step = self.steps.next("compiling what the peers talk to", "");
        if let Err(error) = job::run(self.workspace, step, build, "test-peers-server") {
            return self.broken_unless_interrupted("peers", error);
        }
        self.python()?;
        self.jose()
    }

    fn python(&mut self) -> Result<()> {
        let interpreter = match peers::interpreter(self.workspace) {
            Ok(interpreter) => interpreter,
            Err(error) => return self.without("python", error),
        };
        let python = match peers::environment(self.workspace, &mut self.steps, &interpreter) {
            Ok(python) => python,
            Err(error) => return self.broken_unless_interrupted("python", error),
        };
        for name in ["pyjwt", "flask"] {
            let tests = peers::isolated(self.workspace.command(&python));
            self.peer(name, tests, &format!("{name}_tests.py"))?;
        }
        Ok(())
    }

    fn jose(&mut self) -> Result<()> {
        if setup::on_path("node").is_none() || setup::on_path("npm").is_none() {
            let missing = anyhow!("it needs Node 20 or newer and npm");
            return self.without("jose", missing);
        }
        let folder = peers::node_example(self.workspace);
        if let Err(error) =
            node_modules(self.workspace, &mut self.steps, &folder, "Node's packages")
        {
            return self.broken_unless_interrupted("jose", error);
        }
        let tests = self.workspace.command("node");
        self.peer("jose", tests, "jose_tests.mjs")
    }

    /// Runs the tests of one library.
    fn peer(&mut self, name: &str, mut command: Command, file: &str) -> Result<()> {
        let built = self.workspace.target.join("debug");
        command
            .arg(peers::suite(self.workspace).join(file))
            .env("COUNTERSIGN_BIN", built.join("countersign"))
            .env("PEER_SERVICE", built.join("examples/peer_service"));
        self.part(name, &format!("running the tests with {name}"), command, "")
    }

    /// Tests whose other side is not on this machine: that is named and counted, and in a
    /// continuous integration it is a failure.
    fn without(&mut self, name: &str, error: anyhow::Error) -> Result<()> {
        if self.workspace.ci || error.is::<Interrupted>() {
            return self.broken_unless_interrupted(name, error);
        }
        self.steps.skip(&format!("skipped {name}: {error:#}"));
        let skipped = Counts {
            skipped: 1,
            ..Counts::default()
        };
        self.parts.push((name.to_owned(), skipped));
        Ok(())
    }

    /// A call of the test runner there is.
    fn tests(&self, packages: &[&str], targets: &[&str], features: bool) -> Command {
        let mut command = self.workspace.cargo();
        if self.nextest {
            command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]);
            command.args([
                "--hide-progress-bar",
                "--color",
                "never",
                "--failure-output",
                "final",
            ]);
            command.args(self.workspace.ci.then_some("--profile=ci"));
        } else {
            command.args(["test", "--no-fail-fast", "--color", "never"]);
        }
        command.args(packages).args(targets);
        if features {
            self.with_features(&mut command);
        }
        if self.workspace.ci {
            // A snapshot that differs is a failure there, and nobody could review a new one.
            command.env("INSTA_UPDATE", "no");
        }
        if let Some(data) = test_data(self.workspace) {
            command.env("COUNTERSIGN_TESTDATA", data);
        }
        command
    }

    fn with_features(&self, command: &mut Command) {
        command.args(["--features", REMOTE]);
        if self.embed {
            command.args(["--features", "countersign/embed-ui"]);
        }
    }

    /// Runs a part and counts it.
    fn part(&mut self, name: &str, title: &str, command: Command, hint: &str) -> Result<()> {
        let mut step = self.steps.next(title, hint);
        let log = format!("test-{name}");
        let mut job = Job::start(self.workspace, command, &log)?;
        let status = job.wait(self.workspace, &mut step)?;
        let log = self.workspace.log(&log)?;
        let mut counted = counts::parse(&job::read_log(&log)).unwrap_or_default();
        if !status.success() && counted.is_good() {
            // It did not compile, or died before it could say what failed.
            counted += Counts::BROKEN;
        }
        Self::finish(step, &log, counted);
        self.parts.push((name.to_owned(), counted));
        Ok(())
    }

    fn finish(step: Step, log: &Path, counted: Counts) {
        if counted.is_good() {
            step.done(&counted.to_string());
        } else {
            step.failed();
            job::show_tail(log, SHOWN_LINES);
            ui::talk(&format!("    The whole output is in {}", log.display()));
        }
    }

    fn broken_unless_interrupted(&mut self, name: &str, error: anyhow::Error) -> Result<()> {
        if error.is::<Interrupted>() {
            return Err(error);
        }
        self.broken(name, &error);
        Ok(())
    }

    fn broken(&mut self, name: &str, error: &anyhow::Error) {
        ui::talk(&format!("{name}: {error:#}"));
        self.parts.push((name.to_owned(), Counts::BROKEN));
    }

    /// Says the sums, the whole of them last and alone on its line.
    fn close(&self) -> ExitCode {
        let mut all = Counts::default();
        ui::say("");
        for (name, counted) in &self.parts {
            ui::say(&format!("{name:>8}: {counted}"));
            all += *counted;
        }
        ui::say("");
        ui::say(&all.to_string());
        if all.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn suite(workspace: &Workspace) -> PathBuf {
    workspace.root.join("frontend/tests/browser")
}

/// Test vectors beside the clone, where they are.
fn test_data(workspace: &Workspace) -> Option<PathBuf> {
    variable("COUNTERSIGN_TESTDATA")
        .map(PathBuf::from)
        .or_else(|| {
            let beside = workspace.root.join("../shared/testdata");
            fs::canonicalize(beside).ok()
        })
}

/// A Chromium, installed where it is missing and that may be done.
fn chromium(workspace: &Workspace) -> Result<PathBuf> {
    let look = || {
        variable("CHROMIUM").map(PathBuf::from).or_else(|| {
            ["chromium", "chromium-browser", "google-chrome"]
                .into_iter()
                .find_map(setup::on_path)
        })
    };
    if let Some(found) = look() {
        return Ok(found);
    }
    setup::install(workspace, "The browser tests need Chromium", &["chromium"])?;
    look().context("Chromium is installed but nowhere on PATH")
}

/// Installs a folder's packages when their lock file changed, without running their scripts.
fn node_modules(workspace: &Workspace, steps: &mut Steps, folder: &Path, what: &str) -> Result<()> {
    let lock = fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("reading package-lock.json in {}", folder.display()))?;
    let stamp = folder.join("node_modules/.countersign-lock");
    if fs::read(&stamp).is_ok_and(|stamped| stamped == lock) {
        steps.skip(&format!("{what} are there"));
        return Ok(());
    }
    let step = steps.next(&format!("installing {what}"), "");
    let mut npm = workspace.command("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        // The browser is the system's; none is downloaded.
        .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    job::run(workspace, step, npm, "npm")?;
    fs::write(&stamp, lock).with_context(|| format!("writing {}", stamp.display()))
}
