//! `countersign keys …`

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, load, must_have_database, say};
use crate::{
    app::{App, stored_keys},
    clock::{Clock, SystemClock},
    config::{Config, Flags},
    keys::{self, Key, KeyRules, MasterKey, Next, Rotation, State, StoredKeys},
    store::Timestamp,
    token::{Algorithm, VerifyingKey},
};

/// What `keys` takes.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show the keys, what each does, and what happens to it next
    List(List),
    /// Publish the next key, which signs once everybody knows it
    ///
    /// Works beside running servers, which follow within a second. The key is pending first: it is in
    /// /.well-known/jwks.json and does not sign. After `keys.pending_for` it signs, and the one before
    /// it goes on verifying until its last token is over. Nobody has to sign in again.
    Rotate(Rotate),
    /// Remove a key at once, because somebody else may have it
    ///
    /// Running servers refuse what it signed within a second. Where it was the one that signs, the next
    /// one does at once. People stay signed in: their pages get a new token by their refresh token.
    ///
    /// Services that read the public keys themselves accept the key until they read them again, and
    /// refuse the new one until then; restart those that keep them long.
    Revoke(Revoke),
    /// Seal the private keys with another master key
    ///
    /// Works beside running servers. The new one becomes `master.key`, the old one is kept as
    /// `master.key.old`, or with a number where there is one already: backups made before this still
    /// need it. Whatever interrupts this, the next start finds the one that fits. Where several hosts share a database, copy the file to each
    /// before the next key is made or one of them restarts.
    ///
    /// Where `master_key` is configured, name the new one's file, and configure that one on every
    /// server afterwards:
    ///
    ///   (umask 077; openssl rand -base64 32 > new.key)
    ///   countersign keys rewrap --new-master-key-file new.key
    #[command(verbatim_doc_comment)]
    Rewrap(Rewrap),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Show the removed keys as well
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Sign with the next key at once: services that keep the public keys refuse its tokens until they
    /// read them again
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The key's `kid`, or a beginning of it that no other key has
    #[arg(allow_hyphen_values = true)]
    kid: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub(super) struct Rewrap {
    /// Take this file's master key (32 bytes in base64, mode 0600) instead of making one
    #[arg(long, value_name = "FILE")]
    new_master_key_file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

impl Keys {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(List { all, json, flags }) => {
                with_keys(flags, Beside::Noted, async |keys, _| {
                    let shown = |key: &Key| all || key.state != State::Removed;
                    let found = keys.list().await?;
                    Ok(if json {
                        as_json(&found, keys.rules(), shown)
                    } else {
                        as_table(&found, keys.rules(), shown)
                    })
                })
            }
            Self::Rotate(Rotate { now, flags }) => {
                with_keys(flags, Beside::Refused, async |keys, _| {
                    let how = if now {
                        Rotation::AtOnce
                    } else {
                        Rotation::Published
                    };
                    let rotated = keys.rotate(how).await?;
                    warn_of_algorithm(rotated.algorithm, keys.rules());
                    Ok(say_rotated(&rotated, how, keys.rules()))
                })
            }
            Self::Revoke(Revoke { kid, flags }) => {
                with_keys(flags, Beside::Noted, async |keys, config| {
                    let revoked = keys.revoke(&kid).await?;
                    warn_of_file(&revoked.kid, config);
                    let mut text = say_removed(&revoked, keys.rules());
                    if ConfiguredKey::of(config).is_none() {
                        warn_of_algorithm(revoked.algorithm, keys.rules());
                        text += &say_signs(&revoked);
                    }
                    Ok(text)
                })
            }
            Self::Rewrap(Rewrap {
                new_master_key_file,
                flags,
            }) => with_keys(flags, Beside::Noted, async |keys, _| {
                let new = new_master_key_file.as_deref().map(read_master_key);
                let rewrapped = keys.rewrap(new.transpose()?).await?;
                Ok(say_rewrapped(&rewrapped))
            }),
        }
    }
}

