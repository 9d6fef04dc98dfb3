//! Guards: extractors and layers that let only the bearers of acceptable access tokens in.
//!
//! Knows no database and no session: what it asks is behind [`Accept`], which the server implements
//! by its sessions and [`Auth::of`] by signature and claims alone.
//!
//! - As an argument of a handler: [`Claims`], `Option<Claims>`, [`Fresh`], [`VerifiedEmail`],
//!   [`CurrentUser`], [`AnyClaims`].
//! - As a layer around routes: [`Auth::guard`], with scopes, roles and whatever else they need.

mod cookies;
mod error;
mod flask;
mod layer;
mod locations;
mod revocation;
mod user;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::Response,
};
use http::request::Parts;
use serde::de::DeserializeOwned;

#[cfg(feature = "server")]
pub(crate) use self::locations::token_member;
pub use self::{
    cookies::{AccessCookies, CookieToken, SameSite},
    error::{GuardError, Refused},
    flask::{flask_answer, flask_message},
    layer::{Guard, GuardService, JsonTokens, JsonTokensService},
    locations::{Location, LocationError, Locations, Missing, TokenForm},
    revocation::{BoxError, Revocation, RevokedTokens},
    user::{CurrentUser, UserLookup},
};
use crate::{
    clock::{Clock, SystemClock},
    token::{AnyClaims, Claims, Rejection, TokenClaims, Unverified, Verified, Verifier},
};

/// How long after they proved presence somebody counts as fresh, where nobody says otherwise.
const FRESH_FOR: Duration = Duration::from_mins(10);

/// What was found of a token, in time.
pub type Accepted<'a> = Pin<Box<dyn Future<Output = Result<Verified, GuardError>> + Send + 'a>>;

/// How much is asked of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Whether it is genuine and holds now: not whether it was revoked.
    TokenAlone,
    /// Also whether its session and account live, as far as whoever is asked knows of them.
    Everything,
}

/// Says whether an access token is acceptable.
pub trait Accept: Send + Sync + 'static {
    /// A token that is genuine and holds now.
    fn accept<'a>(&'a self, token: &'a str, ask: Ask) -> Accepted<'a>;
}

/// What guards ask; to be had from an application's state through `FromRef`. Cheap to clone; made
/// once, since a token is judged once for the guards of one `Auth`, and again for those of another.
///
/// It is the application's state itself, or a field of it under `#[derive(Clone, FromRef)]`.
///
/// ```
/// use axum::{Json, Router, routing::get};
/// use countersign::{Auth, Claims};
///
/// async fn notes(claims: Claims) -> Json<String> {
///     Json(format!("the notes of {}", claims.sub))
/// }
///
/// let router: Router<Auth> = Router::new().route("/notes", get(notes));
/// ```
#[derive(Clone)]
pub struct Auth {
    accept: Arc<dyn Accept>,
    settings: Arc<Settings>,
}

type CheckClaims = dyn Fn(&Verified) -> bool + Send + Sync;
type Answer = dyn Fn(&Refused) -> Option<Response> + Send + Sync;

/// How guards look, and what they ask beside [`Accept`].
#[derive(Clone)]
pub(crate) struct Settings {
    clock: Arc<dyn Clock>,
    locations: Locations,
    fresh_for: Duration,
    revocation: Option<Arc<dyn Revocation>>,
    check: Option<Arc<CheckClaims>>,
    answer: Option<Arc<Answer>>,
    /// Where a token is to be had, for people.
    hint: &'static str,
}

impl Settings {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            locations: Locations::default(),
            fresh_for: FRESH_FOR,
            revocation: None,
            check: None,
            answer: None,
            hint: "",
        }
    }

    #[cfg(feature = "server")]
    pub(crate) const fn locations(&self) -> &Locations {
        &self.locations
    }

    #[cfg(feature = "server")]
    pub(crate) fn look_in(mut self, locations: Locations, fresh_for: Duration) -> Self {
        self.locations = locations;
        self.fresh_for = fresh_for;
        self.hint = "POST /auth gives one.";
        self
    }

    /// That there is no token in any of the usual places.
    #[cfg(feature = "server")]
    pub(crate) fn missing(&self) -> GuardError {
        GuardError::Missing(Missing::from(&self.locations).hinted(self.hint))
    }
}

