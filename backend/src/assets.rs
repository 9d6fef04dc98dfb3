//! The pages: the single-page application as Trunk builds it, embedded into the binary (feature
//! `embed-ui`) or read from the workspace.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Where Trunk leaves the pages, for a binary that does not carry them.
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../frontend/dist");
/// The application's own file.
const INDEX: &str = "/index.html";
/// Shown by a server that has no pages.
const NOT_BUILT: &str = include_str!("not_built.html");

#[cfg(feature = "embed-ui")]
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));
#[cfg(not(feature = "embed-ui"))]
const EMBEDDED: &[(&str, &[u8])] = &[];

/// The pages and everything they load.
pub struct Assets(Source);

enum Source {
    /// Carried by the binary.
    Embedded(Arc<Site>),
    /// Read from a folder, and again whenever its index.html changes.
    Folder {
        path: PathBuf,
        read: RwLock<Option<(SystemTime, Arc<Site>)>>,
    },
}

/// One build of the pages.
struct Site {
    files: HashMap<String, File>,
    /// Allows the inline scripts of this build's index.html, and no other.
    policy: HeaderValue,
}

struct File {
    content_type: &'static str,
    /// Its name has a hash of its content, so the content behind the name never changes.
    hashed: bool,
    plain: Encoded,
    brotli: Option<Encoded>,
    gzip: Option<Encoded>,
}

/// Bytes as they are sent, and the tag by which a client says that it has them.
pub(crate) struct Encoded {
    pub(crate) content: Bytes,
    pub(crate) etag: HeaderValue,
}

impl Assets {
    /// The embedded pages, or those in the workspace; without either a page says how to build
    /// them.
    pub fn load() -> Self {
        if EMBEDDED.is_empty() {
            Self::folder(PathBuf::from(DIST))
        } else {
            let files = EMBEDDED
                .iter()
                .map(|(name, content)| (*name, Bytes::from_static(content)));
            Self(Source::Embedded(Arc::new(Site::new(files))))
        }
    }

    /// The pages in a folder, which may come and change while we serve.
    pub fn folder(path: PathBuf) -> Self {
        Self(Source::Folder {
            path,
            read: RwLock::new(None),
        })
    }

    /// Whether there are pages now.
    pub fn are_built(&self) -> bool {
        self.site().is_some()
    }

    fn site(&self) -> Option<Arc<Site>> {
        match &self.0 {
            Source::Embedded(site) => Some(Arc::clone(site)),
            Source::Folder { path, read } => current(path, read),
        }
    }

    /// The application, which finds out by itself what page the path means.
    pub fn page(&self, status: StatusCode, request: &HeaderMap) -> Response {
        if let Some(site) = self.site()
            && let Some(response) = site.respond(INDEX, status, request)
        {
            return response;
        }
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (status, headers, NOT_BUILT).into_response()
    }

    /// What a page loads, where there is such a file.
    pub fn file(&self, path: &str, request: &HeaderMap) -> Option<Response> {
        self.site()?.respond(path, StatusCode::OK, request)
    }
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assets").finish_non_exhaustive()
    }
}

/// The site of a folder; while a build is replacing it, the one before.
fn current(folder: &Path, read: &RwLock<Option<(SystemTime, Arc<Site>)>>) -> Option<Arc<Site>> {
    let last = read.read().unwrap_or_else(PoisonError::into_inner).clone();
    let changed = fs::metadata(folder.join(&INDEX[1..])).and_then(|index| index.modified());
    match (changed, last) {
        (Ok(changed), Some((known, site))) if changed == known => Some(site),
        (Ok(changed), last) => match read_folder(folder) {
            Ok(files) => {
                let files = files
                    .into_iter()
                    .map(|(name, content)| (name, Bytes::from(content)));
                let site = Arc::new(Site::new(files));
                *read.write().unwrap_or_else(PoisonError::into_inner) =
                    Some((changed, Arc::clone(&site)));
                Some(site)
            }
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "the pages cannot be read");
                last.map(|(_, site)| site)
            }
        },
        (Err(_), last) => last.map(|(_, site)| site),
    }
}

/// Every file below a folder, by its path in a URL.
fn read_folder(root: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            {
                files.push((format!("/{name}"), fs::read(&path)?));
            }
        }
    }
    Ok(files)
}