/// What a command does where the key that signs is of the configuration.
#[derive(Clone, Copy)]
enum Beside {
    /// It would make one that signs nothing.
    Refused,
    /// Those of the database can be looked at, removed and sealed anew all the same.
    Noted,
}

/// Opens the keys of the database, without touching them, and prints what the work gives.
fn with_keys(
    flags: Flags,
    beside: Beside,
    work: impl AsyncFnOnce(&StoredKeys, &Config) -> anyhow::Result<String>,
) -> Result<(), Failure> {
    let (config, warnings) = load(flags)?;
    for warning in warnings {
        say(format_args!("warning: {warning}\n"));
    }
    match (ConfiguredKey::of(&config), beside) {
        (Some(key), Beside::Refused) => {
            return Err(anyhow!("{key}, none in the database\n  {}", key.way()).into());
        }
        (Some(key), Beside::Noted) => say(format_args!(
            "note: {key}, and while it is there those of the database sign nothing\n"
        )),
        (None, _) => {}
    }
    must_have_database(&config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
    let text = runtime.block_on(async {
        let db = App::open_database(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let done = work(&stored_keys(&db, &clock, &config), &config).await;
        db.close().await;
        done
    })?;
    Ok(io::stdout()
        .write_all(text.as_bytes())
        .context("it is done, but standard output cannot be written")?)
}

/// A key that is for another algorithm than the one that is configured here.
fn warn_of_algorithm(algorithm: Option<Algorithm>, rules: &KeyRules) {
    if algorithm != Some(rules.algorithm) {
        say(format_args!(
            "warning: `token.algorithm` is {} here, and the key is for {algorithm} as the one before \
             it was. A server that starts with another algorithm turns to that by itself; where the \
             servers have the right one, this command was given another configuration than they.\n",
            rules.algorithm.as_str(),
            algorithm = name_of(algorithm),
        ));
    }
}

/// A file that names a revoked key: servers on the database pass over it, and nobody else does.
fn warn_of_file(revoked: &str, config: &Config) {
    let is_revoked =
        |key: &VerifyingKey| key.kid() == revoked || key.thumbprint().as_deref() == Some(revoked);
    if !config.token.verification_keys.iter().any(is_revoked) {
        return;
    }
    let meanwhile = match ConfiguredKey::of(config) {
        Some(_) => {
            "Until then, and a restart, servers accept it: with a key of the configuration they do not \
             ask the database."
        }
        None => {
            "Servers refuse it all the same, for the year in which the database knows that it was there."
        }
    };
    say(format_args!(
        "warning: the file of `token.verification_keys` has the revoked key {revoked}: take it out \
         there, and wherever else that file is used. {meanwhile}\n"
    ));
}

/// The key that signs, where it is of the configuration: it is in no list, and changed where it is.
#[derive(Clone, Copy)]
enum ConfiguredKey {
    Secret,
    Private,
}

impl ConfiguredKey {
    fn of(config: &Config) -> Option<Self> {
        let token = &config.token;
        let secret = token.secret.as_ref().map(|_| Self::Secret);
        secret.or(token.private_key.as_ref().map(|_| Self::Private))
    }

    /// How it is replaced.
    const fn way(self) -> &'static str {
        match self {
            Self::Secret => {
                "change it there and restart: every token of the old one is refused then, and pages get \
                 new ones by their refresh tokens"
            }
            Self::Private => {
                "change it there and restart; put the old one's public half into \
                 `token.verification_keys` until its last token is over"
            }
        }
    }
}

impl fmt::Display for ConfiguredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Secret => "token.secret",
            Self::Private => "token.private_key",
        };
        write!(f, "the key that signs is `{name}` of the configuration")
    }
}

fn read_master_key(path: &Path) -> anyhow::Result<MasterKey> {
    MasterKey::read(path)?.with_context(|| format!("there is no file {}", path.display()))
}

