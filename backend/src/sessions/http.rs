//! HTTP of sessions.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use countersign_types::{
    Email, FieldProblem, Problem, Token,
    problem::CONTENT_TYPE,
    routes,
    sessions::{
        LogoutRequest, Message, RefreshDelivery, RefreshRequest, Session as SessionResponse,
        SessionsResponse, SignInRequest, TokenResponse,
    },
};
use http::{HeaderMap, StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Listed, Opening, Owner, RefreshError, RefreshToken, UserAgent};
use crate::{
    app::App,
    error::{BodyProblems, Error, Unauthorized, Unavailable},
    extract::{ClientAddress, Json},
    guard::{GuardError, Location, Refused, Settings},
    no_store::NoStore,
    same_origin::SameOrigin,
    store::SessionId,
    token::Claims,
    token_answer::{RefreshCookie, TokenAnswer, clear_cookie},
};

/// Signing in, refreshing and signing out, the list of sessions, and the guarded example.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(logout_all))
        .routes(routes!(list, end_others))
        .routes(routes!(end_one))
        .routes(routes!(protected_get, protected_post))
}

impl Opening {
    /// How a session is to be opened by a request with these headers.
    pub(crate) fn requested(headers: &HeaderMap, delivery: RefreshDelivery) -> Self {
        Self {
            user_agent: headers
                .get(header::USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .and_then(UserAgent::parse),
            is_refreshable: delivery != RefreshDelivery::None,
        }
    }
}

/// Signs in with a password.
///
/// The access token goes into the header `Authorization: Bearer …` of every other request. `refresh`
/// says where the refresh token is to be put: into the answer, into a cookie, or nowhere.
#[utoipa::path(
    post,
    path = routes::SIGN_IN,
    tag = "sessions",
    request_body = SignInRequest,
    responses(
        (status = 200, description = "Signed in", body = TokenResponse),
        BodyProblems,
        (status = 401, description = "Unknown address or wrong password: `invalid_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failures: `rate_limited`", body = Problem, content_type = "application/problem+json"),
        Unavailable,
    ),
)]
async fn sign_in(
    State(app): State<App>,
    from: ClientAddress,
    headers: HeaderMap,
    Json(request): Json<SignInRequest>,
) -> Result<TokenAnswer, Error> {
    let email = Email::parse(&request.email).map_err(|error| {
        Error::Fields(vec![FieldProblem::new(
            "/email",
            error.code(),
            error.to_string(),
        )])
    })?;
    let opening = Opening::requested(&headers, request.refresh);
    let issued = super::sign_in(&app, &email, &request.password, from.prefix(), &opening).await?;
    Ok(TokenAnswer {
        status: StatusCode::OK,
        issued,
        delivery: request.refresh,
        https: app.https,
        cookies: app.access_cookies(),
    })
}

/// Swaps a refresh token, of the body or else of the cookie, for a new pair.
///
/// The old one is spent. For some seconds a repeat gets the same answer, as two tabs need it that wake
/// at once; after that, a second use means that somebody holds a copy, and the session is ended.
#[utoipa::path(
    post,
    path = routes::REFRESH,
    tag = "sessions",
    security(("refresh_cookie" = []), ()),
    request_body = Option<RefreshRequest>,
    responses(
        (status = 200, description = "A new pair, delivered as the old one came", body = TokenResponse),
        BodyProblems,
        (status = 401, description = "None that holds: `refresh_token_invalid`; used before, so that the session was ended: `refresh_token_reused`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A cookie, but not known to be from our own pages: `csrf_failed`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many refreshes of this account: `rate_limited`", body = Problem, content_type = "application/problem+json"),
        Unavailable,
    ),
)]
async fn refresh(
    State(app): State<App>,
    same_origin: SameOrigin,
    cookie: RefreshCookie,
    body: Option<Json<RefreshRequest>>,
) -> Result<Response, Error> {
    let body = body.map(|Json(request)| request.refresh_token);
    let is_cookie = body.is_none();
    let answer = match presented(body.as_ref(), cookie, same_origin)? {
        Some(token) => super::refresh(&app, &token).await,
        None => Err(RefreshError::Invalid),
    };
    Ok(match answer {
        Ok(issued) => TokenAnswer {
            status: StatusCode::OK,
            issued,
            delivery: if is_cookie {
                RefreshDelivery::Cookie
            } else {
                RefreshDelivery::Body
            },
            https: app.https,
            cookies: app.access_cookies(),
        }
        .into_response(),
        // A cookie that is good for nothing is not to be sent again. But a page from elsewhere, from
        // which no cookie comes, must not be able to take it away.
        Err(error @ (RefreshError::Invalid | RefreshError::Reused))
            if is_cookie && same_origin.holds() =>
        {
            let mut response = Error::from(error).into_response();
            clear_cookie(&mut response, app.https);
            response
        }
        Err(error) => return Err(error.into()),
    })
}

