//! Where access tokens are looked for.

use std::{borrow::Cow, fmt, str::FromStr};

use axum::extract::Query;
use cookie::Cookie;
use http::{HeaderMap, HeaderName, header, request::Parts};

use super::{AccessCookies, GuardError};

/// A place in a request where a token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// A header: `Authorization: Bearer …` (RFC 6750 §2.1).
    Headers,
    /// A cookie, which a browser sends by itself: so a request that changes something must repeat
    /// what is in the token, in a header (double submit).
    Cookies,
    /// The query: `?jwt=…`. Ends up in logs and histories; for what can send no header.
    QueryString,
    /// A member of a JSON body: `{"access_token":"…"}`.
    Json,
}

impl Location {
    /// Every place, by its name in the configuration.
    pub const ALL: [(&'static str, Self); 4] = [
        ("headers", Self::Headers),
        ("cookies", Self::Cookies),
        ("query_string", Self::QueryString),
        ("json", Self::Json),
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Cookies => "cookies",
            Self::QueryString => "query_string",
            Self::Json => "json",
        }
    }
}

/// What is wrong with [`Locations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// None of [`Location::ALL`].
    #[error("expected `headers`, `cookies`, `query_string` or `json`")]
    Unknown,
    /// Where nothing is looked for nobody is let in.
    #[error("at least one place is needed")]
    Empty,
    /// Twice the same place.
    #[error("`{0}` is there twice")]
    Repeated(&'static str),
    /// No name that a header, a parameter or a member can have.
    #[error("a name is needed that a header can have")]
    Name,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(name: &str) -> Result<Self, LocationError> {
        Self::ALL
            .into_iter()
            .find_map(|(known, location)| (known == name).then_some(location))
            .ok_or(LocationError::Unknown)
    }
}

/// Where access tokens are looked for, in which order, and under which names.
///
/// The first place that has a token decides: a bad one there is refused, and no further place is
/// looked at.
///
/// ```
/// use countersign::guard::{AccessCookies, Location, Locations};
///
/// let locations = Locations::new([Location::Headers, Location::Cookies])?
///     .cookies(AccessCookies::secure())
///     .header("x-access-token", "")?;
/// # Ok::<(), countersign::guard::LocationError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Locations {
    order: Vec<Location>,
    header: HeaderName,
    /// The same as the program writes it, for people.
    header_text: String,
    /// Empty where the header holds the token alone.
    scheme: String,
    cookies: AccessCookies,
    query: String,
    /// What stands before the token in the parameter.
    query_prefix: String,
    json: String,
}

impl Default for Locations {
    /// `Authorization: Bearer …` and nowhere else.
    fn default() -> Self {
        Self {
            order: vec![Location::Headers],
            header: header::AUTHORIZATION,
            header_text: "Authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            cookies: AccessCookies::secure(),
            query: "jwt".to_owned(),
            query_prefix: String::new(),
            json: "access_token".to_owned(),
        }
    }
}

impl Locations {
    /// These, in this order, under the usual names.
    ///
    /// # Errors
    ///
    /// [`LocationError`] where there is none, or one twice.
    pub fn new(order: impl IntoIterator<Item = Location>) -> Result<Self, LocationError> {
        let mut places = Vec::new();
        for location in order {
            if places.contains(&location) {
                return Err(LocationError::Repeated(location.as_str()));
            }
            places.push(location);
        }
        if places.is_empty() {
            return Err(LocationError::Empty);
        }
        Ok(Self {
            order: places,
            ..Self::default()
        })
    }

