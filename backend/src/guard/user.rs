//! The program's own user behind a token.

use std::{fmt, pin::Pin, sync::Arc};

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{Auth, BoxError, GuardError, Refused};
use crate::token::Verified;

type Found<U> = Pin<Box<dyn Future<Output = Result<Option<U>, BoxError>> + Send>>;

/// How a program finds its user by a token; to be had from its state through `FromRef`.
pub struct UserLookup<U>(Arc<dyn Fn(Arc<Verified>) -> Found<U> + Send + Sync>);

impl<U: 'static> UserLookup<U> {
    /// Finds it by this function: `None` where there is no such user (any more).
    pub fn new<F, Answer, E>(find: F) -> Self
    where
        F: Fn(Arc<Verified>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Option<U>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move |token| {
            let found = find(token);
            Box::pin(async move { found.await.map_err(Into::into) })
        }))
    }
}

impl<U> Clone for UserLookup<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U> fmt::Debug for UserLookup<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserLookup").finish_non_exhaustive()
    }
}

/// The program's own user, found by the token of the request. Without an acceptable token the
/// answer is 401, without such a user too; where the look-up fails it is 503.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
///
/// use axum::{Router, extract::FromRef, routing::get};
/// use countersign::{Auth, guard::{CurrentUser, UserLookup}, token::Verified};
///
/// #[derive(Clone)]
/// struct User {
///     name: String,
/// }
///
/// #[derive(Clone, FromRef)]
/// struct State {
///     auth: Auth,
///     users: UserLookup<User>,
/// }
///
/// async fn greet(CurrentUser(user): CurrentUser<User>) -> String {
///     format!("hello {}", user.name)
/// }
///
/// # fn router(auth: Auth) -> Router {
/// let users = UserLookup::new(async |token: Arc<Verified>| {
///     Ok::<_, Infallible>(Some(User { name: token.sub().to_owned() }))
/// });
/// Router::new().route("/", get(greet)).with_state(State { auth, users })
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CurrentUser<U>(pub U);

impl<U> CurrentUser<U> {
    async fn find(lookup: &UserLookup<U>, token: Arc<Verified>) -> Result<Self, GuardError> {
        let found = (lookup.0)(token).await.map_err(GuardError::Unavailable)?;
        found.map(Self).ok_or(GuardError::UnknownUser)
    }
}

impl<S, U> FromRequestParts<S> for CurrentUser<U>
where
    S: Send + Sync,
    Auth: FromRef<S>,
    UserLookup<U>: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let auth = Auth::from_ref(state);
        let found = async {
            let presented = auth.require(parts).await?;
            Self::find(&UserLookup::from_ref(state), presented.token).await
        };
        found.await.map_err(|error| auth.refuse(error, parts))
    }
}

/// `None` where no credential is presented.
impl<S, U> OptionalFromRequestParts<S> for CurrentUser<U>
where
    S: Send + Sync,
    Auth: FromRef<S>,
    UserLookup<U>: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refused> {
        let auth = Auth::from_ref(state);
        let found = async {
            match auth.authenticate(parts).await? {
                None => Ok(None),
                Some(presented) => Self::find(&UserLookup::from_ref(state), presented.token)
                    .await
                    .map(Some),
            }
        };
        found.await.map_err(|error| auth.refuse(error, parts))
    }
}