/// The refresh token that a request presents: in the body, or else in a cookie, if the request is
/// from our own pages. `None` where there is none.
fn presented(
    body: Option<&Token>,
    cookie: RefreshCookie,
    same_origin: SameOrigin,
) -> Result<Option<RefreshToken>, Error> {
    if let Some(token) = body {
        let token = RefreshToken::parse(token.expose()).ok_or(RefreshError::Invalid)?;
        return Ok(Some(token));
    }
    if matches!(cookie, RefreshCookie::Absent) {
        return Ok(None);
    }
    same_origin.require()?;
    match cookie {
        RefreshCookie::Token(token) => Ok(Some(token)),
        RefreshCookie::Absent | RefreshCookie::Malformed => Err(RefreshError::Invalid.into()),
    }
}

/// What both ways of signing out may answer, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the document is made of the types alone")]
enum SignedOut {
    #[response(
        status = 204,
        description = "Ended, and its tokens with it; the cookie is taken back"
    )]
    Ended,
    #[response(status = 401, description = "No token that holds: a code that begins with `token_` or `refresh_token_`", content_type = CONTENT_TYPE)]
    Refused(Problem),
    #[response(status = 403, description = "A cookie, but not known to be from our own pages: `csrf_failed`", content_type = CONTENT_TYPE)]
    CrossOrigin(Problem),
}

/// Ends the session of the access token, or else of the refresh token in body or cookie.
///
/// An access token that has expired is no obstacle where a refresh token is there; also one that was
/// used before ends its session.
#[utoipa::path(
    post,
    path = routes::LOGOUT,
    tag = "sessions",
    security(("bearer" = []), ("refresh_cookie" = []), ()),
    request_body = Option<LogoutRequest>,
    responses(
        SignedOut,
        BodyProblems,
        Unavailable,
    ),
)]
async fn logout(
    State(app): State<App>,
    claims: Result<Option<Claims>, Refused>,
    same_origin: SameOrigin,
    cookie: RefreshCookie,
    body: Option<Json<LogoutRequest>>,
) -> Response {
    let ended = async {
        match credential(claims, body, cookie, same_origin, &app.guards)? {
            Credential::Access(owner) => super::end(&app, owner).await?,
            Credential::Refresh(token) => super::end_by_token(&app, &token).await?,
        }
        Ok(())
    };
    signed_out(&app, ended.await, same_origin)
}

/// Ends every session of the account that the access token, or else the refresh token, is of.
///
/// The refresh token has to be one that could be refreshed now.
#[utoipa::path(
    post,
    path = routes::LOGOUT_ALL,
    tag = "sessions",
    security(("bearer" = []), ("refresh_cookie" = []), ()),
    request_body = Option<LogoutRequest>,
    responses(
        SignedOut,
        BodyProblems,
        Unavailable,
    ),
)]
async fn logout_all(
    State(app): State<App>,
    claims: Result<Option<Claims>, Refused>,
    same_origin: SameOrigin,
    cookie: RefreshCookie,
    body: Option<Json<LogoutRequest>>,
) -> Response {
    let ended = async {
        let owner = match credential(claims, body, cookie, same_origin, &app.guards)? {
            Credential::Access(owner) => owner,
            Credential::Refresh(token) => super::get_live_owner(&app, &token).await?,
        };
        super::end_all(&app, owner.account, None).await?;
        Ok(())
    };
    signed_out(&app, ended.await, same_origin)
}

/// What somebody who signs out presents.
enum Credential {
    Access(Owner),
    Refresh(RefreshToken),
}