impl Site {
    /// `.br` and `.gz` files are other forms of the file they are named after.
    fn new<N: Into<String>>(files: impl IntoIterator<Item = (N, Bytes)>) -> Self {
        let mut contents: HashMap<String, Bytes> = files
            .into_iter()
            .map(|(name, content)| (name.into(), content))
            .collect();
        let names: Vec<String> = contents
            .keys()
            .filter(|name| {
                !name.rsplit_once('.').is_some_and(|(plain, encoding)| {
                    matches!(encoding, "br" | "gz") && contents.contains_key(plain)
                })
            })
            // A name starting with a dot is a tool's, none a page needs.
            .filter(|name| !name.contains("/."))
            .cloned()
            .collect();
        let mut site = Self {
            files: HashMap::new(),
            policy: policy(""),
        };
        for name in names {
            let Some(content) = contents.remove(&name) else {
                continue;
            };
            if name == INDEX {
                site.policy = policy(&String::from_utf8_lossy(&content));
            }
            let file = File {
                content_type: content_type(&name),
                hashed: is_hashed(&name),
                plain: Encoded::new(content),
                brotli: contents.remove(&format!("{name}.br")).map(Encoded::new),
                gzip: contents.remove(&format!("{name}.gz")).map(Encoded::new),
            };
            site.files.insert(name, file);
        }
        site
    }

    fn respond(&self, path: &str, status: StatusCode, request: &HeaderMap) -> Option<Response> {
        let file = self.files.get(path)?;
        let (encoded, encoding) = file.negotiate(request);
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, encoded.etag.clone());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(file.caching()),
        );
        if file.brotli.is_some() || file.gzip.is_some() {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if path == INDEX {
            headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        }
        // A 404 is no news about a file, so it has no «not modified».
        if status == StatusCode::OK && is_known(request, &encoded.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(file.content_type),
        );
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        *response.status_mut() = status;
        *response.body_mut() = Body::from(encoded.content.clone());
        Some(response)
    }
}

impl File {
    /// The smallest form that the client takes.
    fn negotiate(&self, request: &HeaderMap) -> (&Encoded, Option<&'static str>) {
        for (form, name) in [(&self.brotli, "br"), (&self.gzip, "gzip")] {
            if let Some(encoded) = form
                && accepts(request, name)
            {
                return (encoded, Some(name));
            }
        }
        (&self.plain, None)
    }

    const fn caching(&self) -> &'static str {
        if self.hashed {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }
}

impl Encoded {
    pub(crate) fn new(content: Bytes) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&digest(&SHA256, &content).as_ref()[..12]);
        // Quoted base64url is always a header value.
        let etag = HeaderValue::from_str(&format!("\"{hash}\""))
            .unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { content, etag }
    }
}

/// Whether the client takes an encoding (RFC 9110 §12.5.3). `*` is not taken at its word: who wants
/// less than all knows the names.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    list(request, &header::ACCEPT_ENCODING).any(|entry| {
        let (name, parameter) = entry.split_once(';').unwrap_or((entry, ""));
        let refused = parameter.trim().strip_prefix("q=").is_some_and(|weight| {
            weight
                .trim()
                .parse::<f32>()
                .is_ok_and(|weight| weight <= 0.0)
        });
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

/// Whether the client has this very content (RFC 9110 §13.1.2).
pub(crate) fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    list(request, &header::IF_NONE_MATCH).any(|known| {
        known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == etag.as_bytes()
    })
}