    /// Another header than `Authorization`, another scheme than `Bearer`; with an empty one the
    /// header holds the token alone. The case of neither matters.
    ///
    /// # Errors
    ///
    /// [`LocationError::Name`] where no header can have this name, or the scheme has a space.
    pub fn header(mut self, name: &str, scheme: &str) -> Result<Self, LocationError> {
        if scheme.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(LocationError::Name);
        }
        self.header = name.parse().map_err(|_| LocationError::Name)?;
        name.clone_into(&mut self.header_text);
        scheme.clone_into(&mut self.scheme);
        Ok(self)
    }

    /// How the cookies are named and set.
    #[must_use]
    pub fn cookies(mut self, cookies: AccessCookies) -> Self {
        self.cookies = cookies;
        self
    }

    /// Another query parameter than `jwt`.
    ///
    /// # Errors
    ///
    /// [`LocationError::Name`] where it is empty.
    pub fn query(mut self, name: &str) -> Result<Self, LocationError> {
        if name.is_empty() {
            return Err(LocationError::Name);
        }
        name.clone_into(&mut self.query);
        Ok(self)
    }

    /// What the value of the query parameter begins with, before the token: nothing, unless set.
    #[must_use]
    pub fn query_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.query_prefix);
        self
    }

    /// Another member of a JSON body than `access_token`.
    ///
    /// # Errors
    ///
    /// [`LocationError::Name`] where it is empty.
    pub fn json(mut self, name: &str) -> Result<Self, LocationError> {
        if name.is_empty() {
            return Err(LocationError::Name);
        }
        name.clone_into(&mut self.json);
        Ok(self)
    }

    /// Whether this place is looked at.
    pub fn contains(&self, location: Location) -> bool {
        self.order.contains(&location)
    }

    /// How the cookies are named and set.
    pub const fn access_cookies(&self) -> &AccessCookies {
        &self.cookies
    }

    /// Whether our pages get through: they send `Authorization`, and the browser may send a cookie
    /// along, whose secret they do not repeat.
    #[cfg(feature = "server")]
    pub(crate) fn suits_pages(&self) -> bool {
        let is_usual =
            self.header == header::AUTHORIZATION && self.scheme.eq_ignore_ascii_case("Bearer");
        let first = self
            .order
            .iter()
            .find(|place| matches!(place, Location::Headers | Location::Cookies));
        is_usual && first == Some(&Location::Headers)
    }

    pub(super) fn json_member(&self) -> &str {
        &self.json
    }

    /// The token of a request and where it was; `None` where there is none in any place.
    pub(super) fn find<'p>(
        &self,
        parts: &'p Parts,
    ) -> Result<Option<(Cow<'p, str>, Location)>, GuardError> {
        for location in &self.order {
            if let Some(token) = self.look(*location, parts)? {
                return Ok(Some((token, *location)));
            }
        }
        Ok(None)
    }

    fn look<'p>(
        &self,
        location: Location,
        parts: &'p Parts,
    ) -> Result<Option<Cow<'p, str>>, GuardError> {
        Ok(match location {
            Location::Headers => self.in_header(&parts.headers)?.map(Cow::Borrowed),
            Location::Cookies => in_cookie(&parts.headers, self.cookies.name())?,
            Location::QueryString => self.in_query(parts)?.map(Cow::Owned),
            Location::Json => {
                let read = JsonToken::find(parts, &self.json).ok_or(GuardError::BodyNotRead)?;
                read.token.as_deref().map(Cow::Borrowed)
            }
        })
    }

    /// Whether a place that comes before the JSON body decides.
    pub(super) fn is_found_before_json(&self, parts: &Parts) -> bool {
        self.order
            .iter()
            .take_while(|location| **location != Location::Json)
            .any(|location| !matches!(self.look(*location, parts), Ok(None)))
    }

    /// The token of the header (RFC 6750 §2.1). The scheme is compared without regard to case
    /// (RFC 9110 §11.1); other schemes are somebody else's.
    fn in_header<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, GuardError> {
        let mut values = headers.get_all(&self.header).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(GuardError::MalformedAuthorization);
        }
        let value = value
            .to_str()
            .map_err(|_| GuardError::MalformedAuthorization)?
            .trim_matches(' ');
        let token = if self.scheme.is_empty() {
            value
        } else {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if !scheme.eq_ignore_ascii_case(&self.scheme) {
                return Ok(None);
            }
            token.trim_start_matches(' ')
        };
        if token.is_empty() || token.contains(' ') {
            return Err(GuardError::NotAToken(TokenForm::Header {
                name: self.header_text.clone(),
                scheme: self.scheme.clone(),
            }));
        }
        Ok(Some(token))
    }

    /// That a request has no token in any of these places.
    pub(super) fn missing(&self, parts: &Parts) -> Missing {
        let mut missing = Missing::from(self);
        for absence in &mut missing.absences {
            match absence {
                Absence::Header { is_there, .. } => {
                    let value = parts.headers.get(&self.header);
                    *is_there = value.is_some_and(|value| !value.is_empty());
                }
                Absence::Json { is_json, .. } => *is_json = super::layer::is_json(&parts.headers),
                Absence::Cookie(_) | Absence::Query(_) => {}
            }
        }
        missing
    }

    fn in_query(&self, parts: &Parts) -> Result<Option<String>, GuardError> {
        // A query that is no list of pairs holds no token of anybody's.
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Ok(None);
        };
        let mut values = pairs
            .into_iter()
            .filter(|(name, value)| *name == self.query && !value.is_empty())
            .map(|(_, value)| value);
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value,
            (_, Some(_)) => return Err(GuardError::Repeated),
        };
        match value.strip_prefix(&self.query_prefix) {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(GuardError::NotAToken(TokenForm::Query {
                name: self.query.clone(),
                prefix: self.query_prefix.clone(),
            })),
        }
    }
}

