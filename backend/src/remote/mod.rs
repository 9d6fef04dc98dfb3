//! Tokens of somebody else's: of a Countersign, or of any OpenID provider, verified by the keys that
//! it publishes.
//!
//! Owns when keys are fetched, which of them are used and for how long. Where they are fetched from
//! is configuration alone: nothing that a token says is ever fetched.

mod address;
mod fetch;
mod key_set;
mod refresh;
mod schedule;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use rustls_native_certs::load_native_certs;
use serde::Deserialize;
use tokio::{
    task,
    time::{self, Instant},
};

use self::{
    address::Address,
    fetch::{Document, Fetcher},
    refresh::{Failed, Fetched, Refresh},
    schedule::{Reason, Schedule},
};
pub use self::{address::AddressError, fetch::FetchError};
use crate::{
    Auth,
    answer::Chain,
    clock::{Clock, SystemClock},
    guard::{Accept, Accepted, Ask, GuardError},
    token::{Algorithm, Finding, Profile, PublicKeys, Rejection, Unverified, Verified, Verifier},
};

/// Every algorithm with a public key. A Countersign's keys name theirs.
const ASYMMETRIC: [Algorithm; 9] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];
/// Those of providers, whose RSA keys often name none: OpenID's default is RS256.
const USUAL: [Algorithm; 4] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
    Algorithm::Rs256,
];

/// Whose tokens to accept, and where that issuer's keys are.
///
/// ```no_run
/// use countersign::{Auth, remote::RemoteKeys};
///
/// # async fn example() -> Result<(), countersign::remote::RemoteError> {
/// let ours = RemoteKeys::of_countersign("https://auth.example.com").build().await?;
/// let theirs = RemoteKeys::of_issuer("https://accounts.example.org")
///     .audience("https://api.example.com")
///     .build()
///     .await?;
/// let auth = Auth::remote(ours);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched before it is built"]
pub struct RemoteKeys {
    issuer: String,
    place: Place,
    profile: Profile,
    audiences: Vec<String>,
    /// Where none is set.
    own_audience: Option<String>,
    algorithms: Vec<Algorithm>,
    authorities: Vec<Vec<u8>>,
    may_be_plain: bool,
    timeout: Duration,
    interval: Duration,
    stale_for: Duration,
    leeway: Option<Duration>,
    longest_life: Option<Duration>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone)]
enum Place {
    /// The issuer is a Countersign, beneath whose origin the set is.
    Countersign,
    /// The set itself.
    KeySet(String),
    /// A document of the issuer names it.
    Discovery,
}

/// Why there is no [`RemoteVerifier`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The issuer or the address of its keys.
    #[error("the address is not acceptable")]
    Address(#[from] AddressError),
    /// Tokens have an `iss` of exactly one form, and with another one none would be accepted.
    #[error("not the public URL of a Countersign, which has this form: `{expected}`")]
    NotOrigin {
        /// The origin in what was given.
        expected: String,
    },
    /// Without an audience every token of the issuer would do, also one that was made for somebody
    /// else.
    #[error("no audience was given")]
    NoAudience,
    /// An empty list, or one with HMAC: its keys are secrets, and what is published is none.
    #[error("the algorithms must be some with public keys")]
    Algorithms,
    /// What was given as an authority is no certificate in PEM.
    #[error("not a certificate in PEM")]
    Certificate,
    /// A slim container has none; installing `ca-certificates` there, or naming a file in
    /// `SSL_CERT_FILE`, gives it some.
    #[error("this system trusts no certificate authority at all")]
    NoAuthorities(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// The crypto library has no TLS.
    #[error("TLS cannot be set up")]
    Tls,
    /// The first fetch failed.
    #[error("the keys cannot be fetched from {url}")]
    Fetch {
        /// The URL, without its query: of the set, or of the document that names it.
        url: String,
        /// Why.
        #[source]
        error: FetchError,
    },
}

/// What it says and why: `main` shows an error by its debug form.
impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Chain(self))
    }
}

impl From<Failed> for RemoteError {
    fn from(Failed { url, error }: Failed) -> Self {
        Self::Fetch { url, error }
    }
}

impl RemoteKeys {
    /// A Countersign elsewhere, by its `public_url`: its keys are at `/.well-known/jwks.json`
    /// beneath it, its tokens are as in RFC 9068, and their audience is the URL itself unless
    /// another one is set. The URL is an origin as tokens have it in `iss`: in lower case, and
    /// without the scheme's own port. Where its `token.issuer` is something else, take
    /// [`RemoteKeys::of_jwks`] and [`RemoteKeys::profile`].
    pub fn of_countersign(public_url: impl Into<String>) -> Self {
        let public_url = public_url.into();
        // Forgiven, as in the Countersign's own configuration: `iss` has none.
        let issuer = public_url.strip_suffix('/').unwrap_or(&public_url);
        Self {
            own_audience: Some(issuer.to_owned()),
            algorithms: ASYMMETRIC.to_vec(),
            ..Self::new(issuer.to_owned(), Place::Countersign, Profile::Rfc9068)
        }
    }

