//! `cargo xtask serve`: builds pages and server side by side and becomes the server as soon as that
//! is there; the pages follow.
//!
//! Becoming it (exec) instead of supervising it leaves signals, exit code and terminal to the
//! server alone. The pages are therefore built by a second process of xtask ([`beside`]), which has
//! two pipes to the first: on its stdout it says how far it is while the first has the terminal, and
//! the end of its stdin tells it that the first has handed over.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::job::{self, Interrupted, Job};
use crate::pages;
use crate::setup::{self, Workspace};
use crate::ui::{self, Steps};

const DEFAULT_PORT: &str = "3000";

/// Builds and starts the server; `arguments` are those of `countersign serve`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    let builder = if pages::are_fresh(workspace)? {
        steps.skip("the pages are up to date");
        None
    } else {
        steps.skip("starting on the pages, which are built beside the server");
        Some(Builder::start(workspace, &address(arguments))?)
    };

    let hint = if workspace.target.join("serve").exists() {
        ""
    } else {
        "about 5 min the first time"
    };
    let mut step = steps.next("compiling the server", hint);
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "countersign", "--profile", "serve"]);
    let mut job = Job::start(workspace, cargo, "server")?;
    let status = job.wait_with(workspace, &mut step, |line| match &builder {
        Some(builder) => format!("{line}; {}", builder.at()),
        None => line,
    })?;
    if !status.success() {
        step.failed();
        let log = workspace.log("server")?;
        job::show_tail(&log, 40);
        bail!(
            "the server does not compile; the whole output is in {}",
            log.display()
        );
    }
    step.done("");

    steps.skip("starting the server (Ctrl-C ends it)");
    if let Some(builder) = builder {
        builder.hand_over();
    }
    let program = workspace.target.join("serve/countersign");
    let mut server = Command::new(&program);
    server.arg("serve").args(arguments);
    // The server warns of variables that it does not know, and it is to be as if started by hand.
    for (name, _) in std::env::vars_os() {
        let own = name.to_string_lossy();
        if own.starts_with("CARGO_") || own == "CARGO" {
            server.env_remove(&name);
        }
    }
    let error = server.exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}

/// Where the server will be found.
fn address(arguments: &[String]) -> String {
    let value = |name: &str| {
        let with_equals = format!("{name}=");
        arguments.iter().enumerate().find_map(|(index, argument)| {
            if argument == name {
                arguments.get(index + 1).cloned()
            } else {
                argument.strip_prefix(&with_equals).map(ToOwned::to_owned)
            }
        })
    };
    let listen = value("--listen").or_else(|| {
        setup::variable("COUNTERSIGN_SERVER__LISTEN").map(|it| it.to_string_lossy().into_owned())
    });
    let port = value("--port")
        .or_else(|| listen.and_then(|listen| Some(listen.rsplit_once(':')?.1.to_owned())))
        .unwrap_or_else(|| DEFAULT_PORT.to_owned());
    format!("http://localhost:{port}")
}

/// The process that builds the pages, as seen from the one that builds the server.
#[derive(Debug)]
struct Builder {
    child: Child,
    at: Arc<Mutex<String>>,
}

impl Builder {
    fn start(workspace: &Workspace, address: &str) -> Result<Self> {
        let program = std::env::current_exe().context("finding xtask itself")?;
        let mut child = Command::new(program)
            .args(["pages", "--beside", address])
            .current_dir(&workspace.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting to build the pages")?;
        let at = Arc::new(Mutex::new(String::new()));
        let stdout = child
            .stdout
            .take()
            .context("the builder of the pages has no stdout")?;
        let shared = Arc::clone(&at);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
        });
        Ok(Self { child, at })
    }

    fn at(&self) -> String {
        self.at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Leaves the builder alone; its pipes close with exec.
    fn hand_over(self) {
        // Without `Drop`, since the child is to live on.
        std::mem::forget(self);
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        // The end of its stdin and a parent that goes away end it; here we only wait for that.
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The second process: builds the pages beside the one that has the terminal.
pub(crate) fn beside(workspace: &Workspace, address: &str) -> Result<()> {
    let alone = Arc::new(AtomicBool::new(false));
    watch_parent(workspace, Arc::clone(&alone));
    let mut steps = Steps::beside("pages ", pages::STEPS, Arc::clone(&alone));
    let result = pages::build(workspace, &mut steps);
    let ready = match result {
        Ok(()) => format!("The pages are ready: {address}"),
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            format!("The pages could not be built, so the server has none: {error:#}")
        }
    };
    // What is said before the hand-over would be one line among the server's steps.
    while !alone.load(Ordering::Relaxed) && !workspace.interrupted() {
        thread::sleep(Duration::from_millis(100));
    }
    ui::talk(&ready);
    Ok(())
}

/// Follows the first process: when our stdin ends it has become the server or is gone, and when it
/// is gone there is nobody left to build for.
fn watch_parent(workspace: &Workspace, alone: Arc<AtomicBool>) {
    let parent = parent_id();
    let interrupt = workspace.interrupt();
    thread::spawn(move || {
        // Nothing is ever written to it; an error is an end as well.
        drop(io::stdin().lock().read_to_end(&mut Vec::new()));
        // Whoever becomes the server has our pid as parent still, whoever ends has not.
        thread::sleep(Duration::from_millis(300));
        alone.store(true, Ordering::Relaxed);
        while parent_id() == parent {
            thread::sleep(Duration::from_millis(500));
        }
        interrupt.store(true, Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_the_arguments() {
        let address = |arguments: &[&str]| {
            address(
                &arguments
                    .iter()
                    .map(|it| (*it).to_owned())
                    .collect::<Vec<_>>(),
            )
        };

        assert_eq!(address(&["--port", "3001"]), "http://localhost:3001");
        assert_eq!(
            address(&["--listen=127.0.0.1:4000"]),
            "http://localhost:4000"
        );
        assert_eq!(
            address(&["--listen", "[::1]:4000", "--port=5"]),
            "http://localhost:5"
        );
    }
}
