//! Who may call whom: the dependency directions of the architecture, checked on the sources' paths.
//!
//! This reads tokens, not types: comments, strings and test modules are left out, `use` trees are
//! unfolded, `self`, `super` and `crate` are resolved. That finds whatever is written down, which is
//! what a reviewer would see too.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file's place among the sources and its text.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path from the root of the clone, with slashes.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// A path that leads where it should not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    what: String,
    reason: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            what,
            reason,
        } = self;
        write!(formatter, "{path}:{line}: {what}\n    {reason}")
    }
}

const WEB: &str = "axum, http, hyper and tower stay in http.rs, router.rs, answer.rs, extract.rs, error.rs, guard/, \
                   no_store.rs, app.rs, assets.rs, same_origin.rs, server.rs, token_answer.rs, lib.rs, \
                   cli/serve.rs and remote/'s address.rs and fetch.rs: rules must run without a web server";
const SQL: &str = "sqlx stays in store/ and a feature's store.rs: rules must not know SQL";
const OTHERS_INSIDE: &str = "another feature is called through its mod.rs only: its http.rs and \
                             store.rs are its own business";
const HTTP_SKIPS_RULE: &str = "a handler calls one rule of its own mod.rs, never the store: \
                               otherwise a rule is passed by";
const STORE_CALLS_UP: &str = "a store.rs holds SQL only: it calls neither http.rs nor the web";
const PURE_TOKEN: &str = "token/ imports nothing of ours but the type that hides a token, and no \
                          axum, sqlx or tokio, so that it can be used and reviewed alone";
const PURE_SHARED: &str = "shared imports nothing of ours: both sides of the wire build on it";
const ROW_LEAK: &str = "rows and domain types never derive Serialize, so that none can leak: wire \
                        types live in shared and are converted in http.rs";
const STATIC_STATE: &str = "no static state: state lives in App, so that two servers fit into one \
                            process and a test";
const NET_IN_API: &str = "api.rs is the only user of gloo-net: one method per path";
const STORAGE_IN_SESSION: &str = "session.rs is the only user of gloo-storage: one place knows where \
                                  the token is";
const PLAIN_COMPONENTS: &str = "components take props and callbacks: api, session and pages are \
                                composed by the pages";
const ONE_GATE: &str = "tokens are issued by sessions::issue and accepted by sessions::accept alone, \
                        which ask the gate whether session and account live: a second way would forget to";
const SHORT_MAIN: &str = "main.rs parses, builds and serves in at most 30 lines";

