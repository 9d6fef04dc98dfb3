//! Every path, written once: the router mounts these and the pages call them.

/// `POST`: sign in.
pub const SIGN_IN: &str = "/auth";
/// `GET`: what is enabled, see [`crate::accounts::AuthConfig`].
pub const CONFIG: &str = "/auth/config";
/// `POST`: create an account.
pub const REGISTER: &str = "/auth/register";
/// `POST`: swap a refresh token for a new pair.
pub const REFRESH: &str = "/auth/refresh";
/// `POST`: end the session of the presented token.
pub const LOGOUT: &str = "/auth/logout";
/// `POST`: end every session of the account.
pub const LOGOUT_ALL: &str = "/auth/logout-all";
/// `GET`: the account's live sessions; `DELETE`: end all but the presented token's.
pub const SESSIONS: &str = "/auth/sessions";
/// `DELETE`: end one of them.
pub const SESSION: &str = "/auth/sessions/{id}";
/// `GET`: the account of the presented token.
pub const ME: &str = "/auth/me";
/// `GET`, `POST`: the guarded example.
pub const PROTECTED: &str = "/protected";
/// `GET`: the public keys that verify our tokens (RFC 7517).
pub const JWKS: &str = "/.well-known/jwks.json";
/// `GET`: the process lives.
pub const HEALTHZ: &str = "/healthz";
/// `GET`: it can serve.
pub const READYZ: &str = "/readyz";
/// `GET`: the OpenAPI 3.1 document of all of the above.
pub const OPENAPI: &str = "/openapi.json";
/// `GET`: a page to read it.
pub const DOCS: &str = "/docs";
/// `GET`: what that page looks like.
pub const DOCS_STYLE: &str = "/docs/style.css";
/// `GET`: numbers for Prometheus, on a listener of their own and never on that of all others.
pub const METRICS: &str = "/metrics";

/// Paths that are in no OpenAPI document: that itself, and how it is shown.
pub const UNDESCRIBED: [&str; 3] = [OPENAPI, DOCS, DOCS_STYLE];

/// Every path of the HTTP surface, the pages and [`METRICS`] apart.
pub const ALL: [&str; 16] = [
    SIGN_IN, CONFIG, REGISTER, REFRESH, LOGOUT, LOGOUT_ALL, SESSIONS, SESSION, ME, PROTECTED, JWKS,
    HEALTHZ, READYZ, OPENAPI, DOCS, DOCS_STYLE,
];

/// [`SESSION`] of an id.
pub fn session(id: &str) -> String {
    SESSION.replace("{id}", id)
}

/// The pages, each a path of the single-page application.
pub mod pages {
    /// Home: who is signed in, and the protected message.
    pub const HOME: &str = "/";
    /// Home, by the name that the tutorial gave it.
    pub const INDEX: &str = "/index";
    /// The sign-in form.
    pub const SIGN_IN: &str = "/sign-in";
    /// The form that creates an account.
    pub const SIGN_UP: &str = "/sign-up";
    /// Where the account is signed in.
    pub const SESSIONS: &str = "/sessions";

    /// Pages that the application has; any other navigation is answered 404.
    pub const ALL: [&str; 5] = [HOME, INDEX, SIGN_IN, SIGN_UP, SESSIONS];
    /// Those of them that fit into somebody else's application, which has a home of its own.
    pub const MOUNTED: [&str; 3] = [SIGN_IN, SIGN_UP, SESSIONS];
    /// What the pages load: every file of theirs has a name that begins so, wherever they are mounted.
    pub const FILES: &str = "/countersign-{file}";
}

/// `localStorage` key of the raw access token.
pub const STORAGE_KEY: &str = "jwt";