/// That no token was found, and where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    places: String,
    hint: &'static str,
    pub(super) absences: Vec<Absence>,
}

/// One place without a token, and what was there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absence {
    Header {
        name: String,
        scheme: String,
        is_there: bool,
    },
    Cookie(String),
    Query(String),
    Json {
        name: String,
        is_json: bool,
    },
}

impl Absence {
    /// The place.
    pub(super) const fn location(&self) -> Location {
        match self {
            Self::Header { .. } => Location::Headers,
            Self::Cookie(_) => Location::Cookies,
            Self::Query(_) => Location::QueryString,
            Self::Json { .. } => Location::Json,
        }
    }
}

impl From<&Locations> for Missing {
    fn from(locations: &Locations) -> Self {
        let absence = |location: &Location| match location {
            Location::Headers => Absence::Header {
                name: locations.header_text.clone(),
                scheme: locations.scheme.clone(),
                is_there: false,
            },
            Location::Cookies => Absence::Cookie(locations.cookies.name().to_owned()),
            Location::QueryString => Absence::Query(locations.query.clone()),
            Location::Json => Absence::Json {
                name: locations.json.clone(),
                is_json: true,
            },
        };
        Self {
            places: locations.to_string(),
            hint: "",
            absences: locations.order.iter().map(absence).collect(),
        }
    }
}

impl Missing {
    /// With a sentence on where a token is to be had.
    pub(super) const fn hinted(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    pub(super) const fn hint(&self) -> &'static str {
        self.hint
    }
}

/// Says where a token is to be put, as [`Locations`] does.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.places)
    }
}

/// The form that a token has in a place, where something else was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenForm {
    /// In a header: behind a scheme, or alone where that is empty.
    Header {
        /// The header.
        name: String,
        /// The scheme.
        scheme: String,
    },
    /// In the query: behind a prefix.
    Query {
        /// The parameter.
        name: String,
        /// The prefix.
        prefix: String,
    },
}

/// The value of a cookie. Of two with one name nobody knows which is meant: another page of the host
/// may have added one.
fn in_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<Cow<'h, str>>, GuardError> {
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        // Other cookies of this host may hold anything; their bytes must not hide ours.
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .flat_map(|value| {
            let found: Vec<_> = Cookie::split_parse(&*value)
                .filter_map(Result::ok)
                .filter(|cookie| cookie.name() == name && !cookie.value().is_empty())
                .map(|cookie| cookie.value().to_owned())
                .collect();
            found
        });
    match (values.next(), values.next()) {
        (found, None) => Ok(found.map(Cow::Owned)),
        (_, Some(_)) => Err(GuardError::Repeated),
    }
}

