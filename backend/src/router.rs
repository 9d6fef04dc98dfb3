//! Every route, and what every request passes on its way in and every answer on its way out.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use countersign_types::{Problem, ProblemCode, accounts::Home, routes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use ipnet::IpNet;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    accounts, answer::problem_response, app::App, docs, error::Error, extract::ClientAddress,
    guard::Location, health, keys, metrics, rng, server::Peer, sessions,
};

/// How long a request may take in all; every wait inside is shorter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long path and query may be, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;
/// How long a request id of somebody else's may be.
const MAX_REQUEST_ID: usize = 64;
/// The request id's header.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a page may use of the machine it runs on: nothing.
const PERMISSIONS: &str = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), \
    geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign"
    ),
    modifiers(&Credentials),
)]
struct Document;

/// How a request proves who sent it.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let cookie = ApiKeyValue::with_description(
            "countersign_refresh",
            "The refresh token, for pages; `__Host-countersign_refresh` where `public_url` is https. \
             Counts in same-origin requests only.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme(
            "refresh_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(cookie)),
        );
    }
}

/// Every route of the API, each with its description.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(sessions::http::router())
        .merge(accounts::http::router())
        .merge(keys::http::router())
        .merge(health::http::router())
}

/// Everything that Countersign answers where it is alone: `/` and unknown paths included.
///
/// Serve it with [`crate::server::run`], or with `into_make_service_with_connect_info::<SocketAddr>()`:
/// limits go by the peer's address.
pub fn standalone(app: App) -> Router {
    let router = pages(described_api(), &routes::pages::ALL).fallback(elsewhere);
    measured(router, &app, Home::Pages).with_state(app)
}

/// What fits into somebody's own application: the API and the pages but `/`, and no answer to unknown
/// paths. Served as [`standalone`] is.
pub fn mounted(app: App) -> Router {
    let router = pages(described_api(), &routes::pages::MOUNTED);
    measured(router, &app, Home::Application).with_state(app)
}

/// The API alone, for an application with pages of its own; served as [`standalone`] is.
pub fn api_router(app: App) -> Router {
    measured(described_api(), &app, Home::Application).with_state(app)
}

/// These pages, and what they load.
fn pages(router: Router<App>, paths: &[&str]) -> Router<App> {
    paths
        .iter()
        .fold(router, |router, page| {
            router.route(page, get(page_of_the_application))
        })
        .route(routes::pages::FILES, get(file_of_the_pages))
}

/// What is counted, for a listener of its own.
pub(crate) fn metrics_router(app: App) -> Router {
    let router = metrics::http::router().fallback(async || Error::NotFound);
    layered(router, &app, Home::Application).with_state(app)
}

/// The API, the document that describes it, and the page that shows the document.
fn described_api() -> Router<App> {
    let (api, document) = api().split_for_parts();
    api.merge(docs::http::router(document))
}

/// What every request passes, and is counted by. Outermost, so that nothing is missed.
fn measured(router: Router<App>, app: &App, home: Home) -> Router<App> {
    let measure = middleware::from_fn_with_state(app.clone(), metrics::http::measure);
    layered(router, app, home).layer(measure)
}

/// What every request passes. The pages are told whose home it is.
fn layered(router: Router<App>, app: &App, home: Home) -> Router<App> {
    // The body is read only where a token may be in it.
    let router = if app.guards.locations().contains(Location::Json) {
        router.layer(app.auth().json_tokens())
    } else {
        router
    };
    router
        .layer(Extension(home))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        // Read from the last to the first: that is the way in.
        .layer(middleware::from_fn(refuse_malformed_and_slow))
        // A panic is caught inside of what gives its answer a request id and headers.
        .layer(CatchPanicLayer::custom(|_| Error::Panicked.into_response()))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            add_security_headers,
        ))
        // Outermost, so that every answer has an id and every log line its request.
        .layer(middleware::from_fn_with_state(app.clone(), identify))
}

async fn page_of_the_application(State(app): State<App>, headers: HeaderMap) -> Response {
    app.assets.page(http::StatusCode::OK, &headers)
}

async fn file_of_the_pages(State(app): State<App>, request: Request) -> Response {
    app.assets
        .file(request.uri().path(), request.headers())
        .unwrap_or_else(|| Error::NotFound.into_response())
}

/// What no route takes: a file of the pages, a page that does not exist, or nothing.
async fn elsewhere(State(app): State<App>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Error::NotFound.into_response();
    }
    let path = request.uri().path();
    if let Some(file) = app.assets.file(path, request.headers()) {
        return file;
    }
    if is_page(path) && wants_html(request.headers()) {
        // The application says that there is no such page, in its own words.
        return app
            .assets
            .page(http::StatusCode::NOT_FOUND, request.headers());
    }
    Error::NotFound.into_response()
}

