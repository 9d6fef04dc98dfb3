//! Runs what the README tells people to type: its shell blocks, against the real server.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::counts::Counts;
use crate::job::{self, Interrupted, Job};
use crate::setup::{self, Workspace};
use crate::ui::Step;

/// Where the README finds the server; the test's is elsewhere.
const ADDRESS: &str = "localhost:3000";
/// What a command must print stands below it, after this.
const EXPECTED: &str = "# => ";
const LIMIT: Duration = Duration::from_secs(30);

/// What is typed, and what must come of it, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Script {
    commands: String,
    expected: Vec<String>,
}

/// Takes the blocks marked `sh`. Cargo's commands are left out: the run that we are part of is one
/// of them, and the others take minutes.
fn script(readme: &str) -> Script {
    let mut script = Script::default();
    let mut inside = false;
    let mut left_out = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
            continue;
        }
        if !inside {
            continue;
        }
        let is_cargo = line.starts_with("cargo ") || left_out;
        left_out = is_cargo && line.ends_with('\\');
        if let Some(expected) = line.strip_prefix(EXPECTED) {
            script.expected.push(expected.trim().to_owned());
        } else if !is_cargo {
            script.commands.push_str(line);
            script.commands.push('\n');
        }
    }
    script
}

/// What was expected and did not come, each after the one before it.
fn missing<'a>(expected: &'a [String], output: &str) -> Vec<&'a str> {
    let mut rest = output;
    expected
        .iter()
        .filter(|wanted| match rest.split_once(wanted.as_str()) {
            Some((_, after)) => {
                rest = after;
                false
            }
            None => true,
        })
        .map(String::as_str)
        .collect()
}

/// Runs the README against a server of this binary; every expected answer is one test.
pub(crate) fn run(workspace: &Workspace, binary: &Path, step: &mut Step) -> Result<Counts> {
    if setup::on_path("curl").is_none() {
        setup::install(workspace, "The README's commands need curl", &["curl"])?;
    }
    let path = workspace.root.join("README.md");
    let readme =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let script = script(&readme);
    if script.expected.is_empty() {
        bail!("README.md has no command whose answer is told");
    }

    let folder = workspace.target.join("xtask/readme");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("finding a free port")?;
    let port = listener.local_addr().context("finding a free port")?.port();
    drop(listener);
    let mut serve = workspace.command(binary);
    serve
        .args(["serve", "--port", &port.to_string(), "--data-dir"])
        .arg(folder.join("data"))
        .current_dir(&folder);
    let mut server = Job::start(workspace, serve, "readme-server")?;
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if server.poll()?.is_some() || started.elapsed() > LIMIT {
            job::show_tail(&workspace.log("readme-server")?, 20);
            bail!("the server did not start");
        }
        if workspace.interrupted() {
            return Err(Interrupted.into());
        }
        step.tick("starting the server");
        thread::sleep(Duration::from_millis(50));
    }

    let commands = script
        .commands
        .replace(ADDRESS, &format!("127.0.0.1:{port}"));
    let file = folder.join("commands.sh");
    fs::write(&file, commands).with_context(|| format!("writing {}", file.display()))?;
    let mut bash = workspace.command("bash");
    bash.args(["-eu", "-o", "pipefail"])
        .arg(&file)
        .current_dir(&folder);
    let mut job = Job::start(workspace, bash, "readme")?;
    let status = job.wait(workspace, step)?;
    server.stop();

    let log = workspace.log("readme")?;
    let output = job::read_log(&log);
    let missing = missing(&script.expected, &output);
    for wanted in &missing {
        crate::ui::talk(&format!("    README.md promises: {wanted}"));
    }
    let failed = missing.len() + usize::from(!status.success());
    Ok(Counts {
        passed: (script.expected.len() - missing.len()) as u64,
        failed: failed as u64,
        skipped: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# Title\n```sh\ncargo xtask serve \\\n  --port 1\n```\n```rust\nfn f() {}\n```\n\
                          ```sh\ncurl -s x\n# => {\"a\":1}\n\ncurl -s y\n# => 401\n```\n";

    #[test]
    fn commands_and_their_answers_are_taken_and_cargo_is_not() {
        let script = script(README);

        assert_eq!(script.commands, "curl -s x\n\ncurl -s y\n");
        assert_eq!(script.expected, ["{\"a\":1}", "401"]);
    }

    #[test]
    fn an_answer_must_come_after_the_one_before_it() {
        let expected = ["one".to_owned(), "two".to_owned()];

        assert!(missing(&expected, "one\ntwo\n").is_empty());
        assert_eq!(missing(&expected, "two\none\n"), ["two"]);
        assert_eq!(missing(&expected, ""), ["one", "two"]);
    }
}