impl Auth {
    /// Asks an [`Accept`] of the program's own. For keys in hand see [`Auth::of`], for keys elsewhere
    /// `Auth::remote`, beside accounts `Countersign::auth`.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use countersign::{Auth, guard::{Accept, Accepted, Ask, GuardError}, token::Verifier};
    ///
    /// /// Accepts the tokens of two issuers.
    /// struct Either(Verifier, Verifier);
    ///
    /// impl Accept for Either {
    ///     fn accept<'a>(&'a self, token: &'a str, _: Ask) -> Accepted<'a> {
    ///         Box::pin(async move {
    ///             # let now = 0;
    ///             let accepted = self.0.verify(token, now).or_else(|_| self.1.verify(token, now));
    ///             accepted.map_err(GuardError::from)
    ///         })
    ///     }
    /// }
    ///
    /// # fn auth(one: Verifier, other: Verifier) -> Auth {
    /// Auth::new(Arc::new(Either(one, other)))
    /// # }
    /// ```
    pub fn new(accept: Arc<dyn Accept>) -> Self {
        Self::with(
            accept,
            Arc::new(Settings::new(Arc::new(SystemClock::new()))),
        )
    }

    pub(crate) const fn with(accept: Arc<dyn Accept>, settings: Arc<Settings>) -> Self {
        Self { accept, settings }
    }

    /// Asks signature and claims alone, for a service that knows the keys and no session: a token
    /// is accepted until it expires, also after a sign-out.
    ///
    /// ```
    /// use countersign::{Auth, token::{Algorithm, PublicKeys, Verifier, VerifyingKey}};
    ///
    /// let secret = b"32 bytes at least, and not these";
    /// let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, secret)?])?;
    /// let auth = Auth::of(Verifier::new(
    ///     keys,
    ///     "https://auth.example.com",
    ///     "https://api.example.com",
    /// ));
    /// # Ok::<(), countersign::token::KeyError>(())
    /// ```
    pub fn of(verifier: Verifier) -> Self {
        Self::with_clock(verifier, Arc::new(SystemClock::new()))
    }

    /// The same by another clock, such as one that tests move.
    pub fn with_clock(verifier: Verifier, clock: Arc<dyn Clock>) -> Self {
        let settings = Arc::new(Settings::new(Arc::clone(&clock)));
        Self::with(Arc::new(ByClaims { verifier, clock }), settings)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Looks for tokens elsewhere than in `Authorization`.
    ///
    /// ```
    /// use countersign::{Auth, guard::{Location, Locations}};
    ///
    /// # fn cookies_first(auth: Auth) -> Result<Auth, countersign::guard::LocationError> {
    /// Ok(auth.locations(Locations::new([Location::Cookies, Location::Headers])?))
    /// # }
    /// ```
    #[must_use]
    pub fn locations(self, locations: Locations) -> Self {
        self.set(|settings| settings.locations = locations)
    }

    /// How long after they proved presence somebody counts as fresh: 10 minutes, unless set.
    #[must_use]
    pub fn fresh_for(self, window: Duration) -> Self {
        self.set(|settings| settings.fresh_for = window)
    }

    /// Asks the program too whether a token was revoked; [`RevokedTokens`] is one way.
    #[must_use]
    pub fn revocation(self, revocation: impl Revocation) -> Self {
        self.set(|settings| settings.revocation = Some(Arc::new(revocation)))
    }

    /// Lets the program judge the claims of a token that is otherwise acceptable: one that it
    /// refuses is invalid.
    ///
    /// ```
    /// use countersign::Auth;
    ///
    /// # fn of_one_tenant(auth: Auth) -> Auth {
    /// auth.check_claims(|token| token.header().get("tenant").is_some_and(|tenant| tenant == "ours"))
    /// # }
    /// ```
    #[must_use]
    pub fn check_claims(self, check: impl Fn(&Verified) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.check = Some(Arc::new(check)))
    }