/// Says where a token is to be put: completes «Send an access token in …».
impl fmt::Display for Locations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, location) in self.order.iter().enumerate() {
            match index {
                0 => {}
                last if last + 1 == self.order.len() => f.write_str(" or ")?,
                _ => f.write_str(", ")?,
            }
            match location {
                Location::Headers => {
                    let space = if self.scheme.is_empty() { "" } else { " " };
                    let (name, scheme) = (&self.header_text, &self.scheme);
                    write!(f, "the header «{name}: {scheme}{space}…»")?;
                }
                Location::Cookies => write!(f, "the cookie «{}»", self.cookies.name())?,
                Location::QueryString => write!(f, "the query parameter «{}»", self.query)?,
                Location::Json => write!(f, "the member «{}» of a JSON body", self.json)?,
            }
        }
        Ok(())
    }
}

/// What was found in a JSON body under a name, by whoever read it.
#[derive(Clone)]
pub(super) struct JsonToken {
    name: String,
    token: Option<String>,
}

impl JsonToken {
    pub(super) fn new(name: &str, token: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            token,
        }
    }

    /// What was found under this name, where it was looked for.
    pub(super) fn find<'p>(parts: &'p Parts, name: &str) -> Option<&'p Self> {
        let read = parts.extensions.get::<Self>()?;
        (read.name == name).then_some(read)
    }
}

