//! The real binary as a process.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use serde_json::Value;

use super::{Answer, Database};

/// The binary, with nothing of our environment that would configure it: what the suite was started
/// with is its own business.
pub(crate) fn countersign() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COUNTERSIGN_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running `countersign serve`; killed when dropped.
pub(crate) struct Binary {
    child: Mutex<Child>,
    origin: String,
    client: reqwest::Client,
}

impl Binary {
    /// Starts on a free port, with its data in `folder`, and waits until it listens.
    pub(crate) fn serve(folder: &Path, database: &Database) -> Self {
        Self::serve_with(folder, database, &[]).0
    }

    /// The same with variables on top, and with what it logged until it listened.
    pub(crate) fn serve_with(
        folder: &Path,
        database: &Database,
        settings: &[(&str, &str)],
    ) -> (Self, Vec<Value>) {
        let mut command = countersign();
        command
            .args(["serve", "--port", "0"])
            .current_dir(folder)
            .env("COUNTERSIGN_LIMITS__SCALE", "1000000")
            // A slow machine may take its time to start anew.
            .env("COUNTERSIGN_SESSION__REFRESH_GRACE", "60s")
            // Another port at every start, and tokens that outlive it.
            .env("COUNTERSIGN_TOKEN__ISSUER", "http://issuer.test")
            .env("COUNTERSIGN_TOKEN__AUDIENCE", "http://audience.test")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(url) = database.url() {
            command.env("COUNTERSIGN_DATABASE__URL", url);
        }
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let origin = loop {
            let line = log.next().expect("it listens before its log ends").unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = line["fields"]["address"].as_str() {
                break format!("http://{address}");
            }
            said.push(line);
        };
        // Read on: a full pipe would hold the process up.
        std::thread::spawn(move || log.for_each(drop));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let binary = Self {
            child: Mutex::new(child),
            origin,
            client,
        };
        (binary, said)
    }

    /// The answer, or `None` where there was none.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self
            .client
            .post(format!("{}{path}", self.origin))
            .json(body);
        Answer::attempt(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Answer> {
        Answer::attempt(self.client.get(format!("{}{path}", self.origin))).await
    }

    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Option<Answer> {
        Answer::attempt(
            self.client
                .get(format!("{}{path}", self.origin))
                .bearer_auth(token),
        )
        .await
    }

    pub(crate) async fn post_as(&self, path: &str, token: &str) -> Option<Answer> {
        Answer::attempt(
            self.client
                .post(format!("{}{path}", self.origin))
                .bearer_auth(token),
        )
        .await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    /// SIGTERM: it may finish what it is at.
    pub(crate) fn terminate(&self) {
        let pid = self.child.lock().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and whether that was a good one.
    pub(crate) fn has_ended_well(&self) -> bool {
        self.child.lock().unwrap().wait().unwrap().success()
    }

    /// SIGKILL: no time to write anything down.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may be gone already.
        if let Ok(child) = self.child.get_mut() {
            let _gone = child.kill().and_then(|()| child.wait());
        }
    }
}