/// Whether a path could be one of the application's, rather than the API's or a file.
fn is_page(path: &str) -> bool {
    let below = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let last = path.rsplit('/').next().unwrap_or(path);
    !(below("/auth") || below("/.well-known") || below("/dev") || last.contains('.'))
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

/// Who asks, under which id; and the log's line about it.
async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let client = client_address(&request, &app.trusted_proxies);
    if let Some(client) = client {
        request.extensions_mut().insert(ClientAddress(client));
    }
    let id = request_id(&request, &app);
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    // The path as the route has it: one that nobody knows may hold anything, also a secret.
    let route = path.as_ref().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = method.as_str(),
        route,
    );
    let began = app.clock.monotonic();
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| {
        let elapsed = app.clock.monotonic().saturating_sub(began);
        tracing::debug!(status = response.status().as_u16(), ?elapsed, "answered");
    });

    // A fault of ours names its request, which is how the log is searched for its cause.
    if let Some(problem) = response.extensions().get::<Problem>().cloned()
        && problem.code == ProblemCode::InternalError
    {
        let request_id = id.to_str().ok().map(str::to_owned);
        response = with_body_of(
            response,
            problem_response(Problem {
                request_id,
                ..problem
            }),
        );
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The headers of the one, the body of the other.
fn with_body_of(response: Response, other: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, other.into_body())
}

/// A new id; one that came with the request only from a proxy that we trust.
fn request_id(request: &Request, app: &App) -> HeaderValue {
    let theirs = request.headers().get(&REQUEST_ID).filter(|value| {
        (1..=MAX_REQUEST_ID).contains(&value.len())
            && value
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    });
    if let Some(theirs) = theirs
        && peer(request).is_some_and(|peer| is_trusted(peer, &app.trusted_proxies))
    {
        return theirs.clone();
    }
    let ours = rng::id(app.clock.now()).to_string();
    HeaderValue::from_str(&ours).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Whose connection it is.
fn peer(request: &Request) -> Option<IpAddr> {
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().map(|Peer(address)| *address);
    let address = peer.or_else(|| {
        extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0)
    })?;
    Some(address.ip().to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The nearest address that is no proxy of ours. `X-Forwarded-For` is read from the right, where
/// our own proxies wrote; what is left of the first stranger may be anybody's invention.
fn client_address(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

    let mut client = peer(request)?;
    let values: Vec<&str> = request
        .headers()
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .flat_map(|value| value.split(','))
        .collect();
    for value in values.into_iter().rev() {
        if !is_trusted(client, trusted) {
            break;
        }
        let Some(address) = parse_address(value.trim()) else {
            break;
        };
        client = address;
    }
    Some(client)
}

/// An address, with or without a port.
fn parse_address(value: &str) -> Option<IpAddr> {
    value
        .parse::<IpAddr>()
        .or_else(|_| value.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| value.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
        .map(|address| address.to_canonical())
}

/// On every answer, unless the handler said something stricter or fitter.
async fn add_security_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    );
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(HeaderName::from_static("permissions-policy"), PERMISSIONS);
    set(header::CACHE_CONTROL, "no-store");
    if app.https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// What two readers could understand differently is refused, and what takes too long is cut.
async fn refuse_malformed_and_slow(request: Request, next: Next) -> Response {
    if !has_one_host(&request) {
        return Error::MalformedHost.into_response();
    }
    if request
        .uri()
        .path_and_query()
        .is_some_and(|uri| uri.as_str().len() > MAX_URI_BYTES)
    {
        return Error::UriTooLong.into_response();
    }
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
        .await
        .unwrap_or_else(|_| Error::TimedOut.into_response())
}

/// RFC 9112 §3.2: exactly one; HTTP/1.0 may have none.
fn has_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host
            .to_str()
            .is_ok_and(|host| host.parse::<http::uri::Authority>().is_ok()),
        (None, None) => {
            request.version() < Version::HTTP_11 || request.version() > Version::HTTP_11
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        let peer: IpAddr = peer.parse().unwrap();
        request
            .extensions_mut()
            .insert(Peer(SocketAddr::new(peer, 1)));
        for (name, value) in headers {
            request.headers_mut().append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        request
    }

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let headers: Vec<_> = forwarded
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        client_address(&request(peer, &headers), &trusted)
            .unwrap()
            .to_string()
    }

    #[test]
    fn forwarded_address_is_believed_of_trusted_proxies_only() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn forwarded_addresses_are_read_from_the_right_to_the_first_stranger() {
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.9.9.9"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "198.51.100.1", "::1"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn forwarded_address_may_have_a_port() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn reading_ends_at_what_is_no_address() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["198.51.100.1, evil, 10.0.0.2"]),
            "10.0.0.2"
        );
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn only_paths_without_a_dot_outside_the_api_can_be_pages() {
        for (path, expected) in [
            ("/nowhere", true),
            ("/sign-in/", true),
            ("/authors", true),
            ("/auth/nowhere", false),
            ("/auth/", false),
            ("/.well-known/nothing", false),
            ("/dev/mail", false),
            ("/app.js", false),
            ("/a.b/c", true),
        ] {
            assert_eq!(is_page(path), expected, "{path}");
        }
    }

    #[test]
    fn exactly_one_host_is_needed() {
        for (hosts, expected) in [
            (&["localhost:3000"] as &[_], true),
            (&["[::1]:3000"], true),
            (&[], false),
            (&["a", "b"], false),
            (&[""], false),
            (&["a b"], false),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(
                has_one_host(&request("127.0.0.1", &headers)),
                expected,
                "{hosts:?}"
            );
        }
    }
}