/// The member of a request's body that was its token, for who reads the body and knows no such
/// member.
#[cfg(feature = "server")]
pub(crate) fn token_member(extensions: &http::Extensions) -> Option<&str> {
    let read = extensions.get::<JsonToken>()?;
    read.token.is_some().then_some(&*read.name)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn found(locations: &Locations, parts: &Parts) -> Result<Option<(String, Location)>, String> {
        locations
            .find(parts)
            .map(|found| found.map(|(token, location)| (token.into_owned(), location)))
            .map_err(|error| error.to_string())
    }

    fn in_authorization(values: &[&str]) -> Result<Option<String>, String> {
        let headers: Vec<_> = values
            .iter()
            .map(|value| ("authorization", *value))
            .collect();
        let found = found(&Locations::default(), &parts("/", &headers))?;
        Ok(found.map(|(token, _)| token))
    }

    fn all() -> Locations {
        Locations::new(Location::ALL.map(|(_, location)| location)).unwrap()
    }

    #[test]
    fn scheme_is_compared_without_regard_to_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc ", " BeArEr abc"] {
            assert_eq!(
                in_authorization(&[value]),
                Ok(Some("abc".to_owned())),
                "{value}"
            );
        }
    }

    #[test]
    fn other_schemes_are_no_credential_of_ours() {
        for values in [
            &[] as &[&str],
            &["Basic YTpi"],
            &["Bearerabc"],
            &[""],
            &["Negotiate"],
        ] {
            assert_eq!(in_authorization(values), Ok(None), "{values:?}");
        }
    }

    #[test]
    fn empty_bearer_and_two_headers_are_refused() {
        for value in ["Bearer", "Bearer   "] {
            assert_eq!(
                in_authorization(&[value]),
                Err("there is something else than a token in its place".to_owned())
            );
        }
        for values in [&["Bearer abc", "Bearer abc"] as &[&str], &["Bearer ä"]] {
            assert_eq!(
                in_authorization(values),
                Err("malformed Authorization".to_owned())
            );
        }
    }

    #[test]
    fn first_place_with_a_token_decides() {
        let all = all();
        let mut request = parts(
            "/?jwt=q",
            &[
                ("authorization", "Bearer h"),
                ("cookie", "__Host-access_token_cookie=c"),
            ],
        );
        request
            .extensions
            .insert(JsonToken::new("access_token", Some("j".to_owned())));
        for (name, token) in [("authorization", "h"), ("cookie", "c"), ("", "q")] {
            let (found, _) = found(&all, &request).unwrap().unwrap();

            assert_eq!(found, token);
            request
                .headers
                .remove(name.parse::<HeaderName>().unwrap_or(header::AGE));
        }
        request.uri = "/".parse().unwrap();
        assert_eq!(
            found(&all, &request),
            Ok(Some(("j".to_owned(), Location::Json)))
        );
    }

    #[test]
    fn place_that_is_not_listed_is_not_looked_at() {
        let request = parts("/?jwt=q", &[("cookie", "__Host-access_token_cookie=c")]);

        assert_eq!(found(&Locations::default(), &request), Ok(None));
    }

    #[test]
    fn repeated_parameter_or_cookie_is_refused() {
        let refused = Err("a token in two of the same".to_owned());
        for request in [
            parts("/?jwt=a&jwt=b", &[]),
            parts(
                "/",
                &[(
                    "cookie",
                    "__Host-access_token_cookie=a; __Host-access_token_cookie=b",
                )],
            ),
            parts(
                "/",
                &[
                    ("cookie", "__Host-access_token_cookie=a"),
                    ("cookie", "__Host-access_token_cookie=a"),
                ],
            ),
        ] {
            assert_eq!(found(&all(), &request), refused);
        }
    }

    #[test]
    fn empty_cookie_or_parameter_is_none() {
        let mut request = parts(
            "/?jwt=&other=%FF",
            &[("cookie", "__Host-access_token_cookie=; a=\"b")],
        );
        request
            .extensions
            .insert(JsonToken::new("access_token", None));

        assert_eq!(found(&all(), &request), Ok(None));
    }

    #[test]
    fn header_may_have_another_name_and_hold_the_token_alone() {
        let alone = Locations::default().header("X-Token", "").unwrap();
        let jwt = Locations::default().header("Authorization", "JWT").unwrap();

        let request = parts("/", &[("x-token", "abc"), ("authorization", "jwt def")]);
        let token = |locations| found(locations, &request).unwrap().unwrap().0;
        assert_eq!(token(&alone), "abc");
        assert_eq!(token(&jwt), "def");
        assert_eq!(
            Locations::default().header("a b", "").unwrap_err(),
            LocationError::Name
        );
        assert_eq!(
            Locations::default().header("a", "b c").unwrap_err(),
            LocationError::Name
        );
    }

    #[test]
    fn parameter_may_have_a_prefix_and_then_must() {
        let locations = Locations::new([Location::QueryString]).unwrap();
        let locations = locations.query_prefix("bearer ");
        let token = |uri| found(&locations, &parts(uri, &[]));

        let there = Ok(Some(("a.b.c".to_owned(), Location::QueryString)));
        assert_eq!(token("/?jwt=bearer%20a.b.c"), there);
        let refused = Err("there is something else than a token in its place".to_owned());
        assert_eq!(token("/?jwt=a.b.c"), refused);
        assert_eq!(token("/?jwt="), Ok(None));
    }

    #[test]
    fn order_has_each_place_once_and_at_least_one() {
        use Location::{Cookies, Headers};

        assert_eq!(Locations::new([]).unwrap_err(), LocationError::Empty);
        assert_eq!(
            Locations::new([Headers, Cookies, Headers]).unwrap_err(),
            LocationError::Repeated("headers")
        );
        assert_eq!("form".parse::<Location>(), Err(LocationError::Unknown));
    }

    #[test]
    fn text_says_every_place() {
        assert_eq!(
            all().to_string(),
            "the header «Authorization: Bearer …», the cookie «__Host-access_token_cookie», \
             the query parameter «jwt» or the member «access_token» of a JSON body"
        );
    }

    proptest! {
        #[test]
        fn any_header_cookie_and_query_is_read_without_a_panic(
            header in "[ -~]{0,100}", cookie in "[ -~]{0,100}", query in "[!-~]{0,100}"
        ) {
            let uri = format!("/?{query}").parse::<http::Uri>();
            let mut request = parts("/", &[("authorization", &header), ("cookie", &cookie)]);
            request.uri = uri.unwrap_or_default();
            request.extensions.insert(JsonToken::new("access_token", None));
            drop(all().find(&request));
        }
    }
}