fn list<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    request
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Trunk and wasm-bindgen put a number of 16 hexadecimal digits into the names of what they build,
/// and Trunk leaves out the zeros that it begins with.
fn is_hashed(name: &str) -> bool {
    name.split(['/', '-', '_', '.']).any(|part| {
        (12..=16).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The policy of the pages: everything from here, nothing inline but what the build put there.
fn policy(index: &str) -> HeaderValue {
    let scripts: String = inline_scripts(index)
        .into_iter()
        .map(|script| STANDARD.encode(digest(&SHA256, script.as_bytes())))
        .flat_map(|hash| [" 'sha256-".to_owned(), hash, "'".to_owned()])
        .collect();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The text of every `<script>` without `src`. Good enough for what our own build writes, and a
/// script it misses is not run rather than run unchecked.
fn inline_scripts(html: &str) -> Vec<&str> {
    let mut scripts = Vec::new();
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once("<script") {
        let Some((attributes, content)) = tag.split_once('>') else {
            break;
        };
        let Some((script, after)) = content.split_once("</script>") else {
            break;
        };
        if !attributes
            .split_ascii_whitespace()
            .any(|attribute| attribute.starts_with("src="))
        {
            scripts.push(script);
        }
        rest = after;
    }
    scripts
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const INDEX_HTML: &str =
        "<!doctype html><script type=\"module\">load()</script><script src=\"/a.js\"></script>";

    fn site() -> Site {
        Site::new([
            ("/index.html", Bytes::from_static(INDEX_HTML.as_bytes())),
            ("/app-0123456789abcdef_bg.wasm", Bytes::from_static(b"wasm")),
            (
                "/app-0123456789abcdef_bg.wasm.br",
                Bytes::from_static(b"br"),
            ),
            (
                "/app-0123456789abcdef_bg.wasm.gz",
                Bytes::from_static(b"gz"),
            ),
            ("/favicon.svg", Bytes::from_static(b"<svg/>")),
            ("/.stamp", Bytes::from_static(b"secret")),
        ])
    }

    fn request(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn get(path: &str, request: &HeaderMap) -> Response {
        site().respond(path, StatusCode::OK, request).unwrap()
    }

    #[test]
    fn smallest_form_that_the_client_takes_is_sent() {
        let wasm = "/app-0123456789abcdef_bg.wasm";
        for (accepted, sent) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip;q=1.0, br;q=0", Some("gzip")),
            ("BR", Some("br")),
            ("identity", None),
            ("", None),
            ("gzip; q=0.000", None),
        ] {
            let response = get(wasm, &request(header::ACCEPT_ENCODING, accepted));
            let encoding = response.headers().get(header::CONTENT_ENCODING);

            assert_eq!(
                encoding.map(|value| value.to_str().unwrap()),
                sent,
                "{accepted}"
            );
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/wasm");
        }
    }

    #[test]
    fn a_hash_is_one_without_the_zeros_that_it_begins_with_too() {
        for name in ["/app-152b96ca2228c18.js", "/app-152b96ca2228c18_bg.wasm"] {
            assert!(is_hashed(name), "{name}");
        }
        for name in ["/index.html", "/app-decade.js", "/app-0123456789abcdef0.js"] {
            assert!(!is_hashed(name), "{name}");
        }
    }

    #[test]
    fn hashed_names_are_kept_for_ever_and_others_asked_for_again() {
        let caching = |path| get(path, &HeaderMap::new()).headers()[header::CACHE_CONTROL].clone();

        assert_eq!(
            caching("/app-0123456789abcdef_bg.wasm"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(caching("/index.html"), "no-cache");
        assert_eq!(caching("/favicon.svg"), "no-cache");
    }

    #[test]
    fn known_content_is_not_sent_again() {
        let etag = get("/favicon.svg", &HeaderMap::new()).headers()[header::ETAG].clone();
        let etag = etag.to_str().unwrap();
        for known in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let response = get("/favicon.svg", &request(header::IF_NONE_MATCH, &known));
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let other = get("/favicon.svg", &request(header::IF_NONE_MATCH, "\"x\""));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn page_for_an_unknown_path_is_never_not_modified() {
        let response = site()
            .respond(
                INDEX,
                StatusCode::NOT_FOUND,
                &request(header::IF_NONE_MATCH, "*"),
            )
            .unwrap();

        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn policy_names_the_inline_script_of_the_build_and_nothing_else() {
        let response = get(INDEX, &HeaderMap::new());
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();

        // printf 'load()' | openssl dgst -sha256 -binary | base64
        insta::assert_snapshot!(policy, @"default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-Qn5QVYTzqsxnj0ilm2l+WQZU301YmwVBksEDoZZ/Fbk='; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    }

    #[test]
    fn files_of_tools_are_not_served() {
        assert!(
            site()
                .respond("/.stamp", StatusCode::OK, &HeaderMap::new())
                .is_none()
        );
        assert!(
            site()
                .respond(
                    "/app-0123456789abcdef_bg.wasm.br",
                    StatusCode::OK,
                    &HeaderMap::new()
                )
                .is_none()
        );
    }

    #[tokio::test]
    async fn pages_of_a_folder_come_and_change_while_serving() {
        let folder = tempfile::tempdir().unwrap();
        let assets = Assets::folder(folder.path().to_path_buf());
        let text = async || {
            let response = assets.page(StatusCode::OK, &HeaderMap::new());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let write = |content: &str, seconds| {
            let path = folder.path().join("index.html");
            fs::write(&path, content).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };

        assert!(!assets.are_built());
        assert!(text().await.contains("The pages are not built"));
        write("first", 1000);
        assert_eq!(text().await, "first");
        write("second", 2000);
        assert_eq!(text().await, "second");
        fs::remove_file(folder.path().join("index.html")).unwrap();
        assert_eq!(
            text().await,
            "second",
            "a build in progress takes nobody's page away"
        );
    }
}
