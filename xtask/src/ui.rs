//! What the person at the terminal sees: numbered steps, a spinner, and never more than ten seconds
//! of silence. The only module of xtask that writes to stdout and stderr.
//!
//! Results go to stdout and talk to stderr, so that a pipe gets results only.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Off a terminal a running step says at least this often that it lives.
const LINE_EVERY: Duration = Duration::from_secs(9);
/// On a terminal the spinner turns this often.
const SPIN_EVERY: Duration = Duration::from_millis(120);
/// A spinner line must not wrap, or the next turn would leave its first half behind.
const WIDTH: usize = 78;
const FRAMES: [char; 4] = ['|', '/', '-', '\\'];

/// Writes a line of talk to stderr.
pub(crate) fn talk(line: &str) {
    // A closed terminal is no reason to end the work, so a failed write is not an error.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Writes a line of results to stdout.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}

/// Asks a question whose answer is no unless somebody types `y`.
pub(crate) fn ask(question: &str) -> io::Result<bool> {
    write!(io::stderr().lock(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Says a duration as people do: `8 s`, `1 min 12 s`.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Says a size as people do: `12 B`, `91.2 KB`, `14.1 MB`.
pub(crate) fn spoken_size(bytes: u64) -> String {
    // Tenths in whole numbers, since a size has no use for floating point.
    let tenths = |unit: u64| (bytes * 10 + unit / 2) / unit;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} KB", tenths(1_000) / 10, tenths(1_000) % 10),
        _ => format!("{}.{} MB", tenths(1_000_000) / 10, tenths(1_000_000) % 10),
    }
}

/// Cuts a line to the width of the spinner, by characters.
fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        line.to_owned()
    } else {
        line.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}

/// How steps make themselves heard.
#[derive(Debug, Clone)]
enum Voice {
    /// One line that is drawn anew.
    Terminal,
    /// A line now and then.
    Lines,
    /// This process works beside one that has the terminal: lines go to its pipe (our stdout) until
    /// the flag says that it has handed over, and to stderr from then on.
    Beside(Arc<AtomicBool>),
    /// Nothing is said.
    Quiet,
}

/// A command's steps, counted.
#[derive(Debug)]
pub(crate) struct Steps {
    prefix: &'static str,
    total: usize,
    current: usize,
    voice: Voice,
}

impl Steps {
    /// Steps that have the terminal to themselves.
    pub(crate) fn new(total: usize) -> Self {
        let voice = if io::stderr().is_terminal() {
            Voice::Terminal
        } else {
            Voice::Lines
        };
        Self {
            prefix: "",
            total,
            current: 0,
            voice,
        }
    }

    /// Steps of a process beside another; `alone` is set when the other has handed over.
    pub(crate) fn beside(prefix: &'static str, total: usize, alone: Arc<AtomicBool>) -> Self {
        Self {
            prefix,
            total,
            current: 0,
            voice: Voice::Beside(alone),
        }
    }

    /// Steps that nobody needs to hear of again.
    pub(crate) fn quiet() -> Self {
        Self {
            prefix: "",
            total: 0,
            current: 0,
            voice: Voice::Quiet,
        }
    }

    /// Makes room for steps that turned out to be needed.
    pub(crate) fn more(&mut self, steps: usize) {
        self.total += steps;
    }

    /// Starts the next step; `hint` says how long it may take, where that is worth saying.
    pub(crate) fn next(&mut self, title: &str, hint: &str) -> Step {
        self.current += 1;
        let label = format!("{}[{}/{}]", self.prefix, self.current, self.total);
        let mut step = Step {
            label,
            title: title.to_owned(),
            started: Instant::now(),
            last: Instant::now(),
            frame: 0,
            voice: self.voice.clone(),
        };
        step.open(hint);
        step
    }

    /// A step with nothing left to do, said in one line.
    pub(crate) fn skip(&mut self, title: &str) {
        self.current += 1;
        let line = format!("{}[{}/{}] {title}", self.prefix, self.current, self.total);
        match &self.voice {
            Voice::Beside(alone) if !alone.load(Ordering::Relaxed) => say(&line),
            Voice::Quiet => {}
            Voice::Terminal | Voice::Lines | Voice::Beside(_) => talk(&line),
        }
    }
}

/// A step under way.
#[derive(Debug)]
pub(crate) struct Step {
    label: String,
    title: String,
    started: Instant,
    last: Instant,
    frame: usize,
    voice: Voice,
}

impl Step {
    fn open(&mut self, hint: &str) {
        let hint = if hint.is_empty() {
            String::new()
        } else {
            format!(" ({hint})")
        };
        self.emit(&format!("{} {}{hint}", self.label, self.title));
    }

    /// Called often while the step runs; `detail` is what it is at.
    pub(crate) fn tick(&mut self, detail: &str) {
        let due = match &self.voice {
            Voice::Terminal => SPIN_EVERY,
            Voice::Beside(alone) if !alone.load(Ordering::Relaxed) => Duration::from_secs(1),
            Voice::Lines | Voice::Beside(_) | Voice::Quiet => LINE_EVERY,
        };
        if self.last.elapsed() < due {
            return;
        }
        self.last = Instant::now();
        let line = self.progress(detail);
        if matches!(self.voice, Voice::Terminal) {
            let frame = FRAMES[self.frame % FRAMES.len()];
            self.frame += 1;
            let mut stderr = io::stderr().lock();
            drop(write!(stderr, "\r\x1b[2K{frame} {}", cut(&line)));
            drop(stderr.flush());
        } else {
            self.emit(&line);
        }
    }

    fn progress(&self, detail: &str) -> String {
        let mut line = format!(
            "{} {}, {}",
            self.label,
            self.title,
            spoken(self.started.elapsed())
        );
        if !detail.is_empty() {
            line.push_str(": ");
            line.push_str(detail);
        }
        line
    }

    fn emit(&self, line: &str) {
        match &self.voice {
            Voice::Beside(alone) if !alone.load(Ordering::Relaxed) => say(line),
            Voice::Quiet => {}
            Voice::Terminal | Voice::Lines | Voice::Beside(_) => talk(line),
        }
    }

    fn clear(&self) {
        if matches!(self.voice, Voice::Terminal) {
            let mut stderr = io::stderr().lock();
            drop(write!(stderr, "\r\x1b[2K"));
            drop(stderr.flush());
        }
    }

    /// Ends the step well.
    pub(crate) fn done(self, note: &str) {
        self.clear();
        let note = if note.is_empty() {
            String::new()
        } else {
            format!(" ({note})")
        };
        let took = spoken(self.started.elapsed());
        self.emit(&format!(
            "{} {}: done in {took}{note}",
            self.label, self.title
        ));
    }

    /// Ends the step badly; the error itself is said by whoever handles it.
    pub(crate) fn failed(self) {
        self.clear();
        let took = spoken(self.started.elapsed());
        self.emit(&format!(
            "{} {}: failed after {took}",
            self.label, self.title
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_do() {
        assert_eq!(spoken(Duration::from_millis(2_340)), "2.3 s");
        assert_eq!(spoken(Duration::from_secs(42)), "42 s");
        assert_eq!(spoken(Duration::from_secs(72)), "1 min 12 s");
    }

    #[test]
    fn sizes_are_said_as_people_do() {
        assert_eq!(spoken_size(12), "12 B");
        assert_eq!(spoken_size(91_240), "91.2 KB");
        assert_eq!(spoken_size(14_149_999), "14.1 MB");
    }

    #[test]
    fn a_spinner_line_never_wraps() {
        let line = "é".repeat(200);

        assert_eq!(cut(&line).chars().count(), WIDTH);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn steps_are_numbered_and_say_what_they_are_at() {
        let mut steps = Steps::beside("pages ", 3, Arc::new(AtomicBool::new(true)));

        let first = steps.next("looking", "");
        let second = steps.next("compiling", "about 2 min");

        assert_eq!(first.label, "pages [1/3]");
        assert!(
            second
                .progress("Compiling leptos")
                .starts_with("pages [2/3] compiling, 0.0 s: ")
        );
    }
}