/// The access token where it holds, else the refresh token: one that has expired is no obstacle.
fn credential(
    claims: Result<Option<Claims>, Refused>,
    body: Option<Json<LogoutRequest>>,
    cookie: RefreshCookie,
    same_origin: SameOrigin,
    guards: &Settings,
) -> Result<Credential, Error> {
    let refused = match claims.map_err(Refused::into_error) {
        Ok(Some(claims)) => return Ok(Credential::Access(Owner::from(&claims))),
        Err(error @ (GuardError::MalformedAuthorization | GuardError::Repeated)) => {
            return Err(error.into());
        }
        Ok(None) => guards.missing(),
        Err(error) => error,
    };
    let body = body.and_then(|Json(request)| request.refresh_token);
    presented(body.as_ref(), cookie, same_origin)?
        .map(Credential::Refresh)
        .ok_or_else(|| refused.into())
}

/// The answer to signing out. Whatever the cookie was good for, this browser is not to send it again,
/// also where the server could not do its part; only a page from elsewhere must not be able to take
/// it away.
fn signed_out(app: &App, ended: Result<(), Error>, same_origin: SameOrigin) -> Response {
    // A page from elsewhere may sign out by a token of its own, for instance in the query.
    let is_cleared = same_origin.holds() || ended.is_ok() && !same_origin.is_foreign();
    let mut response = match ended {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    };
    if is_cleared {
        clear_cookie(&mut response, app.https);
        if app.guards.locations().contains(Location::Cookies) {
            app.access_cookies().unset(response.headers_mut());
        }
    }
    response
}

/// The live sessions of the account, the last used first.
#[utoipa::path(
    get,
    path = routes::SESSIONS,
    tag = "sessions",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The sessions", body = SessionsResponse),
        Unauthorized,
        Unavailable,
    ),
)]
async fn list(State(app): State<App>, claims: Claims) -> Result<impl IntoResponse, Error> {
    let sessions = super::list(&app, claims.sub.into()).await?;
    let current = claims.sid.map(SessionId::from);
    let sessions = sessions
        .into_iter()
        .map(|listed| listed.into_response(current))
        .collect();
    Ok(NoStore(SessionsResponse { sessions }))
}

impl Listed {
    fn into_response(self, current: Option<SessionId>) -> SessionResponse {
        SessionResponse {
            id: self.session.id.to_string(),
            created_at: self.session.created_at.to_string(),
            last_used_at: self.session.last_used_at.to_string(),
            device: self.user_agent.as_ref().and_then(UserAgent::device),
            user_agent: self.user_agent.map(|agent| agent.as_str().to_owned()),
            current: Some(self.session.id) == current,
        }
    }
}

/// Ends every session of the account but the presented token's, and every token that hangs on no
/// session, the presented one among them.
#[utoipa::path(
    delete,
    path = routes::SESSIONS,
    tag = "sessions",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The other sessions have ended"),
        Unauthorized,
        Unavailable,
    ),
)]
async fn end_others(State(app): State<App>, claims: Claims) -> Result<StatusCode, Error> {
    super::end_all(&app, claims.sub.into(), claims.sid.map(SessionId::from)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one session of the account.
#[utoipa::path(
    delete,
    path = routes::SESSION,
    tag = "sessions",
    security(("bearer" = [])),
    params(("id" = String, Path, format = "uuid", description = "The session's id")),
    responses(
        (status = 204, description = "The session has ended"),
        Unauthorized,
        (status = 404, description = "The account has no such session: `not_found`", body = Problem, content_type = "application/problem+json"),
        Unavailable,
    ),
)]
async fn end_one(
    State(app): State<App>,
    claims: Claims,
    id: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, Error> {
    // What is no id names no session.
    let Path(id) = id.map_err(|_| Error::NotFound)?;
    if super::end_own(&app, claims.sub.into(), id.into()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}

/// Greets whoever presents a token.
#[utoipa::path(
    get,
    path = routes::PROTECTED,
    tag = "sessions",
    operation_id = "protected_get",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The greeting", body = Message),
        Unauthorized,
    ),
)]
async fn protected_get(State(app): State<App>, claims: Claims) -> Result<NoStore<Message>, Error> {
    let email = match claims.email {
        Some(email) => email,
        None => super::address_of(&app, claims.sub.into()).await?,
    };
    Ok(NoStore(Message {
        message: format!("welcome {email}"),
    }))
}

/// Greets whoever presents a token, by `POST`. No body is read.
#[utoipa::path(
    post,
    path = routes::PROTECTED,
    tag = "sessions",
    operation_id = "protected_post",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The greeting", body = Message),
        Unauthorized,
    ),
)]
async fn protected_post(app: State<App>, claims: Claims) -> Result<NoStore<Message>, Error> {
    protected_get(app, claims).await
}
