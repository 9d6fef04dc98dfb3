//! `countersign token …`

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Read as _, Write as _},
    sync::Arc,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use countersign_types::Email;
use serde_json::{Map, Value};

use super::{Failure, load, must_have_database, say};
use crate::{
    accounts,
    app::App,
    clock::SystemClock,
    config::{Config, Flags},
    guard::{Ask, GuardError},
    sessions::{self, Opening},
    store::Timestamp,
    token::{Claims, MAX_TOKEN_BYTES, TokenClaims as _, Unverified},
};

/// What `token` takes.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Issue an access token for an account, to try something out
    ///
    /// It belongs to a session of its own, which is over with the token:
    ///
    ///   countersign token mint --email ada@example.com
    ///   curl -H "Authorization: Bearer $(countersign token mint --email ada@example.com)" …
    #[command(verbatim_doc_comment)]
    Mint(Mint),
    /// Show what a token says, whoever signed it
    ///
    /// Reads it from standard input where none is given, so that it is in no list of processes:
    ///
    ///   countersign token inspect < token.txt
    #[command(verbatim_doc_comment)]
    Inspect(Presented),
    /// Check a token as the server would, and say why it is refused
    ///
    /// Takes the same configuration as `serve`, since issuer, audience and keys come from there:
    ///
    ///   countersign token verify < token.txt
    #[command(verbatim_doc_comment)]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Mint {
    /// The account's address
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub(super) struct Presented {
    /// The token; without it, standard input is read
    token: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    presented: Presented,
    #[command(flatten)]
    flags: Flags,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Mint(mint) => {
                let config = configured(mint.flags)?;
                run(mint_token(&config, &mint.email))
            }
            Self::Inspect(presented) => Ok(print(&inspect(&presented.read()?)?)?),
            Self::Verify(verify) => {
                let config = configured(verify.flags)?;
                let token = verify.presented.read()?;
                run(verify_token(&config, &token))
            }
        }
    }
}

fn configured(flags: Flags) -> Result<Config, Failure> {
    let (config, warnings) = load(flags)?;
    for warning in warnings {
        say(format_args!("warning: {warning}\n"));
    }
    Ok(config)
}

fn run(work: impl Future<Output = anyhow::Result<String>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
    print(&runtime.block_on(work)?)?;
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("standard output cannot be written")
}

impl Presented {
    fn read(self) -> anyhow::Result<String> {
        let text = match self.token {
            Some(token) => token,
            None if io::stdin().is_terminal() => {
                bail!("no token: give it as an argument, or on standard input")
            }
            None => read_token(io::stdin().lock())?,
        };
        // What somebody copied from a header is meant as it is used.
        let token = text.trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        Ok(token.trim_matches('"').to_owned())
    }
}

fn read_token(input: impl io::Read) -> anyhow::Result<String> {
    // A header's name and scheme may stand before it.
    let limit = MAX_TOKEN_BYTES as u64 + 64;
    let mut text = String::new();
    input
        .take(limit + 1)
        .read_to_string(&mut text)
        .context("the token cannot be read from standard input")?;
    if text.len() as u64 > limit {
        bail!("standard input has more than {limit} bytes: that is no token");
    }
    Ok(text)
}

async fn mint_token(config: &Config, email: &str) -> anyhow::Result<String> {
    let email = Email::parse(email).map_err(|error| anyhow!("--email {email}: {error}"))?;
    let app = open(config).await?;
    let token = async {
        let mut tx = app.db.write().await?;
        let Some(found) = accounts::find_credentials(&mut tx, &email).await? else {
            bail!("there is no account with this address");
        };
        let opening = Opening {
            user_agent: sessions::UserAgent::parse("countersign token mint"),
            is_refreshable: false,
        };
        let opened = sessions::open(&mut tx, &app, found.account.id, &opening).await?;
        tx.commit().await?;
        let own = sessions::grant(&app, &found.account).await?;
        let issued = sessions::issue(&app, &found.account, &opened, own)?;
        Ok(format!("{}\n", issued.access_token.expose()))
    };
    let token = token.await;
    app.db.close().await;
    token
}

async fn verify_token(config: &Config, token: &str) -> anyhow::Result<String> {
    let app = open(config).await?;
    let accepted = sessions::accept(&app, token, Ask::Everything).await;
    let findings = sessions::explain(&app, token);
    app.db.close().await;
    let refused = match accepted {
        Ok(token) => {
            let until = Timestamp::from_secs(token.exp());
            let claims: Claims = Claims::read(&token)?;
            let who = claims.email.unwrap_or_else(|| token.sub().to_owned());
            return Ok(format!("accepted: {who}, until {until}\n"));
        }
        Err(error @ GuardError::Unavailable(_)) => return Err(error.into()),
        Err(error) => error,
    };
    let mut text = format!("refused: {refused}");
    for finding in findings {
        // Writing to a `String` cannot fail.
        write!(
            text,
            "\n  {:<10}expected {}\n            got {}",
            finding.what, finding.expected, finding.got
        )
        .ok();
    }
    Err(anyhow!(text))
}

/// Opens what the server uses. Where there is nothing yet, nothing is made: a new key would accept
/// no token there is.
async fn open(config: &Config) -> anyhow::Result<App> {
    must_have_database(config)?;
    let port = config.server.listen.port();
    Ok(App::open(config, Arc::new(SystemClock::new()), port).await?)
}

fn inspect(token: &str) -> anyhow::Result<String> {
    let Unverified { header, claims } = Unverified::read(token)?;
    let mut text = String::from("header\n");
    text += &members(&header);
    text += "claims\n";
    text += &members(&claims);
    text += "Nobody checked who signed this: `countersign token verify` does.\n";
    Ok(text)
}

/// A line a member, times readable.
fn members(members: &Map<String, Value>) -> String {
    const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

    members
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("  {name:<16}{text}\n"),
            Value::Number(number) if TIMES.contains(&name.as_str()) => {
                let time = number.as_i64().map(Timestamp::from_secs);
                let time = time.map_or_else(String::new, |time| format!(" ({time})"));
                format!("  {name:<16}{number}{time}\n")
            }
            other => format!("  {name:<16}{other}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(token: &str) -> String {
        let token = Some(token.to_owned());
        Presented { token }.read().unwrap()
    }

    #[test]
    fn token_is_taken_as_people_copy_it() {
        for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "\"a.b.c\""] {
            assert_eq!(read(text), "a.b.c", "{text:?}");
        }
    }

    #[test]
    fn endless_input_is_no_token() {
        let refused = read_token(io::repeat(b'a')).unwrap_err();

        assert!(
            refused.to_string().ends_with("that is no token"),
            "{refused}"
        );
    }

    #[test]
    fn token_is_shown_with_readable_times_and_a_warning() {
        // {"alg":"none"} and {"exp":1767269700,"sub":"ada","roles":["a"]}
        let token =
            "eyJhbGciOiJub25lIn0.eyJleHAiOjE3NjcyNjk3MDAsInN1YiI6ImFkYSIsInJvbGVzIjpbImEiXX0.";

        insta::assert_snapshot!(inspect(token).unwrap(), @r#"
        header
          alg             none
        claims
          exp             1767269700 (2026-01-01T12:15:00Z)
          roles           ["a"]
          sub             ada
        Nobody checked who signed this: `countersign token verify` does.
        "#);
    }
}
