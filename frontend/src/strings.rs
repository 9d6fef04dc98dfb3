//! Every text that people read, except what the server and `countersign-types` say themselves.

pub(crate) const PRODUCT: &str = "Countersign";
pub(crate) const SKIP: &str = "Skip to the content";
pub(crate) const ACCOUNT_NAV: &str = "Account";

pub(crate) const EMAIL: &str = "Email";
pub(crate) const PASSWORD: &str = "Password";
pub(crate) const SIGN_IN: &str = "Sign in";
pub(crate) const SIGN_OUT: &str = "Sign out";
pub(crate) const CREATE_ACCOUNT: &str = "Create account";
pub(crate) const SIGNING_IN: &str = "Signing in…";
pub(crate) const SIGNING_OUT: &str = "Signing out…";
pub(crate) const CREATING: &str = "Creating your account…";
pub(crate) const SHOW: &str = "Show";
pub(crate) const HIDE: &str = "Hide";
pub(crate) const SHOW_PASSWORD: &str = "Show password";
pub(crate) const HIDE_PASSWORD: &str = "Hide password";
pub(crate) const PASSWORD_SHOWN: &str = "Your password is shown.";
pub(crate) const PASSWORD_HIDDEN: &str = "Your password is hidden.";
pub(crate) const ERROR_PREFIX: &str = "Error: ";

pub(crate) const SIGN_IN_LEAD: &str =
    "Welcome back. Your password is checked here, and nowhere else.";
pub(crate) const SIGN_UP_LEAD: &str = "An address and a password are all it takes.";
pub(crate) const NO_ACCOUNT: &str = "No account yet?";
pub(crate) const HAVE_ACCOUNT: &str = "Already have an account?";
pub(crate) const CLOSED: &str = "Registration is closed here.";
pub(crate) const CLOSED_LEAD: &str =
    "The operator of this server creates the accounts. Ask them for one, then sign in.";

pub(crate) const WELCOME: &str = "Sign-in that you can follow, step by step.";
pub(crate) const WELCOME_LEAD: &str =
    "Sign in, and this page shows what was sent, what came back, and what is in your token.";
pub(crate) const SIGNED_IN_AS: &str = "Signed in as";
pub(crate) const ASKING: &str = "Asking the server…";
pub(crate) const LESSON: &str = "What just happened";
pub(crate) const STEP_REQUEST: &str = "The page asked";
pub(crate) const STEP_REQUEST_TEXT: &str =
    "It took the token from local storage and put it into the Authorization header.";
pub(crate) const STEP_ANSWER: &str = "The server checked and answered";
pub(crate) const STEP_ANSWER_TEXT: &str =
    "It verified the signature, the expiry and that your session is still alive.";
pub(crate) const STEP_TOKEN: &str = "What the token says";
pub(crate) const STEP_TOKEN_TEXT: &str = "Anyone who holds the token can read this, so it holds no secrets. Only the server can sign it. Shortly before it expires, the page swaps it for a new one.";
pub(crate) const TIME_LEFT: &str = "Expires in";
pub(crate) const CLAIM: &str = "Claim";
pub(crate) const VALUE: &str = "Value";
pub(crate) const MEANING: &str = "Meaning";
pub(crate) const TRY_AGAIN: &str = "Try again";
pub(crate) const FAILED: &str = "That did not work.";

pub(crate) const SIGNED_OUT: &str = "You are signed out.";
pub(crate) const SIGNED_OUT_UNTOLD: &str = "You are signed out in this browser, but the server could not be told, so your session goes on there. \
     When the server can be reached again, sign in and end it under Sessions.";
pub(crate) const SIGNED_OUT_ELSEWHERE: &str = "Your session ended in another tab.";
pub(crate) const EXPIRED: &str = "Your session has expired. Sign in to go on.";
pub(crate) const ENDED: &str = "Your session was ended. Sign in to go on.";
pub(crate) const NOT_STORED: &str = "This browser does not allow this site to store anything, \
     so you stay signed in only until you close or reload this page.";

pub(crate) const SESSIONS: &str = "Sessions";
pub(crate) const SESSIONS_LEAD: &str =
    "Where you are signed in. Sign out what you do not know or need.";
