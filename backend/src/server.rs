//! The accept loop: connections with limits, and their end.
//!
//! `axum::serve` gives hyper no timer, so that a client which sends its headers one byte a minute
//! keeps a connection for ever (axum #2741); hence our own. Knows nothing of routes.

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt as _};

/// How many bytes the head of a request may have; more is answered 431. So is a hundred headers,
/// by hyper's own default.
const HEAD_BYTES: usize = 32 * 1024;
/// How long to wait after an error that the next attempt would meet, too.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The address of the connection's other end, in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections at once; more wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take, from the end of the answer before it: an idle
    /// connection ends by the same limit.
    pub head: Duration,
    /// How long a peer may read or write nothing when it is its turn.
    pub stalled: Duration,
    /// How long running requests have to finish after the server was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head: Duration::from_secs(10),
            // hyper reads on while a request is worked on, to notice when the client leaves. So this
            // is longer than any request may take, or it would cut those that wait for their answer.
            stalled: Duration::from_secs(35),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`, then lets running requests finish, but no longer than `limits.drain`.
pub async fn run<S, B>(
    listener: TcpListener,
    service: S,
    shutdown: CancellationToken,
    limits: Limits,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(HEAD_BYTES)
        // Beyond this hyper reads no further ahead; it has to hold a whole head.
        .max_buf_size(2 * HEAD_BYTES);

    let accept = async {
        loop {
            // Room first: a connection that was accepted and is not served would only wait unseen.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let (stream, peer) = accept(&listener).await;
            let connection = serve(
                http.clone(),
                stream,
                Peer(peer),
                service.clone(),
                shutdown.clone(),
                limits.stalled,
            );
            let cut = cut.clone();
            connections.spawn(async move {
                cut.run_until_cancelled(connection).await;
                drop(place);
            });
        }
    };
    shutdown.run_until_cancelled(accept).await;

    // New connections are refused from here on, so that a balancer turns elsewhere.
    drop(listener);
    connections.close();
    if timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "connections were cut, since they did not finish in time"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// The next connection, however many attempts it takes: nothing that a peer or a full table of
/// files does ends the server.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn Error,
                    "no connection can be accepted; trying again"
                );
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Whether the peer left before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// One connection, from its first request to its last.
async fn serve<S, B>(
    http: http1::Builder,
    stream: TcpStream,
    peer: Peer,
    service: S,
    shutdown: CancellationToken,
    stalled: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    // Answers are written whole; waiting for more to send only delays them. Where it cannot be
    // set, the connection is gone already.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(stalled));
    stream.set_write_timeout(Some(stalled));

    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.clone().oneshot(request)
    });
    let stream: Pin<Box<_>> = Box::pin(stream);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // What a peer does wrong, or a network, is no news to an operator.
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn Error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::{
        Extension, Router,
        body::{Body, Bytes},
        routing::{get, post},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    /// Long enough to tell apart from never, short enough to wait for.
    const SHORT: Duration = Duration::from_millis(200);
    /// A test that waits this long has failed.
    const NEVER: Duration = Duration::from_secs(10);

    /// Each test shortens the one it is about.
    fn patient() -> Limits {
        Limits {
            connections: 100,
            head: NEVER * 2,
            stalled: NEVER * 2,
            drain: NEVER * 2,
        }
    }

    struct Server {
        address: SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let routes = Router::new()
                .route("/", get(async || "hello"))
                .route(
                    "/peer",
                    get(async |Extension(Peer(peer)): Extension<Peer>| peer.to_string()),
                )
                .route(
                    "/slow",
                    get(async || {
                        sleep(SHORT * 3).await;
                        "done"
                    }),
                )
                .route("/never", get(std::future::pending::<&'static str>))
                .route("/echo", post(async |body: Bytes| body))
                .route("/large", get(async || Body::from(vec![b'x'; 64 << 20])));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let shutdown = CancellationToken::new();
            let task = tokio::spawn(run(listener, routes, shutdown.clone(), limits));
            Self {
                address,
                shutdown,
                task,
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        async fn send(&self, text: &str) -> TcpStream {
            let mut stream = self.connect().await;
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn get_once(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    }

    /// What comes until the other side closes or resets.
    async fn read_all(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let ended = timeout(NEVER, stream.read_to_end(&mut bytes)).await;
        assert!(ended.is_ok(), "the connection stays open");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn read_answer(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"hello") {
            let byte = timeout(NEVER, stream.read_u8()).await.unwrap().unwrap();
            bytes.push(byte);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn request_knows_its_peer() {
        let server = Server::start(patient()).await;
        let mut stream = server.send(&get_once("/peer")).await;
        let own = stream.local_addr().unwrap();

        let answer = read_all(&mut stream).await;

        assert!(answer.ends_with(&own.to_string()), "{answer}");
    }

    #[tokio::test]
    async fn head_that_never_ends_is_cut() {
        let server = Server::start(Limits {
            head: SHORT,
            ..patient()
        })
        .await;

        for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: a\r\nx-slow: "] {
            let mut stream = server.send(beginning).await;
            let answer = read_all(&mut stream).await;
            assert!(!answer.contains("200 OK"), "{answer}");
        }
    }

    #[tokio::test]
    async fn head_that_drips_is_cut() {
        let server = Server::start(Limits {
            head: SHORT,
            ..patient()
        })
        .await;
        let mut stream = server.connect().await;

        let cut = timeout(NEVER, async {
            for byte in GET.bytes().cycle().filter(|byte| *byte != b'\n') {
                sleep(SHORT / 8).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        })
        .await;

        assert!(cut.is_ok(), "every byte won another delay");
    }

    #[tokio::test]
    async fn idle_connection_ends_and_a_used_one_stays() {
        let server = Server::start(Limits {
            head: SHORT,
            ..patient()
        })
        .await;
        let mut stream = server.connect().await;

        for _ in 0..4 {
            sleep(SHORT / 2).await;
            stream.write_all(GET.as_bytes()).await.unwrap();
            read_answer(&mut stream).await;
        }

        assert_eq!(read_all(&mut stream).await, "");
    }

    #[tokio::test]
    async fn body_that_stalls_is_cut() {
        let server = Server::start(Limits {
            stalled: SHORT,
            ..patient()
        })
        .await;
        let mut stream = server
            .send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
            .await;

        let answer = read_all(&mut stream).await;

        assert!(!answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test]
    async fn reader_that_stalls_is_cut() {
        let server = Server::start(Limits {
            stalled: SHORT,
            ..patient()
        })
        .await;
        let mut stream = server.send(&get_once("/large")).await;

        sleep(SHORT * 5).await;

        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"));
        assert!(answer.len() < 64 << 20, "all of it came");
    }

    #[tokio::test]
    async fn head_too_large_is_answered_431() {
        let server = Server::start(patient()).await;
        let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));

        for head in [large, many] {
            let answer = read_all(&mut server.send(&head).await).await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    }

    #[tokio::test]
    async fn full_house_lets_the_next_one_wait() {
        let server = Server::start(Limits {
            connections: 1,
            ..patient()
        })
        .await;
        let mut first = server.send(GET).await;
        read_answer(&mut first).await;

        let mut second = server.send(&get_once("/")).await;
        let waiting = timeout(SHORT, second.read_u8()).await;
        assert!(waiting.is_err(), "the second was served beside the first");

        drop(first);
        assert!(read_all(&mut second).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn running_request_finishes_and_idle_connections_end_at_once() {
        let server = Server::start(patient()).await;
        let mut idle = server.send(GET).await;
        read_answer(&mut idle).await;
        let mut fresh = server.connect().await;
        let mut slow = server.send(&get_once("/slow")).await;
        sleep(SHORT).await;

        server.shutdown.cancel();

        assert_eq!(read_all(&mut idle).await, "");
        assert_eq!(read_all(&mut fresh).await, "");
        assert!(read_all(&mut slow).await.ends_with("done"));
        timeout(NEVER, server.task).await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn request_that_does_not_finish_is_cut_after_the_drain() {
        let server = Server::start(Limits {
            drain: SHORT,
            ..patient()
        })
        .await;
        let mut stream = server.send(&get_once("/never")).await;
        sleep(SHORT).await;
        let start = Instant::now();

        server.shutdown.cancel();

        timeout(NEVER, server.task).await.unwrap().unwrap();
        assert!(start.elapsed() >= SHORT);
        assert_eq!(read_all(&mut stream).await, "");
    }

    #[tokio::test]
    async fn shutdown_before_the_first_connection_ends_the_server() {
        let server = Server::start(patient()).await;

        server.shutdown.cancel();

        timeout(NEVER, server.task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn request_of_a_client_that_left_is_dropped() {
        static RUNNING: AtomicBool = AtomicBool::new(false);
        struct Running;
        impl Drop for Running {
            fn drop(&mut self) {
                RUNNING.store(false, Ordering::SeqCst);
            }
        }
        let routes = Router::new().route(
            "/",
            get(async || {
                RUNNING.store(true, Ordering::SeqCst);
                let _running = Running;
                std::future::pending::<&'static str>().await
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(run(listener, routes, CancellationToken::new(), patient()));
        let until = async |running| {
            timeout(NEVER, async {
                while RUNNING.load(Ordering::SeqCst) != running {
                    sleep(Duration::from_millis(5)).await;
                }
            })
            .await
            .unwrap();
        };

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(true).await;
        drop(stream);

        until(false).await;
    }
}