    /// Answers refusals in the program's own way; where it gives `None`, the usual problem is
    /// answered.
    ///
    /// ```
    /// use axum::{http::StatusCode, response::IntoResponse};
    /// use countersign::{Auth, guard::GuardError};
    ///
    /// # fn hidden(auth: Auth) -> Auth {
    /// // Whoever is not signed in does not learn that there is something.
    /// auth.answer_refusals(|refused| match refused.error() {
    ///     GuardError::Missing(_) => Some(StatusCode::NOT_FOUND.into_response()),
    ///     _ => None,
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn answer_refusals(
        self,
        answer: impl Fn(&Refused) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.answer = Some(Arc::new(answer)))
    }

    /// A layer that lets only the bearers of acceptable tokens through to the routes inside, and
    /// asks for whatever else they need.
    ///
    /// ```
    /// use axum::{Router, routing::delete};
    /// use countersign::Auth;
    ///
    /// # fn router(auth: Auth) -> Router {
    /// Router::new()
    ///     .route("/notes", delete(async || "all gone"))
    ///     .route_layer(auth.guard().scope("notes:write").role("admin").fresh())
    /// # }
    /// ```
    pub fn guard(&self) -> Guard {
        Guard::new(self.clone())
    }

    /// A layer that reads the token of a JSON body, for extractors: they see no body. [`Auth::guard`]
    /// does so itself.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use countersign::{Auth, Claims};
    ///
    /// # fn router(auth: Auth) -> Router {
    /// let router = Router::new().route("/notes", post(async |claims: Claims| claims.sub.to_string()));
    /// router.layer(auth.json_tokens()).with_state(auth)
    /// # }
    /// ```
    pub fn json_tokens(&self) -> JsonTokens {
        JsonTokens::new(self.clone())
    }

    /// Where tokens are looked for.
    pub fn token_locations(&self) -> &Locations {
        &self.settings.locations
    }

    fn now(&self) -> i64 {
        self.settings.clock.now().as_secs()
    }

    /// Refuses a request, with what its token says where the program answers by itself and the token
    /// is one of ours.
    fn refuse(&self, error: GuardError, parts: &Parts) -> Refused {
        let read = || {
            let (token, _) = self.places(parts).find(parts).ok()??;
            Unverified::read(&token).ok()
        };
        let is_asked = self.settings.answer.is_some() && error.is_after_the_signature();
        let token = if is_asked { read() } else { None };
        Refused::new(error, token, self.settings.answer.clone())
    }

    /// Refuses a request whose token was not looked for.
    fn refuse_unread(&self, error: GuardError) -> Refused {
        Refused::new(error, None, self.settings.answer.clone())
    }

    /// What a guard of this one has said of the request's route, the innermost where there are several.
    fn route<'p>(&self, parts: &'p Parts) -> Option<&'p RouteRules> {
        let route = parts.extensions.get::<RouteRules>()?;
        route
            .by
            .as_ref()
            .is_some_and(|by| by.is(self))
            .then_some(route)
    }

    /// Whether both are one: another has other rules, and its judgement does not count.
    fn is(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.accept), Arc::as_ptr(&other.accept))
            && Arc::ptr_eq(&self.settings, &other.settings)
    }

    /// Where the tokens of a request's route are looked for.
    fn places<'a>(&'a self, parts: &'a Parts) -> &'a Locations {
        self.route(parts)
            .and_then(|route| route.locations.as_deref())
            .unwrap_or(&self.settings.locations)
    }

    /// Whether this token, found there, may do what the request wants.
    async fn judge(
        &self,
        token: &str,
        location: Location,
        parts: &Parts,
        locations: &Locations,
        ask: Ask,
    ) -> Result<Verified, GuardError> {
        let verified = self.accept.accept(token, ask).await?;
        if location == Location::Cookies {
            locations
                .access_cookies()
                .check(&parts.method, &parts.headers, &verified)?;
        }
        if ask == Ask::Everything
            && let Some(revocation) = &self.settings.revocation
            && revocation
                .is_revoked(&verified)
                .await
                .map_err(GuardError::Unavailable)?
        {
            return Err(GuardError::Revoked);
        }
        if let Some(check) = &self.settings.check
            && !check(&verified)
        {
            return Err(Rejection::Unfit.into());
        }
        Ok(verified)
    }

    /// The token of a request, judged once for all guards of one route that ask the same; `None`
    /// where there is none.
    async fn authenticate(&self, parts: &mut Parts) -> Result<Option<Presented>, GuardError> {
        let route = self.route(parts).cloned().unwrap_or_default();
        if let Some(presented) = parts.extensions.get::<Presented>()
            && presented.is_by(self, &route)
        {
            return Ok(Some(Presented {
                route,
                ..presented.clone()
            }));
        }
        let locations = route
            .locations
            .as_deref()
            .unwrap_or(&self.settings.locations);
        let Some((token, location)) = locations.find(parts)? else {
            return Ok(None);
        };
        let token = self
            .judge(&token, location, parts, locations, route.ask)
            .await?;
        let presented = Presented {
            token: Arc::new(token),
            location,
            by: self.clone(),
            route,
        };
        parts.extensions.insert(presented.clone());
        Ok(Some(presented))
    }

    async fn require(&self, parts: &mut Parts) -> Result<Presented, GuardError> {
        if let Some(presented) = self.authenticate(parts).await? {
            return Ok(presented);
        }
        let missing = self.places(parts).missing(parts);
        Err(GuardError::Missing(missing.hinted(self.settings.hint)))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// What the routes behind a [`Guard`] want otherwise than [`Auth`] has it.
#[derive(Clone)]
struct RouteRules {
    /// Whose routes they are.
    by: Option<Auth>,
    locations: Option<Arc<Locations>>,
    fresh_for: Option<Duration>,
    ask: Ask,
}

impl Default for RouteRules {
    fn default() -> Self {
        Self {
            by: None,
            locations: None,
            fresh_for: None,
            ask: Ask::Everything,
        }
    }
}

/// A token that was judged, kept with the request for further guards of its route. Nobody but
/// [`Auth::authenticate`] makes one.
#[derive(Clone)]
struct Presented {
    token: Arc<Verified>,
    location: Location,
    by: Auth,
    route: RouteRules,
}

impl Presented {
    /// Whether this one judged it, by the rules of this route.
    fn is_by(&self, auth: &Auth, route: &RouteRules) -> bool {
        let is_same =
            |one: &Option<Arc<Locations>>, other: &Option<Arc<Locations>>| match (one, other) {
                (None, None) => true,
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                _ => false,
            };
        self.by.is(auth)
            && is_same(&self.route.locations, &route.locations)
            && self.route.ask >= route.ask
    }
}

struct ByClaims {
    verifier: Verifier,
    clock: Arc<dyn Clock>,
}

impl Accept for ByClaims {
    fn accept<'a>(&'a self, token: &'a str, _: Ask) -> Accepted<'a> {
        let accepted = self.verifier.verify(token, self.clock.now().as_secs());
        Box::pin(std::future::ready(accepted.map_err(GuardError::from)))
    }
}

/// Claims that an extractor takes out of a judged token.
async fn extract<S, C>(parts: &mut Parts, state: &S) -> Result<C, Refused>
where
    Auth: FromRef<S>,
    C: TokenClaims,
{
    let auth = Auth::from_ref(state);
    let read = async {
        let presented = auth.require(parts).await?;
        Ok(C::read(&presented.token)?)
    };
    read.await.map_err(|error| auth.refuse(error, parts))
}

macro_rules! guards {
    ($($claims:ident $(<$custom:ident>)?),*) => {$(
        /// Guards a handler: without an acceptable access token the answer is 401 with its
        /// challenge.
        impl<S, $($custom)?> FromRequestParts<S> for $claims $(<$custom>)?
        where
            S: Send + Sync,
            Auth: FromRef<S>,
            $($custom: DeserializeOwned)?
        {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
                extract(parts, state).await
            }
        }

        /// `None` where no credential, or one of another scheme, is presented; a bad token is
        /// refused all the same, since whoever sends one expects to be somebody.
        impl<S, $($custom)?> OptionalFromRequestParts<S> for $claims $(<$custom>)?
        where
            S: Send + Sync,
            Auth: FromRef<S>,
            $($custom: DeserializeOwned)?
        {
            type Rejection = Refused;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &S,
            ) -> Result<Option<Self>, Refused> {
                let auth = Auth::from_ref(state);
                let read = async {
                    let presented = auth.authenticate(parts).await?;
                    let claims = presented.map(|presented| Self::read(&presented.token));
                    Ok(claims.transpose()?)
                };
                read.await.map_err(|error| auth.refuse(error, parts))
            }
        }
    )*};
}

