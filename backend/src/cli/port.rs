//! Why an address cannot be listened on.

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
};

/// The key of an address, and how somebody chooses another port for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listener {
    Server,
    Metrics,
}

impl Listener {
    fn other(self, address: SocketAddr) -> String {
        let other = address.port().checked_add(1).unwrap_or(3000);
        match self {
            Self::Server => format!("countersign serve --port {other}"),
            Self::Metrics => format!(
                "set metrics.listen to another, such as {}",
                SocketAddr::new(address.ip(), other)
            ),
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Server => "server.listen",
            Self::Metrics => "metrics.listen",
        }
    }
}

/// The error, with who is in the way and what to do.
pub(super) fn explain(listener: Listener, address: SocketAddr, error: io::Error) -> anyhow::Error {
    let key = listener.key();
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = holder(port).map_or_else(String::new, |Holder { pid, name }| {
                format!(" (by pid {pid}, `{name}`)")
            });
            let other = listener.other(address);
            anyhow::anyhow!("port {port} of {key} is in use{holder}: {other}")
        }
        ErrorKind::PermissionDenied => anyhow::Error::new(error).context(format!(
            "cannot listen on {address} ({key}): ports below 1024 need a right; take a higher one"
        )),
        ErrorKind::AddrNotAvailable => anyhow::Error::new(error).context(format!(
            "cannot listen on {address} ({key}): this machine does not have this address"
        )),
        _ => anyhow::Error::new(error).context(format!("cannot listen on {address} ({key})")),
    }
}

/// A process that listens.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
}

/// Who listens on a port, where Linux lets us see it: our own processes.
fn holder(port: u16) -> Option<Holder> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| holds(*pid, &sockets))
        .map(|pid| Holder {
            pid,
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
}

/// The inodes of the sockets that listen on a port, from the kernel's table (proc(5)).
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let end = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&end) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn taken_port_names_its_process_and_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = TcpListener::bind(address).unwrap_err();

        let text = explain(Listener::Server, address, refused).to_string();

        let (port, pid) = (address.port(), std::process::id());
        let start = format!("port {port} of server.listen is in use (by pid {pid}, `");
        assert!(text.starts_with(&start), "{text}");
        assert!(
            text.ends_with(&format!("`): countersign serve --port {}", port + 1)),
            "{text}"
        );
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1\n\
             1: 0100007F:0BB8 0100007F:1388 01 00000000:00000000 00:00000000 00000000  1000        0 222 1\n\
             2: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1\n\
             3: broken\n";

        assert_eq!(listening(table, 3000), ["111"]);
        assert!(listening("", 3000).is_empty());
    }
}
