//! A PostgreSQL server for one test run: of its own, on a free loopback port, gone at the end.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::job::{self, Interrupted};
use crate::setup::{self, Workspace};
use crate::ui::Step;

/// The server must be up by then, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs as the server's user. It lives as long as its stdin, which is ours: however xtask ends, even
/// killed, the server is stopped and its folder removed.
const SCRIPT: &str = r#"
folder=$1; bin=$2; port=$3
trap '' INT TERM HUP
"$bin/initdb" --pgdata "$folder/data" --username postgres --auth trust --encoding UTF8 \
    --locale C.UTF-8 --no-sync || exit 1
"$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$folder" -c fsync=off -c full_page_writes=off \
    -c max_connections=200 -c lc_messages=C &
read -r _
kill -INT $!
wait
rm -rf "$folder"
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    lifeline: Option<ChildStdin>,
    folder: PathBuf,
    /// Where its `postgres` database is.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts a server, after installing PostgreSQL where it is missing and that may be done.
    pub(crate) fn start(workspace: &Workspace, step: &mut Step) -> Result<Self> {
        let bin = find(workspace)?;
        let log = workspace.log("postgres")?;
        let port = free_port()?;
        let folder = folder()?;
        let file = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = as_other_than_root(workspace, &folder)?;
        let mut child = command
            .args(["-c", SCRIPT, "postgres-for-tests"])
            .args([folder.as_os_str(), bin.as_os_str()])
            .arg(port.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().context("sharing the log file")?)
            .stderr(file)
            .spawn()
            .context("starting a shell for PostgreSQL")?;
        let lifeline = child.stdin.take();
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let mut server = Self {
            child,
            lifeline,
            folder,
            url,
        };
        server.wait_until_ready(workspace, &log, step)?;
        Ok(server)
    }

    fn wait_until_ready(
        &mut self,
        workspace: &Workspace,
        log: &Path,
        step: &mut Step,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let said = job::read_log(log);
            if said.contains("ready to accept connections") {
                return Ok(());
            }
            let ended = self
                .child
                .try_wait()
                .context("waiting for PostgreSQL")?
                .is_some();
            if ended || said.contains("FATAL") || started.elapsed() > LIMIT {
                job::show_tail(log, 20);
                bail!("PostgreSQL did not start; its log is {}", log.display());
            }
            if workspace.interrupted() {
                return Err(Interrupted.into());
            }
            step.tick("starting");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            drop(lifeline.write_all(b"end\n"));
        }
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(15) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // The shell has removed the folder unless initdb failed before.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The folder with `initdb` and `postgres`, installed where it is missing and that may be done.
fn find(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(bin) = look(workspace) {
        return Ok(bin);
    }
    setup::install(workspace, "The tests need PostgreSQL", &["postgresql"])?;
    look(workspace).context("PostgreSQL is installed but its initdb is nowhere to be found")
}

fn look(workspace: &Workspace) -> Option<PathBuf> {
    let mut folders = Vec::new();
    if let Some(initdb) = setup::on_path("initdb") {
        // A link on PATH leads to the folder where the server's other files are found from.
        let initdb = fs::canonicalize(initdb).ok()?;
        folders.extend(initdb.parent().map(Path::to_owned));
    }
    let asked = job::output_of(workspace.command("pg_config").arg("--bindir"));
    folders.extend(asked.map(PathBuf::from));
    folders.extend(versioned(Path::new("/usr/lib/postgresql")));
    folders
        .into_iter()
        .find(|it| it.join("initdb").is_file() && it.join("postgres").is_file())
}

/// Debian's folders, the newest version first.
fn versioned(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_string_lossy().parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// A port that nobody listens on now. Somebody could take it before PostgreSQL does; then it says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}

/// A folder of our own, short enough for the path of a socket.
fn folder() -> Result<PathBuf> {
    let base = if setup::is_root() {
        PathBuf::from("/tmp")
    } else {
        std::env::temp_dir()
    };
    let folder = base.join(format!("countersign-postgres-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("closing {} to others", folder.display()))?;
    Ok(folder)
}

/// A shell as somebody whom PostgreSQL serves: it refuses to run as root.
fn as_other_than_root(workspace: &Workspace, folder: &Path) -> Result<Command> {
    if !setup::is_root() {
        return Ok(workspace.command("sh"));
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find(|user| job::output_of(Command::new("id").arg(user)).is_some())
        .context("PostgreSQL does not run as root and there is no user `postgres` or `nobody`")?;
    let status = Command::new("chown")
        .arg(user)
        .arg(folder)
        .status()
        .context("running chown")?;
    if !status.success() {
        bail!("giving {} to {user} failed", folder.display());
    }
    let mut command = workspace.command("setpriv");
    let group = job::output_of(Command::new("id").args(["-g", user]))
        .with_context(|| format!("user {user} has no group"))?;
    command.args(["--reuid", user, "--regid", &group, "--clear-groups", "sh"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "16", "common"] {
            fs::create_dir(root.path().join(version)).unwrap();
        }

        let found = versioned(root.path());

        let wanted = ["16", "15", "9"].map(|version| root.path().join(version).join("bin"));
        assert_eq!(found, wanted);
    }
}
