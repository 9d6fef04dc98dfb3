//! What an application puts around its own pages: who is signed in, for all below; and what only
//! somebody signed in sees.

use std::cell::Cell;

use countersign_types::{Token, routes::pages as paths};
use leptos::{children::ViewFn, prelude::*};

use crate::{
    api::{self, ApiError},
    claims::Claims,
    fetch::{FetchError, Request, Response},
    refresh::{RENEWALS, Refresher},
    return_to,
    session::{Session, SessionHandle, TokenStorage},
    settings::Settings,
};

/// Keeps who is signed in, for all below: their tokens are replaced in time, and all tabs agree.
///
/// It calls the server of the page's own origin. To be put around an application once.
///
/// ```no_run
/// use countersign_leptos::{AuthProvider, RequireSession, SignInForm, use_session};
/// use leptos::prelude::*;
///
/// #[component]
/// fn App() -> impl IntoView {
///     view! {
///         <AuthProvider>
///             <RequireSession fallback=|| view! { <SignInForm /> }>
///                 <Greeting />
///             </RequireSession>
///         </AuthProvider>
///     }
/// }
///
/// #[component]
/// fn Greeting() -> impl IntoView {
///     let session = use_session();
///     view! {
///         <p>"Hello, " {move || session.name()}</p>
///         <button on:click=move |_| session.sign_out()>"Sign out"</button>
///     }
/// }
/// ```
#[component]
pub fn AuthProvider(
    /// Where the access token is kept; `localStorage` by default.
    #[prop(optional)]
    storage: TokenStorage,
    /// The application.
    children: Children,
) -> impl IntoView {
    let session = SessionHandle::provide(storage);
    provide_context(CurrentSession {
        session,
        refresher: Refresher::provide(session),
    });
    Settings::provide();
    children()
}

/// Who is signed in, and what may be done in their name. Cheap to copy.
///
/// To be called in a component, and what it returns used in its events and tasks.
///
/// # Panics
///
/// Where there is no [`AuthProvider`] above.
pub fn use_session() -> CurrentSession {
    use_context().expect("`use_session` is called below an `AuthProvider`")
}

/// Who is signed in, and what may be done in their name; see [`use_session`].
///
/// What it says of them is for display: only a server can verify a token.
#[derive(Debug, Clone, Copy)]
pub struct CurrentSession {
    session: SessionHandle,
    refresher: Refresher,
}

impl CurrentSession {
    /// The whole state; reading it subscribes.
    pub fn get(self) -> Session {
        self.session.get()
    }

    /// Whether somebody is signed in; reading it subscribes.
    pub fn is_known(self) -> bool {
        self.session.is_known()
    }

    /// What the token says, unverified; reading it subscribes.
    pub fn claims(self) -> Option<Claims> {
        match self.session.get() {
            Session::Known(known) => Some(known.claims),
            Session::Unknown | Session::Anonymous(_) => None,
        }
    }

    /// Who is signed in: their address where the token has it, else the account's id; reading it
    /// subscribes.
    pub fn name(self) -> Option<String> {
        self.claims()
            .and_then(|claims| claims.name().map(ToOwned::to_owned))
    }

    /// The token, for what [`fetch`](Self::fetch) cannot send; reading it subscribes. It is replaced
    /// every few minutes, and should be kept nowhere.
    pub fn token(self) -> Option<Token> {
        self.session.token()
    }

    /// Whether the server cannot be reached for the next token, so that nothing can be asked for at
    /// the moment. The person stays signed in; reading it subscribes.
    pub fn is_waiting(self) -> bool {
        self.refresher.is_waiting()
    }

    /// Sends a request with the token. Where that is over or refused, it is replaced and the request
    /// sent again, so an application never sees one expire.
    ///
    /// ```no_run
    /// use countersign_leptos::{Request, use_session};
    /// use leptos::prelude::*;
    ///
    /// #[component]
    /// fn Notes() -> impl IntoView {
    ///     let session = use_session();
    ///     let notes = LocalResource::new(move || async move {
    ///         session.fetch(Request::get("/notes")).await?.json::<Vec<String>>()
    ///     });
    ///     move || match notes.get() {
    ///         None => view! { <p>"Loading…"</p> }.into_any(),
    ///         Some(Ok(notes)) => notes.into_iter().map(|note| view! { <p>{note}</p> }).collect_view().into_any(),
    ///         Some(Err(error)) => view! { <p role="alert">{error.to_string()}</p> }.into_any(),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`FetchError`] says why there is no answer. An answer of whatever status is one; only
    /// [`Response::ok`] and [`Response::json`] judge it.
    pub async fn fetch(self, request: Request) -> Result<Response, FetchError> {
        request.check()?;
        let refusals = Cell::new(0);
        let answer = self
            .refresher
            .call(|token| {
                let (request, refusals) = (&request, &refusals);
                async move {
                    let answer = api::fetch(request, &token).await?;
                    match answer.refused_token() {
                        // A route that refuses what was issued a moment ago is at fault itself, and
                        // ends no session.
                        Some(problem) if refusals.replace(refusals.get() + 1) < RENEWALS => {
                            Err(ApiError::Problem(Box::new(problem)))
                        }
                        _ => Ok(answer),
                    }
                }
            })
            .await;
        answer
            .ok_or(FetchError::SignedOut)?
            .map_err(FetchError::Call)
    }