guards!(Claims<X>, AnyClaims<X>, Verified);

/// Where the token of the request was. Guards a handler, as the claims do.
///
/// ```
/// use countersign::{Claims, guard::Location};
///
/// async fn notes(claims: Claims, location: Location) -> String {
///     format!("{} sent a token in {}", claims.sub, location.as_str())
/// }
/// ```
impl<S> FromRequestParts<S> for Location
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let auth = Auth::from_ref(state);
        let presented = auth.require(parts).await;
        presented
            .map(|presented| presented.location)
            .map_err(|error| auth.refuse(error, parts))
    }
}

/// `None` where no credential is presented.
impl<S> OptionalFromRequestParts<S> for Location
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refused> {
        let auth = Auth::from_ref(state);
        let presented = auth.authenticate(parts).await;
        presented
            .map(|presented| presented.map(|presented| presented.location))
            .map_err(|error| auth.refuse(error, parts))
    }
}

/// Claims of somebody who proved presence a short while ago; otherwise the answer is 403
/// `fresh_token_required`.
///
/// How short is said by [`Auth::fresh_for`], 10 minutes unless set, and for a route by
/// [`Guard::fresh_within`].
///
/// ```
/// use countersign::{Claims, guard::Fresh};
///
/// async fn delete_account(Fresh(claims): Fresh<Claims>) -> String {
///     format!("{} is gone", claims.sub)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Fresh<C = Claims>(pub C);