/// An algorithm, or that a newer version has it.
fn name_of(algorithm: Option<Algorithm>) -> &'static str {
    algorithm.map_or("unknown", Algorithm::as_str)
}

fn as_table(found: &[Key], rules: &KeyRules, shown: impl Fn(&Key) -> bool) -> String {
    let mut text = format!(
        "{:<43}  {:<9}  {:<8}  {:<20}  NEXT\n",
        "KID", "ALGORITHM", "STATE", "SINCE"
    );
    for key in found.iter().filter(|key| shown(key)) {
        let next = keys::next(key, found, rules).map_or_else(
            || match key.state {
                State::Active => "signs until `countersign keys rotate`".to_owned(),
                _ => "-".to_owned(),
            },
            |(next, at)| format!("{} {}", in_words(next), second(at)),
        );
        // Writing to a `String` cannot fail.
        writeln!(
            text,
            "{:<43}  {:<9}  {:<8}  {:<20}  {next}",
            key.kid,
            name_of(key.algorithm),
            key.state.as_str(),
            second(key.since).to_string(),
        )
        .ok();
    }
    text
}

fn as_json(found: &[Key], rules: &KeyRules, shown: impl Fn(&Key) -> bool) -> String {
    let list: Vec<Value> = found
        .iter()
        .filter(|key| shown(key))
        .map(|key| {
            let next = keys::next(key, found, rules)
                .map(|(next, at)| json!({ "event": event(next), "at": second(at).to_string() }));
            json!({
                "kid": key.kid,
                "algorithm": key.algorithm.map(Algorithm::as_str),
                "state": key.state.as_str(),
                "since": second(key.since).to_string(),
                "next": next,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "keys": list }))
}

const fn in_words(next: Next) -> &'static str {
    match next {
        Next::Signs => "signs from",
        Next::SuccessorPublished => "signs; the next key is published at",
        Next::Retires => "signs until",
        Next::Removed => "is removed at",
    }
}

const fn event(next: Next) -> &'static str {
    match next {
        Next::Signs => "signs",
        Next::SuccessorPublished => "successor_published",
        Next::Retires => "retires",
        Next::Removed => "removed",
    }
}

fn say_rotated(rotated: &keys::Rotated, how: Rotation, rules: &KeyRules) -> String {
    let keys::Rotated {
        kid,
        algorithm,
        signs_at,
        before,
        before_verifies_until,
    } = rotated;
    let algorithm = name_of(*algorithm);
    let mut text = match how {
        Rotation::Published => {
            format!(
                "The next key is {kid} ({algorithm}).\nIt is published now, and signs from {}.\n",
                second(*signs_at)
            )
        }
        Rotation::AtOnce => format!(
            "{kid} ({algorithm}) signs now.\nServices that keep the public keys refuse its tokens until they read \
             them again: for {} at most, where they keep to max-age.\n",
            span(rules.max_age())
        ),
    };
    if let Some(before) = before {
        // Writing to a `String` cannot fail.
        writeln!(
            text,
            "What {before} signed is accepted until {}.",
            second(*before_verifies_until)
        )
        .ok();
    }
    text
}

fn say_removed(revoked: &keys::Revoked, rules: &KeyRules) -> String {
    format!(
        "Removed {}, which was {}.\nRunning servers refuse what it signed within a second; services \
         that keep the public keys do once they read them again, in {} at most.\n",
        revoked.kid,
        revoked.was.as_str(),
        span(rules.max_age())
    )
}

fn say_signs(revoked: &keys::Revoked) -> String {
    let (signs, algorithm) = (&revoked.signs, name_of(revoked.algorithm));
    match revoked.was {
        State::Active => {
            format!("{signs} ({algorithm}) signs now. Pages get a new token by themselves.\n")
        }
        _ => format!("{signs} ({algorithm}) signs on.\n"),
    }
}

