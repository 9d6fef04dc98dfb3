//! Programs that xtask starts: their output goes to a log file, their end is waited for with a
//! sign of life, and they end with xtask.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup::Workspace;
use crate::ui::{self, Step};

/// Lines of a log that are shown when a step fails.
const TAIL_LINES: usize = 40;
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(12);

/// A program under way, with its log.
#[derive(Debug)]
pub(crate) struct Job {
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Job {
    /// Starts a program whose output goes to the log of that name.
    pub(crate) fn start(workspace: &Workspace, mut command: Command, name: &str) -> Result<Self> {
        let log = workspace.log(name)?;
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("sharing the log file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting `{program}`; is it installed and on PATH?"))?;
        Ok(Self {
            child,
            log,
            ended: false,
        })
    }

    /// Takes over a child that was started with its own ideas about output.
    pub(crate) fn adopt(child: Child, log: PathBuf) -> Self {
        Self {
            child,
            log,
            ended: false,
        }
    }

    /// The exit status, once there is one.
    pub(crate) fn poll(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().context("waiting for a program")?;
        self.ended = status.is_some();
        Ok(status)
    }

    /// The last line of the log that says anything.
    pub(crate) fn last_line(&self) -> String {
        tail(&self.log, 1).unwrap_or_default().trim().to_owned()
    }

    /// Asks the program to end, and ends it when it does not listen.
    pub(crate) fn stop(&mut self) {
        if self.ended {
            return;
        }
        terminate(self.child.id());
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                self.ended = true;
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // It may have ended meanwhile, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
        self.ended = true;
    }

    /// Waits for the end, or for Ctrl-C, with a sign of life on `step`.
    pub(crate) fn wait(&mut self, workspace: &Workspace, step: &mut Step) -> Result<ExitStatus> {
        self.wait_with(workspace, step, |line| line)
    }

    /// As [`Job::wait`]; `detail` may add to the last line of the log.
    pub(crate) fn wait_with(
        &mut self,
        workspace: &Workspace,
        step: &mut Step,
        mut detail: impl FnMut(String) -> String,
    ) -> Result<ExitStatus> {
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            if workspace.interrupted() {
                self.stop();
                return Err(Interrupted.into());
            }
            step.tick(&detail(self.last_line()));
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ctrl-C, or the signal of whoever supervises xtask.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Runs a step's program to its end; a failure shows the end of its log.
pub(crate) fn run(
    workspace: &Workspace,
    mut step: Step,
    command: Command,
    name: &str,
) -> Result<()> {
    let title = format!("{command:?}");
    let mut job = Job::start(workspace, command, name)?;
    let status = job.wait(workspace, &mut step)?;
    if status.success() {
        step.done("");
        return Ok(());
    }
    step.failed();
    show_tail(&job.log, TAIL_LINES);
    bail!(
        "`{}` failed ({status}); its whole output is in {}",
        title,
        job.log.display()
    );
}

/// Runs a program to its end without a step; its trimmed stdout where it went well.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Shows the end of a log.
pub(crate) fn show_tail(log: &Path, lines: usize) {
    if let Ok(text) = tail(log, lines) {
        for line in text.lines() {
            ui::talk(&format!("    {line}"));
        }
    }
}

/// The last lines of a file that say anything; only its last 64 KiB are read.
fn tail(path: &Path, lines: usize) -> Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(last_lines(&String::from_utf8_lossy(&bytes), lines))
}

fn last_lines(text: &str, lines: usize) -> String {
    let said: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

/// Sends SIGTERM. By the shell's own `kill`, because doing it from here needs `unsafe`.
fn terminate(pid: u32) {
    let kill = format!("kill -TERM {pid}");
    drop(
        Command::new("sh")
            .arg("-c")
            .arg(kill)
            .stderr(Stdio::null())
            .status(),
    );
}

/// Reads a whole log; a missing one is empty.
pub(crate) fn read_log(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_skips_blank_lines() {
        assert_eq!(last_lines("one\n\ntwo\nthree\n\n", 2), "two\nthree");
        assert_eq!(last_lines("one", 5), "one");
        assert_eq!(last_lines("", 5), "");
    }
}
