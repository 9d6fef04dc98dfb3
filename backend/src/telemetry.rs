//! Logs: what is written, how it looks, and that it never holds up a request.
//!
//! Lines go through a bounded queue to a thread that writes them: a terminal that was stopped, or a
//! collector that is stuck, must not stop sign-ins. What does not fit is counted and reported.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{
    Layer as _, Registry, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// How many lines may wait to be written.
const QUEUE: usize = 4096;
/// How long the end of the process waits for lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// What lines look like: as configured, else for whom reads them.
pub(crate) fn format(log: &Log) -> LogFormat {
    match log.format {
        Some(format) => format,
        None if io::stderr().is_terminal() => LogFormat::Pretty,
        None => LogFormat::Json,
    }
}

/// Writes the process' log to standard error from now on. Keep what it returns: the last lines are
/// written when it is dropped.
///
/// # Errors
///
/// The operating system's where it refuses the thread; or where a log was set up before.
pub(crate) fn start(log: &Log) -> io::Result<Flush> {
    let format = format(log);
    let (queue, flush) = start_writer(io::stderr(), format)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(queue);
    let layer = match format {
        LogFormat::Json => layer.json().with_span_list(false).boxed(),
        LogFormat::Pretty if io::stderr().is_terminal() => layer.compact().boxed(),
        LogFormat::Pretty => layer.compact().with_ansi(false).boxed(),
    };
    Registry::default()
        .with(layer.with_filter(log.level.clone()))
        .try_init()
        .map_err(io::Error::other)?;
    Ok(flush)
}

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

fn start_writer(
    output: impl Write + Send + 'static,
    format: LogFormat,
) -> io::Result<(Queue, Flush)> {
    let (sender, messages) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue {
        sender: sender.clone(),
        dropped: Arc::clone(&dropped),
    };
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write(&messages, &dropped, output, format))?;
    Ok((queue, Flush(sender)))
}

fn write(
    messages: &Receiver<Message>,
    dropped: &AtomicU64,
    mut output: impl Write,
    format: LogFormat,
) {
    while let Ok(message) = messages.recv() {
        // Nobody is left to tell that the log cannot be written; serving goes on without it.
        match message {
            Message::Line(line) => drop(output.write_all(&line)),
            Message::Flush(done) => {
                drop(output.flush());
                // Who asked may have given up.
                done.try_send(()).ok();
            }
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => drop(output.write_all(report(count, format).as_bytes())),
        }
    }
}

/// Not through `tracing`, whose queue was full a moment ago.
fn report(dropped: u64, format: LogFormat) -> String {
    let message = "log lines were dropped, since they could not be written fast enough";
    match format {
        LogFormat::Json => {
            let fields = format!(r#"{{"message":"{message}","dropped":{dropped}}}"#);
            format!(r#"{{"level":"WARN","fields":{fields}}}"#) + "\n"
        }
        LogFormat::Pretty => format!("WARN {message} dropped={dropped}\n"),
    }
}

/// Where lines wait; a full one drops them.
struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Write for &Queue {
    /// `tracing_subscriber` writes a line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Writes what waits when it is dropped, unless that takes too long.
#[derive(Debug)]
#[must_use = "dropping it is what writes the last lines"]
pub(crate) struct Flush(SyncSender<Message>);

impl Drop for Flush {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        let (done, written) = sync_channel(1);
        while let Err(TrySendError::Full(_)) = self.0.try_send(Message::Flush(done.clone())) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        match written.recv_timeout(remaining) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Output that stands still while somebody holds it.
    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(queue: &Queue, line: &str) {
        let mut writer = queue.make_writer();
        writer.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_are_written_in_order_before_the_end() {
        let output = Output::default();
        let (queue, flush) = start_writer(output.clone(), LogFormat::Pretty).unwrap();

        let lines: Vec<_> = (0..100).map(|number| format!("{number}\n")).collect();
        for line in &lines {
            log(&queue, line);
        }
        drop(flush);

        assert_eq!(String::from_utf8_lossy(&output.lock()), lines.concat());
    }

    #[test]
    fn stalled_output_holds_nobody_up_and_what_was_lost_is_reported() {
        let output = Output::default();
        let stalled = output.lock();
        let (queue, flush) = start_writer(output.clone(), LogFormat::Json).unwrap();

        for _ in 0..QUEUE * 2 {
            log(&queue, "line\n");
        }
        drop(stalled);
        drop(flush);

        let text = String::from_utf8(output.lock().clone()).unwrap();
        let lines = text.lines().filter(|line| *line == "line").count();
        let dropped: usize = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|report| report["fields"]["dropped"].as_u64())
            .sum::<u64>()
            .try_into()
            .unwrap();
        assert!(dropped >= QUEUE - 1, "{dropped}");
        assert_eq!(lines + dropped, QUEUE * 2);
    }

    #[test]
    fn stuck_output_does_not_keep_the_process() {
        let output = Output::default();
        let stuck = output.lock();
        let (queue, flush) = start_writer(output.clone(), LogFormat::Pretty).unwrap();
        log(&queue, "line\n");
        let start = Instant::now();

        drop(flush);

        assert!(start.elapsed() < FLUSH * 5);
        drop(stuck);
    }
}