fn say_rewrapped(rewrapped: &keys::Rewrapped) -> String {
    let number = match rewrapped.keys {
        1 => "1 key is".to_owned(),
        number => format!("{number} keys are"),
    };
    if rewrapped.is_configured {
        return format!(
            "{number} sealed with the new master key.\nSet `master_key` to it on every server and \
             restart them: none starts with the old one, and none that runs makes or reads a new key \
             with it.\n"
        );
    }
    let kept = rewrapped.old.as_ref().map(|old| {
        format!(
            "The old one is kept as {}: backups made before now need it.\n",
            old.display()
        )
    });
    format!(
        "{number} sealed with a new master key.\n{}Copy the new one to every other host that uses this \
         database.\n",
        kept.unwrap_or_default()
    )
}

/// Without the part of a second, which nobody plans by.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_secs(time.as_secs())
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{cli::Cli, keys::Schedule};

    #[test]
    fn key_may_begin_with_a_hyphen() {
        for arguments in [
            &["-yR3", "--data-dir", "d"] as &[_],
            &["--data-dir", "d", "-yR3"],
            &["--data-dir", "d", "--", "-hR3"],
        ] {
            let given = ["countersign", "keys", "revoke"].iter().chain(arguments);
            let cli = Cli::try_parse_from(given).unwrap();

            let crate::cli::Command::Keys(Keys::Revoke(revoke)) = cli.command else {
                unreachable!()
            };
            assert!(revoke.kid.ends_with("R3"), "{arguments:?}");
            assert_eq!(revoke.flags.data_dir.as_deref(), Some("d"));
        }
    }

    const RULES: KeyRules = KeyRules {
        algorithm: Algorithm::Es256,
        schedule: Schedule::Every(Duration::from_hours(90 * 24)),
        pending_for: Duration::from_mins(10),
        verifies_for: Duration::from_mins(25),
    };

    fn key(kid: &str, state: State, since: i64) -> Key {
        let since = Timestamp::from_secs(1_767_268_800 + since);
        Key {
            kid: kid.repeat(43),
            algorithm: Some(Algorithm::Es256),
            state,
            since,
            created_at: since,
        }
    }

    #[test]
    fn list_says_what_happens_next() {
        let found = [
            key("a", State::Removed, -9000),
            key("b", State::Retiring, -600),
            key("c", State::Active, -600),
            key("d", State::Pending, 0),
        ];

        insta::assert_snapshot!(as_table(&found, &RULES, |key| key.state != State::Removed), @r"
        KID                                          ALGORITHM  STATE     SINCE                 NEXT
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  ES256      retiring  2026-01-01T11:50:00Z  is removed at 2026-01-01T12:15:00Z
        ccccccccccccccccccccccccccccccccccccccccccc  ES256      active    2026-01-01T11:50:00Z  signs until 2026-01-01T12:10:00Z
        ddddddddddddddddddddddddddddddddddddddddddd  ES256      pending   2026-01-01T12:00:00Z  signs from 2026-01-01T12:10:00Z
        ");
        let alone = &found[2..3];
        assert!(
            as_table(alone, &RULES, |_| true)
                .ends_with("  signs; the next key is published at 2026-04-01T11:40:00Z\n")
        );
        let off = KeyRules {
            schedule: Schedule::Off,
            ..RULES
        };
        assert!(
            as_table(alone, &off, |_| true).ends_with("  signs until `countersign keys rotate`\n")
        );
    }

    #[test]
    fn list_reads_as_json() {
        let found = [key("b", State::Retiring, -600)];

        insta::assert_snapshot!(as_json(&found, &RULES, |_| true), @r#"
        {
          "keys": [
            {
              "algorithm": "ES256",
              "kid": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
              "next": {
                "at": "2026-01-01T12:15:00Z",
                "event": "removed"
              },
              "since": "2026-01-01T11:50:00Z",
              "state": "retiring"
            }
          ]
        }
        "#);
    }
}