pub(crate) const SESSIONS_LOADING: &str = "Looking where you are signed in…";
pub(crate) const SESSIONS_ALONE: &str = "You are signed in nowhere else.";
pub(crate) const UNKNOWN_DEVICE: &str = "Unknown device";
pub(crate) const THIS_DEVICE: &str = "This device";
pub(crate) const SIGNED_IN_ON: &str = "Signed in";
pub(crate) const LAST_USED_ON: &str = "Last used";
pub(crate) const SIGN_OUT_OTHERS: &str = "Sign out all other sessions";
pub(crate) const SIGN_OUT_EVERYWHERE: &str = "Sign out everywhere";
pub(crate) const SESSION_ENDED: &str = "That session has ended.";
pub(crate) const OTHERS_ENDED: &str = "All other sessions have ended.";

pub(crate) const WAITING_OFFLINE: &str =
    "You are offline. You stay signed in, and this page goes on by itself once you are back.";
pub(crate) const WAITING_SERVER: &str =
    "The server cannot be reached. You stay signed in; this page keeps trying.";

pub(crate) const NOT_FOUND: &str = "There is no such page.";
pub(crate) const NOT_FOUND_LEAD: &str =
    "The address may be mistyped, or the page has moved. Nothing is wrong with your account.";
pub(crate) const GO_HOME: &str = "Go to the home page";

pub(crate) const OFFLINE: &str =
    "The server cannot be reached. Check your connection and try again.";
pub(crate) const TIMED_OUT: &str = "The server took too long to answer. Try again in a moment.";
pub(crate) const UNSENDABLE: &str = "This page made a request that it must not send.";
pub(crate) const KEYS: &str = "Public keys";
pub(crate) const API: &str = "API description";
pub(crate) const TAGLINE: &str = "Self-hosted sign-in for axum and Leptos.";

/// Why a form's answer did not come, for who fears for what they typed.
pub(crate) fn form_unanswered(why: &str) -> String {
    format!("{why} What you typed is still here.")
}

/// What a summary says above two or more fields.
pub(crate) fn several_fields(count: usize) -> String {
    format!("{count} fields need attention.")
}

/// An answer that is none of ours.
pub(crate) fn unexpected(status: u16) -> String {
    format!(
        "The server gave an answer that this page does not understand (status {status}). Try again in a moment."
    )
}

/// How long to wait.
pub(crate) fn wait(seconds: u64) -> String {
    match seconds {
        0 | 1 => "Try again in a second.".to_owned(),
        2..=90 => format!("Try again in {seconds} seconds."),
        _ => format!("Try again in {} minutes.", seconds.div_ceil(60)),
    }
}

/// Too many attempts.
pub(crate) fn rate_limited(seconds: Option<u64>) -> String {
    format!("Too many attempts. {}", wait(seconds.unwrap_or(60)))
}

/// More work than the server can do, or something that it needs is away.
pub(crate) fn overloaded(seconds: Option<u64>) -> String {
    format!(
        "The server cannot do this at the moment. {}",
        wait(seconds.unwrap_or(5))
    )
}

/// A fault of the server.
pub(crate) fn internal(request_id: Option<&str>) -> String {
    match request_id {
        Some(id) => format!("The server made a mistake. When you report it, quote {id}."),
        None => "The server made a mistake. Try again in a moment.".to_owned(),
    }
}

/// What remains of a token's life.
pub(crate) fn time_left(seconds: u64) -> String {
    if seconds == 1 {
        "1 second".to_owned()
    } else {
        format!("{seconds} seconds")
    }
}

/// The name of the button that signs a device out, for those who hear it alone.
pub(crate) fn sign_out_device(device: &str) -> String {
    format!("{SIGN_OUT} {device}")
}

/// What a claim means.
pub(crate) fn claim(name: &str) -> &'static str {
    match name {
        "sub" => "whose token it is: the account's id",
        "email" => "the account's address",
        "email_verified" => "whether the address was confirmed",
        "iss" => "who issued it",
        "aud" => "for whom it is meant",
        "iat" => "when it was issued",
        "nbf" => "not valid before",
        "exp" => "when it expires",
        "auth_time" => "when you last proved that it is you",
        "amr" => "how you proved it",
        "sid" => "the session it belongs to",
        "jti" => "the token's own id",
        "roles" => "your roles",
        "scope" => "what it allows",
        _ => "set by this application",
    }
}
