//! `countersign serve`

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{Failure, banner, load, port, port::Listener};
use crate::{
    app::App,
    clock::SystemClock,
    config::{Config, Flags, Warning},
    server::{self, Limits},
    telemetry,
};

/// Ended by a second signal, before the drain was over: 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// What the connections of those take who read the metrics: few, and their answers are small.
const OF_METRICS: Limits = Limits {
    connections: 16,
    head: Duration::from_secs(10),
    stalled: Duration::from_secs(35),
    drain: Duration::from_secs(1),
};

/// What `serve` takes.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen on this address and port [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    listen: Option<String>,
    /// Listen on this port of the configured address; 0 takes any that is free
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    flags: Flags,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let flags = Flags {
            listen: self.listen,
            port: self.port,
            ..self.flags
        };
        let (config, warnings) = load(flags)?;
        let flush = telemetry::start(&config.log).context("the log could not be set up")?;
        let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
        let served = runtime.block_on(serve(&config, &warnings));
        // Threads that still wait for a file or a name must not keep the process.
        runtime.shutdown_background();
        drop(flush);
        Ok(served?)
    }
}

async fn serve(config: &Config, warnings: &[Warning]) -> anyhow::Result<()> {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let (listener, address) = bind(Listener::Server, config.server.listen).await?;
    let metrics = match config.metrics.listen {
        Some(address) => Some(bind(Listener::Metrics, address).await?),
        None => None,
    };
    let app = App::open(config, Arc::new(SystemClock::new()), address.port()).await?;

    let shutdown = CancellationToken::new();
    let signals = Signals::new().context("signals cannot be received")?;
    tokio::spawn(signals.stop(shutdown.clone()));
    app.keys.turn_to_algorithm().await?;
    app.keep_swept();
    app.keep_keys();
    let metrics_address = metrics.as_ref().map(|(_, address)| *address);
    banner::show(config, &app, address, metrics_address);

    let drained = CancellationToken::new();
    let serve = async {
        server::run(listener, app.standalone(), shutdown, Limits::default()).await;
        drained.cancel();
    };
    let count = async {
        if let Some((listener, _)) = metrics {
            // To the end of the drain, which is worth watching.
            server::run(listener, app.metrics(), drained.clone(), OF_METRICS).await;
        }
    };
    tokio::join!(serve, count);
    app.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Listens, and says where: the system chooses, where the port is 0.
async fn bind(of: Listener, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| port::explain(of, address, error))?;
    let address = listener
        .local_addr()
        .context("the address that was bound is not known")?;
    Ok((listener, address))
}

/// What ends the server: Ctrl-C, or a supervisor.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The first one drains, the second ends the process at once: who asks twice is in a hurry.
    async fn stop(mut self, shutdown: CancellationToken) {
        self.next().await;
        tracing::info!("stopping: running requests may finish, a second signal ends them");
        shutdown.cancel();
        self.next().await;
        std::process::exit(INTERRUPTED);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