    /// Signs out: here and in the other tabs at once, and at the server as soon as it hears of it.
    pub fn sign_out(self) {
        self.refresher.sign_out();
    }
}

/// Shows its children to whoever is signed in, and builds them anew for another person.
///
/// Whoever is not sees `fallback`, as a [`SignInForm`](crate::SignInForm) or a welcome. Without one
/// they are led to `/sign-in`, which leads back afterwards: that is where Countersign's own pages
/// are in an application that has merged `App::router()`.
///
/// Where the stored token is over, or none is stored, the server decides who is signed in. Until it
/// has, `waiting` is shown, so that neither side flashes up. Where it cannot be reached, the token's
/// owner sees the children, and those say what they could not fetch. Once shown, the children stay
/// while tokens expire and connections are lost: what somebody typed is not lost with them.
///
/// # Security
///
/// This hides; it does not protect. What is worth protecting is behind a guard on the server.
#[component]
pub fn RequireSession(
    /// What is shown where nobody is signed in.
    #[prop(optional, into)]
    fallback: Option<ViewFn>,
    /// What is shown while nobody can say; nothing by default.
    #[prop(optional, into)]
    waiting: ViewFn,
    /// What somebody signed in sees.
    children: ChildrenFn,
) -> impl IntoView {
    let CurrentSession { session, refresher } = use_session();
    let stage = Memo::new(move |last: Option<&Stage>| {
        let is_awaited = || session.is_over() && !refresher.is_waiting();
        Stage::next(last, &session.get(), is_awaited)
    });
    let fallback = fallback.unwrap_or_else(|| ViewFn::from(lead_to_sign_in));
    move || match stage.get() {
        Stage::Waiting => waiting.run(),
        Stage::Nobody => fallback.run(),
        Stage::Somebody(_) => children(),
    }
}

/// What [`RequireSession`] shows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Waiting,
    Nobody,
    /// This account's.
    Somebody(Option<String>),
}

impl Stage {
    /// What comes after `last`. Whether a renewal has to decide is asked only where it matters, since
    /// that changes with the time.
    fn next(last: Option<&Self>, session: &Session, is_awaited: impl FnOnce() -> bool) -> Self {
        let next = match session {
            Session::Unknown => return Self::Waiting,
            Session::Anonymous(_) => return Self::Nobody,
            Session::Known(known) => Self::Somebody(known.claims.subject().map(ToOwned::to_owned)),
        };
        if last != Some(&next) && is_awaited() {
            return Self::Waiting;
        }
        next
    }
}

/// Leaves for the sign-in page as a browser does, since an application's own router need not know
/// that page; and back here afterwards.
fn lead_to_sign_in() {
    let location = window().location();
    let part = |text: Result<String, _>| text.unwrap_or_default();
    let here = part(location.pathname()) + &part(location.search()) + &part(location.hash());
    // Nothing is to be done where a browser refuses to leave.
    drop(location.replace(&return_to::link(paths::SIGN_IN, Some(&here))));
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::session::{Farewell, Known};

    fn of(payload: &str) -> Session {
        let token = format!("e30.{payload}.c2ln");
        Session::Known(Known {
            claims: Claims::decode(&token).unwrap(),
            token: Token::from(token),
            ends_at: None,
            lifetime: None,
            is_stored: true,
        })
    }

    // {"sub":"ada"} and {"sub":"eve"}
    fn ada() -> Session {
        of("eyJzdWIiOiJhZGEifQ")
    }

    fn eve() -> Session {
        of("eyJzdWIiOiJldmUifQ")
    }

    #[test]
    fn neither_side_is_shown_before_it_is_known_which() {
        assert_eq!(
            Stage::next(None, &Session::Unknown, || false),
            Stage::Waiting
        );
        assert_eq!(Stage::next(None, &ada(), || true), Stage::Waiting);
        let nobody = Session::Anonymous(Farewell::Never);
        assert_eq!(
            Stage::next(Some(&Stage::Waiting), &nobody, || true),
            Stage::Nobody
        );
    }

    #[test]
    fn what_is_shown_stays_while_tokens_expire() {
        let shown = Stage::next(Some(&Stage::Waiting), &ada(), || false);

        assert_eq!(shown, Stage::Somebody(Some("ada".to_owned())));
        assert_eq!(Stage::next(Some(&shown), &ada(), || true), shown);
    }

    #[test]
    fn another_person_is_another_stage() {
        let shown = Stage::next(None, &ada(), || false);

        assert_ne!(Stage::next(Some(&shown), &eve(), || false), shown);
        assert_eq!(Stage::next(Some(&shown), &eve(), || true), Stage::Waiting);
    }
}
