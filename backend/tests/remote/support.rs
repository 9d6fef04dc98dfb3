//! An issuer: keys, tokens, and a server that answers exactly the bytes it is told to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign::{
    clock::{Clock as _, ManualClock},
    guard::GuardError,
    remote::{RemoteKeys, RemoteVerifier},
    timestamp::Timestamp,
    token::{Algorithm, Grant, PrivateKey, Rejection, Signer, SigningKey, Subject},
};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "https://api.test";
pub(crate) const KEYS: &str = "/jwks.json";

/// What the server says at a path.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing for ever.
    Hang(Vec<u8>),
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self::with(
            "200 OK",
            "Content-Type: application/json\r\n",
            &body.to_string(),
        )
    }

    pub(crate) fn status(line: &str) -> Self {
        Self::with(line, "", "")
    }

    pub(crate) fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        Self::Bytes(text.into_bytes())
    }
}

/// A server on a port of its own, until it is stopped or dropped.
pub(crate) struct Issuer {
    scheme: &'static str,
    address: SocketAddr,
    pub(crate) clock: ManualClock,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    /// The head of every request there was.
    requests: Mutex<Vec<String>>,
    /// Whether answers may go out; where not, requests pile up.
    is_open: watch::Sender<bool>,
}

impl Issuer {
    /// Publishes keys at [`KEYS`].
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        Self::listen(keys, None).await
    }

    /// The same over TLS, with a certificate for a name that vouches for itself.
    pub(crate) async fn start_tls(keys: &[&Key], name: &str) -> (Self, String) {
        let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = certified.signing_key.serialize_der();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certified.cert.der().clone()],
                PrivatePkcs8KeyDer::from(key).into(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (
            Self::listen(keys, Some(acceptor)).await,
            certified.cert.pem(),
        )
    }

    async fn listen(keys: &[&Key], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            replies: Mutex::default(),
            requests: Mutex::default(),
            is_open: watch::Sender::new(true),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                // Dropped with this task, and with it every open connection.
                let mut open = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    open.spawn(async move {
                        match tls {
                            None => shared.answer(stream).await,
                            // A client may well refuse the certificate.
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    shared.answer(stream).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        let issuer = Self {
            scheme,
            address,
            // 2026-01-01, noon.
            clock: ManualClock::at(Timestamp::from_secs(1_767_268_800)),
            shared,
            task,
        };
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.reply(KEYS, Reply::json(&json!({ "keys": keys })));
    }

    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        let mut replies = self.shared.replies.lock().unwrap();
        replies.insert(path.to_owned(), reply);
    }

    /// How often a path was asked for.
    pub(crate) fn calls(&self, path: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        let start = format!("GET {path} ");
        requests.iter().filter(|it| it.starts_with(&start)).count()
    }

    /// The head of the last request, in lower case.
    pub(crate) fn last_request(&self) -> String {
        let requests = self.shared.requests.lock().unwrap();
        requests.last().unwrap().to_lowercase()
    }

    /// Answers nothing until the doors are opened.
    pub(crate) fn close_doors(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub(crate) fn open_doors(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// Ends, with every connection: nobody listens there any more.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    /// What accepts its tokens, by the address of its keys.
    pub(crate) fn keys(&self) -> RemoteKeys {
        self.common(RemoteKeys::of_jwks(self.url(KEYS), ISSUER))
    }

    /// Its clock and audience.
    pub(crate) fn common(&self, keys: RemoteKeys) -> RemoteKeys {
        keys.audience(AUDIENCE).clock(self.clock.clone())
    }

    pub(crate) fn token(&self, key: &Key) -> String {
        self.token_of(ISSUER, key)
    }

    pub(crate) fn token_of(&self, issuer: &str, key: &Key) -> String {
        let now = self.clock.now().as_secs();
        Signer::new(key.signing(), issuer, AUDIENCE)
            .lifetime(Duration::from_hours(20))
            .sign(
                &Subject::new(Uuid::from_u128(1)),
                &Grant::new(),
                Uuid::from_u128(2),
                now,
            )
            .unwrap()
            .expose()
            .to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.requests.lock().unwrap().push(head);
        let mut is_open = self.is_open.subscribe();
        is_open.wait_for(|is_open| *is_open).await.unwrap();
        let reply = self.replies.lock().unwrap().get(&path).cloned();
        let reply = reply.unwrap_or_else(|| Reply::status("404 Not Found"));
        let (Reply::Bytes(bytes) | Reply::Hang(bytes)) = &reply;
        // Whoever has heard enough may hang up.
        drop(stream.write_all(bytes).await);
        drop(stream.flush().await);
        if matches!(reply, Reply::Hang(_)) {
            std::future::pending::<()>().await;
        }
    }
}

/// A key of an issuer.
pub(crate) struct Key(pub(crate) PrivateKey);

impl Key {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self(PrivateKey::generate(algorithm).unwrap())
    }

    fn signing(&self) -> SigningKey {
        self.0.signing_key().unwrap()
    }

    pub(crate) fn jwk(&self) -> Value {
        serde_json::to_value(self.signing().verifying_key().unwrap().jwk()).unwrap()
    }
}

/// What becomes of a token: `Ok`, or the error's words.
pub(crate) async fn verdict(verifier: &RemoteVerifier, token: &str) -> Result<(), Refused> {
    match verifier.verify(token).await {
        Ok(_) => Ok(()),
        Err(GuardError::Token(rejection)) => Err(Refused::Token(rejection)),
        Err(GuardError::Unavailable(_)) => Err(Refused::Unavailable),
        Err(other) => panic!("{other}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Token(Rejection),
    Unavailable,
}

pub(crate) const UNKNOWN: Result<(), Refused> = Err(Refused::Token(Rejection::UnknownKey));