impl<S, C> FromRequestParts<S> for Fresh<C>
where
    S: Send + Sync,
    Auth: FromRef<S>,
    C: TokenClaims,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let auth = Auth::from_ref(state);
        let read = async {
            let presented = auth.require(parts).await?;
            let window = presented.route.fresh_for;
            presented.require_fresh(window.unwrap_or(auth.settings.fresh_for))?;
            Ok(Self(C::read(&presented.token)?))
        };
        read.await.map_err(|error| auth.refuse(error, parts))
    }
}

/// Claims of somebody whose address was confirmed when the token was issued; otherwise the answer
/// is 403 `email_unverified`.
///
/// ```
/// use countersign::{Claims, guard::VerifiedEmail};
///
/// async fn invite(VerifiedEmail(claims): VerifiedEmail<Claims>) -> String {
///     format!("{} may invite", claims.sub)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct VerifiedEmail<C = Claims>(pub C);

impl<S, C> FromRequestParts<S> for VerifiedEmail<C>
where
    S: Send + Sync,
    Auth: FromRef<S>,
    C: TokenClaims,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let auth = Auth::from_ref(state);
        let read = async {
            let presented = auth.require(parts).await?;
            presented.require_verified_email()?;
            Ok(Self(C::read(&presented.token)?))
        };
        read.await.map_err(|error| auth.refuse(error, parts))
    }
}

impl Presented {
    /// Whether it is fresh, within this window.
    fn require_fresh(&self, window: Duration) -> Result<(), GuardError> {
        if self.token.is_fresh(self.by.now(), window) {
            Ok(())
        } else {
            Err(GuardError::NotFresh)
        }
    }

    fn require_verified_email(&self) -> Result<(), GuardError> {
        if self.token.is_email_verified() {
            Ok(())
        } else {
            Err(GuardError::EmailUnverified)
        }
    }
}

#[cfg(test)]
mod tests;