/// Reads the sources of the three crates that have directions.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) -> Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("reading {}", folder.display()))?
                .path();
            if path.is_dir() {
                walk(root, &path, found)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                let path = path.strip_prefix(root).unwrap_or(&path);
                let path = path.to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    for folder in ["backend/src", "frontend/src", "shared/src"] {
        walk(root, &root.join(folder), &mut found)?;
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Every violation in the sources.
pub(crate) fn violations(sources: &[Source]) -> Vec<Violation> {
    let features = features(sources);
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !is_test(&source.path)) {
        let tokens = without_tests(&lex(&source.text));
        let mut add = |line: usize, what: &str, reason: &'static str| {
            let violation = Violation {
                path: source.path.clone(),
                line,
                what: what.to_owned(),
                reason,
            };
            if !found.contains(&violation) {
                found.push(violation);
            }
        };
        if let Some(path) = source.path.strip_prefix("backend/src/") {
            backend(path, source, &tokens, &features, &mut add);
        } else if let Some(path) = source.path.strip_prefix("frontend/src/") {
            frontend(path, &tokens, &mut add);
        } else if let Some(path) = source.path.strip_prefix("shared/src/") {
            for used in paths(path, &tokens) {
                if ["countersign", "countersign_leptos"].contains(&used.first()) {
                    add(used.line, &used.text(), PURE_SHARED);
                }
            }
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Folders of the backend that hold a feature: they have a handler or a store beside their rules.
fn features(sources: &[Source]) -> BTreeSet<String> {
    sources
        .iter()
        .filter_map(|source| source.path.strip_prefix("backend/src/"))
        .filter_map(|path| path.split_once('/'))
        .filter(|(folder, file)| ["http.rs", "store.rs"].contains(file) && *folder != "store")
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

fn backend(
    path: &str,
    source: &Source,
    tokens: &[Token],
    features: &BTreeSet<String>,
    add: &mut impl FnMut(usize, &str, &'static str),
) {
    const WEB_FILES: [&str; 14] = [
        "router.rs",
        "answer.rs",
        "extract.rs",
        "error.rs",
        "no_store.rs",
        "app.rs",
        "assets.rs",
        "same_origin.rs",
        "server.rs",
        "token_answer.rs",
        "lib.rs",
        "cli/serve.rs",
        // A client: it fetches the keys of others.
        "remote/address.rs",
        "remote/fetch.rs",
    ];
    const WEB_CRATES: [&str; 10] = [
        "axum",
        "axum_core",
        "axum_extra",
        "http",
        "http_body_util",
        "hyper",
        "hyper_rustls",
        "hyper_util",
        "tower",
        "tower_http",
    ];
    // Where the parts meet, where they are used, and where the public keys are shown.
    // In issuer.rs for programs that have users of their own and none of ours.
    const SIGNER_FILES: [&str; 3] = ["app.rs", "issuer.rs", "sessions/mod.rs"];
    // In guard/ and remote/ for services that have keys and no sessions, which is what `Auth::of`
    // and `Auth::remote` say.
    const VERIFIER_FILES: [&str; 5] = [
        "app.rs",
        "guard/mod.rs",
        "keys/http.rs",
        "remote/mod.rs",
        "sessions/gate.rs",
    ];

    let (folder, file) = path.split_once('/').unwrap_or(("", path));
    let own_feature = features.contains(folder).then_some(folder);
    let may_web =
        WEB_FILES.contains(&path) || folder == "guard" || file == "http.rs" && !folder.is_empty();
    let is_config = path == "config.rs" || folder == "config";
    let may_sql = folder == "store" || file == "store.rs" && !folder.is_empty();

    for used in paths(path, tokens) {
        let text = used.text();
        let first = used.first();
        // An address in the configuration is a value, which the standard's own type checks.
        let is_value = is_config && first == "http" && ["Uri", "uri"].contains(&used.second());
        let is_web = WEB_CRATES.contains(&first) && !is_value;
        if folder == "token" {
            // What is signed leaves this layer in the type whose `Debug` does not show it.
            let hiding = first == "countersign_types" && used.second() == "Token";
            let ours = first == "crate" && used.second() != "token"
                || first == "countersign_types" && !hiding;
            if ours || is_web || ["sqlx", "tokio"].contains(&first) {
                add(used.line, &text, PURE_TOKEN);
            }
            continue;
        }
        if is_web && may_sql {
            add(used.line, &text, STORE_CALLS_UP);
        } else if is_web && !may_web {
            add(used.line, &text, WEB);
        }
        if first == "sqlx" && !may_sql {
            add(used.line, &text, SQL);
        }
        if first != "crate" || !features.contains(used.second()) {
            continue;
        }
        match (own_feature == Some(used.second()), used.third()) {
            (true, "store") if file == "http.rs" => add(used.line, &text, HTTP_SKIPS_RULE),
            (true, "http") if file == "store.rs" => add(used.line, &text, STORE_CALLS_UP),
            // The router lists every feature's routes; that is what it is for.
            (false, "http") if path != "router.rs" => add(used.line, &text, OTHERS_INSIDE),
            (false, "store") => add(used.line, &text, OTHERS_INSIDE),
            _ => {}
        }
    }

    let holds_rows = may_sql || own_feature.is_some() && file != "http.rs";
    for (index, token) in tokens.iter().enumerate() {
        if holds_rows && token.text == "Serialize" {
            add(token.line, "Serialize", ROW_LEAK);
        }
        let is_field = index > 0 && tokens[index - 1].text == ".";
        let others = match token.text.as_str() {
            "signer" => Some(SIGNER_FILES.as_slice()),
            "verifier" => Some(VERIFIER_FILES.as_slice()),
            _ => None,
        };
        if is_field && others.is_some_and(|files| !files.contains(&path)) {
            add(token.line, &token.text, ONE_GATE);
        }
        if token.text == "static" && is_state(&tokens[index..]) {
            add(token.line, "static", STATIC_STATE);
        }
    }
    let lines = source.text.lines().count();
    if path == "main.rs" && lines > 30 {
        add(lines, &format!("{lines} lines"), SHORT_MAIN);
    }
}

/// Whether a `static` can change: a constant table is no state.
fn is_state(tokens: &[Token]) -> bool {
    const CHANGES: [&str; 8] = [
        "mut", "Mutex", "RwLock", "Cell", "RefCell", "OnceLock", "OnceCell", "DashMap",
    ];
    tokens
        .iter()
        .take_while(|token| token.text != "=" && token.text != ";")
        .any(|token| CHANGES.contains(&token.text.as_str()) || token.text.starts_with("Atomic"))
}

fn frontend(path: &str, tokens: &[Token], add: &mut impl FnMut(usize, &str, &'static str)) {
    for used in paths(path, tokens) {
        let text = used.text();
        if used.first() == "gloo_net" && path != "api.rs" {
            add(used.line, &text, NET_IN_API);
        }
        if used.first() == "gloo_storage" && path != "session.rs" {
            add(used.line, &text, STORAGE_IN_SESSION);
        }
        let ours = used.first() == "crate" && ["api", "session", "pages"].contains(&used.second());
        if path.starts_with("components") && ours {
            add(used.line, &text, PLAIN_COMPONENTS);
        }
    }
}

/// A path as written, resolved as far as it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Used {
    line: usize,
    segments: Vec<String>,
}

impl Used {
    fn at(&self, index: usize) -> &str {
        self.segments.get(index).map_or("", String::as_str)
    }

    fn first(&self) -> &str {
        self.at(0)
    }

    fn second(&self) -> &str {
        self.at(1)
    }

    fn third(&self) -> &str {
        self.at(2)
    }

    fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// All paths in a file, given its place below `src`.
fn paths(path: &str, tokens: &[Token]) -> Vec<Used> {
    let module = module(path);
    let declared: BTreeSet<&str> = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "mod")
        .map(|pair| pair[1].text.as_str())
        .collect();
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if tokens[index].text == "use" {
            index = use_tree(tokens, index + 1, &[], &mut found);
        } else if tokens[index].is_word() && is_joined(tokens, index + 1) {
            let after_dot = index > 0 && tokens[index - 1].text == ".";
            let (used, next) = plain(tokens, index);
            // `value.collect::<Vec<_>>()` is a method, not a path.
            if !after_dot {
                found.push(used);
            }
            index = next;
        } else {
            index += 1;
        }
    }
    found
        .iter()
        .map(|used| resolve(used, &module, &declared))
        .collect()
}

/// The module of a file below `src`.
fn module(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut segments: Vec<String> = path.split('/').map(ToOwned::to_owned).collect();
    if segments
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        segments.pop();
    }
    segments
}

fn is_joined(tokens: &[Token], index: usize) -> bool {
    tokens.get(index).is_some_and(|token| token.text == ":")
        && tokens.get(index + 1).is_some_and(|token| token.text == ":")
}

/// Reads `a::b::c` from its first word; also where it goes on.
fn plain(tokens: &[Token], start: usize) -> (Used, usize) {
    let mut segments = vec![tokens[start].text.clone()];
    let mut index = start + 1;
    while is_joined(tokens, index) && tokens.get(index + 2).is_some_and(Token::is_word) {
        segments.push(tokens[index + 2].text.clone());
        index += 3;
    }
    (
        Used {
            line: tokens[start].line,
            segments,
        },
        index,
    )
}

/// Unfolds a `use` tree up to its `;`, or to the comma or brace that ends a branch.
fn use_tree(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<Used>) -> usize {
    let mut segments = prefix.to_vec();
    let mut index = start;
    let mut branched = false;
    let line = tokens.get(start).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(index) {
        match token.text.as_str() {
            ";" | "," | "}" => break,
            ":" => index += 1,
            "as" => index += 2,
            "{" => {
                branched = true;
                index += 1;
                while tokens.get(index).is_some_and(|token| token.text != "}") {
                    let next = use_tree(tokens, index, &segments, found);
                    // A `;` in braces is no `use` tree; whoever compiles it says so.
                    if next == index && tokens[index].text != "," {
                        break;
                    }
                    index = next;
                    if tokens.get(index).is_some_and(|token| token.text == ",") {
                        index += 1;
                    }
                }
                index += 1;
            }
            word => {
                segments.push(word.to_owned());
                index += 1;
            }
        }
    }
    if !branched && segments.len() > prefix.len() {
        found.push(Used { line, segments });
    }
    index
}

/// Makes a path of ours begin with `crate`; a foreign one stays as it is.
fn resolve(used: &Used, module: &[String], declared: &BTreeSet<&str>) -> Used {
    let mut base = module.to_vec();
    let mut rest = used.segments.as_slice();
    let ours = match used.first() {
        "crate" => return used.clone(),
        "self" => {
            rest = &rest[1..];
            true
        }
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
            true
        }
        first => declared.contains(first),
    };
    if !ours {
        return used.clone();
    }
    let crate_root = ["crate".to_owned()];
    let segments = crate_root
        .iter()
        .chain(&base)
        .chain(rest)
        .cloned()
        .collect();
    Used {
        line: used.line,
        segments,
    }
}

/// A word or a sign, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Cuts a source into words and signs, without comments, strings, characters and lifetimes.
fn lex(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < characters.len() {
        let here = characters[index];
        let next = characters.get(index + 1).copied().unwrap_or('\0');
        let end = match (here, next) {
            ('/', '/') => until(&characters, index, |at| characters[at] == '\n'),
            ('/', '*') => block_comment(&characters, index),
            ('"', _) => string(&characters, index),
            ('r' | 'b' | 'c', '"' | '#' | 'r' | '\'') => {
                prefixed(&characters, index).unwrap_or(index)
            }
            ('\'', _) => quoted(&characters, index),
            _ => index,
        };
        if end > index {
            line += characters[index..end]
                .iter()
                .filter(|one| **one == '\n')
                .count();
            index = end;
            continue;
        }
        // A name that is also a keyword: `r#use` begins no `use`.
        let is_raw = here == 'r' && next == '#';
        let begins = |at: usize| characters.get(at).is_some_and(|one| one.is_alphabetic());
        if is_raw && begins(index + 2) {
            let end = until(&characters, index + 2, |at| {
                !(characters[at].is_alphanumeric() || characters[at] == '_')
            });
            let text = characters[index..end].iter().collect();
            tokens.push(Token { line, text });
            index = end;
            continue;
        }
        if here.is_alphanumeric() || here == '_' {
            let end = until(&characters, index, |at| {
                !(characters[at].is_alphanumeric() || characters[at] == '_')
            });
            let text = characters[index..end].iter().collect();
            tokens.push(Token { line, text });
            index = end;
            continue;
        }
        if here == '\n' {
            line += 1;
        } else if !here.is_whitespace() {
            tokens.push(Token {
                line,
                text: here.to_string(),
            });
        }
        index += 1;
    }
    tokens
}

fn until(characters: &[char], start: usize, stop: impl Fn(usize) -> bool) -> usize {
    (start..characters.len())
        .find(|at| stop(*at))
        .unwrap_or(characters.len())
}

/// The end of a block comment; Rust's nest.
fn block_comment(characters: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut index = start;
    while index + 1 < characters.len() {
        match (characters[index], characters[index + 1]) {
            ('/', '*') => {
                depth += 1;
                index += 2;
            }
            ('*', '/') => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    characters.len()
}

/// The end of a string, from its opening quote.
fn string(characters: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < characters.len() {
        match characters[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    characters.len()
}

/// The end of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; none where it is a mere word.
fn prefixed(characters: &[char], start: usize) -> Option<usize> {
    let quote = until(characters, start, |at| {
        !['r', 'b', 'c'].contains(&characters[at])
    });
    if quote - start > 2 {
        return None;
    }
    let raw = characters[start..quote].contains(&'r');
    let opening = until(characters, quote, |at| characters[at] != '#');
    let hashes = opening - quote;
    match characters.get(opening)? {
        '"' if raw => {
            let closes = |at: usize| {
                characters[at] == '"'
                    && characters[at + 1..]
                        .iter()
                        .take_while(|one| **one == '#')
                        .count()
                        >= hashes
            };
            Some(until(characters, opening + 1, closes) + 1 + hashes)
        }
        '"' if hashes == 0 => Some(string(characters, opening)),
        '\'' if hashes == 0 && characters[start] == 'b' => Some(quoted(characters, opening)),
        _ => None,
    }
}

/// The end of a character or of a lifetime, from its quote.
fn quoted(characters: &[char], start: usize) -> usize {
    match (characters.get(start + 1), characters.get(start + 2)) {
        (Some('\\'), _) => until(characters, start + 3, |at| characters[at] == '\'') + 1,
        (_, Some('\'')) => start + 3,
        _ => until(characters, start + 1, |at| {
            !(characters[at].is_alphanumeric() || characters[at] == '_')
        }),
    }
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let rest = &tokens[index..];
        let marked = rest.len() >= MARK.len()
            && MARK
                .iter()
                .zip(rest)
                .all(|(mark, token)| *mark == token.text);
        if marked {
            index += MARK.len() + item_length(&rest[MARK.len()..]);
        } else {
            kept.push(tokens[index].clone());
            index += 1;
        }
    }
    kept
}

/// The length of the item at the front: to its `;`, or to the brace that closes its first one.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons for one file among a house with two features.
    fn reasons(path: &str, text: &str) -> Vec<&'static str> {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let sources = [
            source("backend/src/accounts/http.rs", ""),
            source("backend/src/accounts/store.rs", ""),
            source("backend/src/sessions/http.rs", ""),
            source(path, text),
        ];
        violations(&sources)
            .iter()
            .map(|violation| violation.reason)
            .collect()
    }

    #[test]
    fn a_rule_that_knows_the_web_is_refused() {
        assert_eq!(
            reasons("backend/src/accounts/mod.rs", "use axum::Json;"),
            [WEB]
        );
        assert_eq!(
            reasons(
                "backend/src/accounts/mod.rs",
                "fn f(s: http::StatusCode) {}"
            ),
            [WEB]
        );
        assert_eq!(
            reasons("backend/src/config.rs", "use {std::fmt, tower::Service};"),
            [WEB]
        );
        assert!(reasons("backend/src/accounts/http.rs", "use axum::Json;").is_empty());
        assert!(reasons("backend/src/router.rs", "use axum::Router;").is_empty());
        assert!(reasons("backend/src/server.rs", "use hyper_util::rt::TokioIo;").is_empty());
    }

    #[test]
    fn the_configuration_knows_addresses_and_nothing_else_of_the_web() {
        assert!(reasons("backend/src/config.rs", "use http::Uri;").is_empty());
        assert!(reasons("backend/src/config/read.rs", "fn f(uri: http::Uri) {}").is_empty());
        assert_eq!(
            reasons("backend/src/config.rs", "use http::HeaderMap;"),
            [WEB]
        );
    }

    #[test]
    fn sql_outside_a_store_is_refused() {
        assert_eq!(
            reasons("backend/src/accounts/mod.rs", "sqlx::query(\"\");"),
            [SQL]
        );
        assert_eq!(
            reasons("backend/src/app.rs", "#[derive(sqlx::FromRow)] struct A;"),
            [SQL]
        );
        assert!(reasons("backend/src/accounts/store.rs", "use sqlx::Row;").is_empty());
        assert!(reasons("backend/src/store/mod.rs", "use sqlx::Row;").is_empty());
    }

    #[test]
    fn a_store_that_knows_the_web_is_refused() {
        assert_eq!(
            reasons("backend/src/accounts/store.rs", "use axum::Json;"),
            [STORE_CALLS_UP]
        );
        assert_eq!(
            reasons("backend/src/accounts/store.rs", "use super::http;"),
            [STORE_CALLS_UP]
        );
    }

    #[test]
    fn a_handler_that_calls_the_store_is_refused() {
        let path = "backend/src/accounts/http.rs";

        assert_eq!(reasons(path, "use super::store;"), [HTTP_SKIPS_RULE]);
        assert_eq!(
            reasons(path, "use crate::accounts::{self, store::find};"),
            [HTTP_SKIPS_RULE]
        );
        assert_eq!(
            reasons(path, "fn f() { super::store::find() }"),
            [HTTP_SKIPS_RULE]
        );
        assert!(reasons(path, "use super::{register, RegisterError};").is_empty());
    }

    #[test]
    fn another_features_inside_is_refused() {
        let path = "backend/src/sessions/mod.rs";

        assert_eq!(
            reasons(path, "use crate::accounts::store::find;"),
            [OTHERS_INSIDE]
        );
        assert_eq!(reasons(path, "use super::accounts::http;"), [OTHERS_INSIDE]);
        assert_eq!(
            reasons("backend/src/app.rs", "crate::accounts::store::x()"),
            [OTHERS_INSIDE]
        );
        assert!(reasons(path, "use crate::accounts::find;").is_empty());
        assert!(reasons("backend/src/router.rs", "use crate::accounts::http;").is_empty());
    }

    #[test]
    fn the_token_layer_and_shared_stay_pure() {
        let path = "backend/src/token/verify.rs";

        assert_eq!(reasons(path, "use crate::clock::Clock;"), [PURE_TOKEN]);
        assert_eq!(reasons(path, "use super::super::config;"), [PURE_TOKEN]);
        assert_eq!(reasons(path, "use countersign_types::Email;"), [PURE_TOKEN]);
        assert_eq!(reasons(path, "tokio::spawn(x);"), [PURE_TOKEN]);
        assert!(reasons(path, "use super::keys::Key; use crate::token::Claims;").is_empty());
        assert!(reasons(path, "use countersign_types::Token;").is_empty());
        assert_eq!(
            reasons("shared/src/lib.rs", "use countersign::App;"),
            [PURE_SHARED]
        );
    }

    #[test]
    fn a_way_round_the_gate_is_refused() {
        let issues = "fn f(app: &App) { app.signer.sign(subject, id, now, life) }";
        let accepts = "fn f(app: &App) { app.verifier.verify(token, now) }";

        assert_eq!(reasons("backend/src/accounts/mod.rs", issues), [ONE_GATE]);
        assert_eq!(reasons("backend/src/accounts/http.rs", accepts), [ONE_GATE]);
        assert_eq!(reasons("backend/src/sessions/mod.rs", issues), [""; 0]);
        assert_eq!(reasons("backend/src/sessions/gate.rs", accepts), [""; 0]);
    }

    #[test]
    fn a_row_that_serialises_is_refused() {
        let text = "#[derive(Debug, serde::Serialize)] struct AccountRow;";

        assert_eq!(reasons("backend/src/accounts/store.rs", text), [ROW_LEAK]);
        assert_eq!(reasons("backend/src/accounts/mod.rs", text), [ROW_LEAK]);
        assert!(reasons("backend/src/token/claims.rs", text).is_empty());
    }

    #[test]
    fn static_state_is_refused_and_a_table_is_not() {
        let path = "backend/src/app.rs";

        assert_eq!(
            reasons(path, "static APP: OnceLock<App> = OnceLock::new();"),
            [STATIC_STATE]
        );
        assert_eq!(
            reasons(path, "static N: AtomicU64 = AtomicU64::new(0);"),
            [STATIC_STATE]
        );
        assert!(reasons(path, "static WORDS: &[&str] = &[];").is_empty());
        assert!(reasons(path, "fn f(text: &'static str) {}").is_empty());
    }

    #[test]
    fn the_frontends_directions_hold() {
        assert_eq!(
            reasons("frontend/src/app.rs", "use gloo_net::http::Request;"),
            [NET_IN_API]
        );
        assert_eq!(
            reasons("frontend/src/api.rs", "gloo_storage::x();"),
            [STORAGE_IN_SESSION]
        );
        let path = "frontend/src/components/field.rs";
        assert_eq!(
            reasons(path, "use crate::session::Session;"),
            [PLAIN_COMPONENTS]
        );
        assert!(reasons("frontend/src/api.rs", "use gloo_net::http::Request;").is_empty());
    }

    #[test]
    fn comments_strings_and_tests_say_nothing() {
        let text = r##"
            // use axum::Json;
            /* sqlx::query /* nested */ axum::Json */
            /// `axum::Json`
            const A: &str = "axum::Json \" sqlx::query";
            const B: &str = r#"axum::Json " sqlx::query"#;
            const C: char = '"'; const D: char = '\''; const E: &[u8] = b"axum::x";
            fn f<'a>(x: &'a str) -> &'a str { x.parse::<u8>(); x }
            #[cfg(test)]
            mod tests { use axum::Json; fn f() { sqlx::query("") } }
        "##;

        assert_eq!(reasons("backend/src/accounts/mod.rs", text), [""; 0]);
        assert_eq!(
            reasons("backend/src/accounts/mod.rs", &format!("{text} axum::x();")),
            [WEB]
        );
    }

    #[test]
    fn a_name_that_is_a_keyword_too_begins_nothing() {
        let text =
            "struct Key { r#use: String } fn f(key: Key) { let Key { r#use } = key; axum::x(); }";

        assert_eq!(reasons("backend/src/accounts/mod.rs", text), [WEB]);
        assert_eq!(
            reasons("backend/src/accounts/mod.rs", "use a::{b; c"),
            [""; 0]
        );
    }

    #[test]
    fn a_features_own_module_named_http_is_not_the_crate() {
        let text = "mod http; pub(crate) use http::router;";

        assert!(reasons("backend/src/accounts/mod.rs", text).is_empty());
    }

    #[test]
    fn a_violation_names_its_place_and_its_reason() {
        let sources = [Source {
            path: "backend/src/config.rs".to_owned(),
            text: "\nuse axum::{\n    Json,\n};".to_owned(),
        }];

        let said = violations(&sources)[0].to_string();

        assert_eq!(
            said,
            format!("backend/src/config.rs:3: axum::Json\n    {WEB}")
        );
    }

    #[test]
    fn a_long_main_is_refused() {
        assert_eq!(
            reasons("backend/src/main.rs", &"\n".repeat(31)),
            [SHORT_MAIN]
        );
    }
}