    /// A provider that has a discovery document: OpenID Connect's, or where there is none, that of
    /// RFC 8414. It has to name exactly this issuer. Its tokens are JWTs ([`Verifier::jwt`]).
    pub fn of_issuer(issuer: impl Into<String>) -> Self {
        Self::new(issuer.into(), Place::Discovery, Profile::Jwt)
    }

    /// The issuer of a JWK set, by the set's address. Its tokens are JWTs ([`Verifier::jwt`]).
    pub fn of_jwks(jwks_url: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self::new(issuer.into(), Place::KeySet(jwks_url.into()), Profile::Jwt)
    }

    fn new(issuer: String, place: Place, profile: Profile) -> Self {
        Self {
            issuer,
            place,
            profile,
            audiences: Vec::new(),
            own_audience: None,
            algorithms: USUAL.to_vec(),
            authorities: Vec::new(),
            may_be_plain: false,
            timeout: Duration::from_secs(5),
            interval: Duration::from_secs(10),
            stale_for: Duration::from_hours(24),
            leeway: None,
            longest_life: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Accepts tokens for this audience; one of several is enough.
    ///
    /// # Security
    ///
    /// It has to be this service's own: a token that was made for another one could otherwise be
    /// used here by whoever got it there.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Uses keys of these algorithms and no others. Unless set, they are all that have public keys
    /// for a Countersign, and ES256, ES384, `EdDSA` and RS256 for others. An RSA key that names no
    /// algorithm takes the one of RSA in this list, where there is exactly one.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// What a token must look like, where it is not what the constructor says.
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Trusts these certificates (PEM) as authorities too, beside those of the system.
    pub fn trust(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Fetches keys over `http` from other machines too.
    ///
    /// # Security
    ///
    /// Whoever is between the two machines can put in own keys, and be anybody. Only for networks
    /// that encrypt by themselves.
    pub const fn allow_plain_http(mut self) -> Self {
        self.may_be_plain = true;
        self
    }

    /// How long a fetch takes at most, discovery included, and a request that waits for it: 5
    /// seconds, unless set.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How far apart the fetches are at least that tokens of unknown keys cause: 10 seconds, unless
    /// set. However many such tokens come, the issuer's server is asked no more often.
    pub const fn unknown_key_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long keys are used after their time is over while no newer ones can be fetched: a day,
    /// unless set. After that guarded requests are 503. A key that was withdrawn meanwhile goes on
    /// as long.
    pub const fn stale_for(mut self, stale_for: Duration) -> Self {
        self.stale_for = stale_for;
        self
    }

    /// How far the clocks of issuer and this machine may be apart ([`Verifier::leeway`]).
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = Some(leeway);
        self
    }

    /// The longest life of a token ([`Verifier::longest_life`]).
    pub const fn longest_life(mut self, longest: Duration) -> Self {
        self.longest_life = Some(longest);
        self
    }

    /// Another clock than the system's; for tests of what time does.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Fetches the keys, and goes on keeping them fresh on the runtime this is called on.
    ///
    /// # Errors
    ///
    /// [`RemoteError`] where something is set wrongly, or the first fetch brings no key that can be
    /// used: a service that cannot let anybody in says so at its start.
    pub async fn build(self) -> Result<RemoteVerifier, RemoteError> {
        let source = self.source().await?;
        let first = source.fetch(Reason::Time).await?;
        refresh::report(&self.issuer, &first.judged.left_out);
        let first = first.usable()?;
        Ok(self.start(source, Some(first)))
    }

    /// Starts without keys, and fetches them in the background: for services that may start before
    /// their issuer does. Until the first fetch succeeds, guarded requests are 503.
    ///
    /// # Errors
    ///
    /// [`RemoteError`] where something is set wrongly.
    pub async fn build_lazily(self) -> Result<RemoteVerifier, RemoteError> {
        let source = self.source().await?;
        Ok(self.start(source, None))
    }

    async fn source(&self) -> Result<Source, RemoteError> {
        if self.algorithms.is_empty() || self.algorithms.iter().any(|it| it.is_symmetric()) {
            return Err(RemoteError::Algorithms);
        }
        if self.audiences.is_empty() && self.own_audience.is_none() {
            return Err(RemoteError::NoAudience);
        }
        let places = match &self.place {
            Place::Countersign => {
                let origin = Address::parse(&self.issuer, self.may_be_plain)?.origin();
                if origin != self.issuer {
                    return Err(RemoteError::NotOrigin { expected: origin });
                }
                let key_set = format!("{origin}{}", countersign_types::routes::JWKS);
                Places::KeySet(Address::parse(&key_set, self.may_be_plain)?)
            }
            Place::KeySet(url) => Places::KeySet(Address::parse(url, self.may_be_plain)?),
            Place::Discovery => {
                Places::Discovery(Address::discovery(&self.issuer, self.may_be_plain)?)
            }
        };
        let (authorities, timeout) = (self.authorities.clone(), self.timeout);
        let is_https = match &places {
            Places::KeySet(address) | Places::Discovery([address, _]) => address.is_https(),
        };
        // Half of the time to connect, so that what follows has some too.
        let fetcher = task::spawn_blocking(move || {
            // Reads files, which blocks.
            let system = load_native_certs();
            Fetcher::new(system, &authorities, is_https, timeout / 2)
        })
        .await
        .map_err(|_| RemoteError::Tls)??;
        Ok(Source {
            fetcher,
            places,
            issuer: self.issuer.clone(),
            algorithms: self.algorithms.clone(),
            may_be_plain: self.may_be_plain,
            timeout,
        })
    }

    fn start(self, source: Source, first: Option<Fetched>) -> RemoteVerifier {
        let source = Arc::new(source);
        let refresh = Refresh::start(
            self.issuer.clone(),
            Arc::clone(&self.clock),
            Schedule::new(self.interval, self.stale_for),
            self.timeout,
            first,
            move |reason| {
                let source = Arc::clone(&source);
                async move { source.fetch(reason).await }
            },
        );
        let mut audiences = self.audiences;
        if audiences.is_empty() {
            audiences.extend(self.own_audience);
        }
        let keys = refresh.keys().clone();
        let mut verifier = Verifier::of_profile(self.profile, keys.into()).issuer(&*self.issuer);
        for audience in audiences {
            verifier = verifier.audience(audience);
        }
        if let Some(leeway) = self.leeway {
            verifier = verifier.leeway(leeway);
        }
        if let Some(longest) = self.longest_life {
            verifier = verifier.longest_life(longest);
        }
        RemoteVerifier(Arc::new(Remote {
            issuer: self.issuer,
            algorithms: self.algorithms,
            clock: self.clock,
            verifier,
            refresh,
        }))
    }
}

/// Accepts the tokens of an issuer elsewhere, by keys that are kept fresh until the last clone of
/// this is dropped. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteVerifier(Arc<Remote>);

#[derive(Debug)]
struct Remote {
    issuer: String,
    algorithms: Vec<Algorithm>,
    clock: Arc<dyn Clock>,
    verifier: Verifier,
    refresh: Refresh,
}

/// There are no keys, or only such as were not confirmed for too long.
#[derive(Debug, thiserror::Error)]
#[error("no keys of the issuer could be fetched for too long")]
struct NoFreshKeys;

impl RemoteVerifier {
    /// A token that is genuine and holds now. Whether its session still lives is not known here. A
    /// token of an unknown key may wait for a fetch.
    ///
    /// # Errors
    ///
    /// [`GuardError::Token`] says why not, [`GuardError::Unavailable`] that there are no keys to
    /// judge it by.
    pub async fn verify(&self, token: &str) -> Result<Verified, GuardError> {
        let remote = &*self.0;
        if !remote.refresh.is_usable() {
            remote.refresh.wait().await;
            if !remote.refresh.is_usable() {
                return Err(GuardError::Unavailable(Box::new(NoFreshKeys)));
            }
        }
        let seen = self.keys();
        let rejection = match remote.verify(token) {
            Ok(verified) => return Ok(verified),
            Err(rejection) => rejection,
        };
        if remote.may_be_of_a_newer_key(token, rejection) && remote.refresh.are_renewed(&seen).await
        {
            return Ok(remote.verify(token)?);
        }
        remote.say_why(token, rejection);
        Err(rejection.into())
    }

    /// The keys that are known now.
    pub fn keys(&self) -> Arc<PublicKeys> {
        self.0.refresh.keys().load()
    }
}

impl Accept for RemoteVerifier {
    fn accept<'a>(&'a self, token: &'a str, _: Ask) -> Accepted<'a> {
        Box::pin(self.verify(token))
    }
}

impl Auth {
    /// Asks the keys of an issuer elsewhere, and no session: a token is accepted until it expires,
    /// also after a sign-out.
    pub fn remote(verifier: RemoteVerifier) -> Self {
        Self::new(Arc::new(verifier))
    }
}

impl Remote {
    fn verify(&self, token: &str) -> Result<Verified, Rejection> {
        self.verifier.verify(token, self.clock.now().as_secs())
    }

    /// A token of this issuer's keys that is refused all the same is mostly a setting that should be
    /// mended, and who has to find it is told both sides. The answer tells neither.
    fn say_why(&self, token: &str, rejection: Rejection) {
        let claim = match rejection {
            Rejection::WrongIssuer => "iss",
            Rejection::WrongAudience => "aud",
            Rejection::LivesTooLong => "exp - iat",
            _ => return,
        };
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let findings = self.verifier.explain(token, self.clock.now().as_secs());
        for Finding { expected, got, .. } in findings.iter().filter(|it| it.what == claim) {
            // Signed, and still somebody else's text: quoted.
            tracing::debug!(
                claim,
                expected,
                ?got,
                "a token is signed by a key of the issuer and refused for a claim"
            );
        }
    }

    /// Whether newer keys could change the verdict. Read from what nobody has signed yet, so it
    /// decides no more than whether the issuer is asked, which it is seldom enough.
    fn may_be_of_a_newer_key(&self, token: &str, rejection: Rejection) -> bool {
        let Ok(token) = Unverified::read(token) else {
            return false;
        };
        let is_unknown = match rejection {
            Rejection::UnknownKey => true,
            // Without a name every key of the algorithm was tried, and the right one may be new.
            Rejection::BadSignature | Rejection::WrongAlgorithm => {
                !token.header.contains_key("kid")
            }
            _ => false,
        };
        let text = |value: Option<&serde_json::Value>, expected: &str| {
            value.and_then(serde_json::Value::as_str) == Some(expected)
        };
        is_unknown
            && text(token.claims.get("iss"), &self.issuer)
            && self.algorithms.iter().any(|algorithm| {
                let mut names = [Some(algorithm.as_str()), algorithm.full_name()]
                    .into_iter()
                    .flatten();
                names.any(|name| text(token.header.get("alg"), name))
            })
    }
}

/// Where the keys come from.
#[derive(Debug)]
struct Source {
    fetcher: Fetcher,
    places: Places,
    issuer: String,
    algorithms: Vec<Algorithm>,
    may_be_plain: bool,
    timeout: Duration,
}

#[derive(Debug)]
enum Places {
    KeySet(Address),
    /// The first, and the second where nothing is at the first.
    Discovery([Address; 2]),
}

/// What is read of a discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// The keys, from wherever they are now.
    async fn fetch(&self, reason: Reason) -> Result<Fetched, Failed> {
        let request = Request {
            source: self,
            reason,
            begin: Instant::now(),
        };
        let discovered;
        let key_set = match &self.places {
            Places::KeySet(address) => address,
            Places::Discovery(places) => {
                // Each time, since an issuer may move its keys.
                discovered = self.discover(places, &request).await?;
                &discovered
            }
        };
        let document = request.get(key_set).await?;
        let judged = key_set::judge(&document.body, &self.algorithms)
            .map_err(|error| failed(key_set, error))?;
        Ok(Fetched {
            judged,
            lifetime: document.lifetime,
            url: key_set.shown(),
        })
    }

    async fn discover(
        &self,
        [first, second]: &[Address; 2],
        request: &Request<'_>,
    ) -> Result<Address, Failed> {
        let mut place = first;
        let document = match request.get(first).await {
            // Nothing is there. Any other failure may be over soon, and says nothing of the second.
            Err(Failed {
                error: FetchError::Status(404 | 410),
                ..
            }) => {
                place = second;
                request.get(second).await?
            }
            other => other?,
        };
        let discovery: Discovery = serde_json::from_slice(&document.body)
            .map_err(|_| failed(place, FetchError::NoDiscovery))?;
        // Exactly (RFC 8414 §3.3): otherwise one issuer could pass its keys off as another's.
        if discovery.issuer != self.issuer {
            return Err(failed(place, FetchError::OtherIssuer));
        }
        let key_set = Address::parse(&discovery.jwks_uri, self.may_be_plain)
            .map_err(|error| failed(place, error.into()))?;
        // What was learnt safely must not be thrown away by an unsafe second step.
        if first.is_https() && !key_set.is_https() {
            return Err(failed(place, AddressError::Insecure.into()));
        }
        Ok(key_set)
    }
}

/// One fetch, of one document or of two, which have one time together.
struct Request<'s> {
    source: &'s Source,
    reason: Reason,
    begin: Instant,
}

impl Request<'_> {
    async fn get(&self, address: &Address) -> Result<Document, Failed> {
        let rest = self.source.timeout.saturating_sub(self.begin.elapsed());
        time::timeout(rest, self.source.fetcher.get(address, self.reason))
            .await
            .unwrap_or(Err(FetchError::Timeout))
            .map_err(|error| failed(address, error))
    }
}

fn failed(address: &Address, error: FetchError) -> Failed {
    Failed {
        url: address.shown(),
        error,
    }
}
