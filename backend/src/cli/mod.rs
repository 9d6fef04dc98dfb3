//! The command line. One file a command.
//!
//! Standard output has what a command gives, standard error what it says.

mod banner;
mod keys;
mod port;
mod serve;
mod token;
mod user;

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    app::DATABASE_FILE,
    config::{self, Config, ConfigErrors, Flags, Sources, Warning},
    store,
};

/// Something failed.
const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; clap ends with the same.
const USAGE: u8 = 2;

/// User authentication with JSON Web Tokens
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve sign-in: the API, and the pages
    ///
    /// On an empty folder this needs no configuration: it listens on 127.0.0.1:3000 and makes a
    /// database and keys in ./data.
    #[command(after_long_help = key_list())]
    Serve(serve::Serve),
    /// Manage accounts
    #[command(subcommand, arg_required_else_help = true)]
    User(user::User),
    /// List, rotate and revoke the keys that sign, and replace the master key
    #[command(subcommand, arg_required_else_help = true)]
    Keys(keys::Keys),
    /// Make, read and check access tokens
    #[command(subcommand, arg_required_else_help = true)]
    Token(token::Token),
}

fn key_list() -> String {
    format!(
        "Keys of countersign.toml, with their defaults:\n{}\n\
         Every key is also a variable: token.access_ttl is COUNTERSIGN_TOKEN__ACCESS_TTL. For\n\
         master_key, token.secret, token.private_key and database.url, COUNTERSIGN_…_FILE names a file\n\
         with the value.\n\
         A flag wins over a variable, a variable over the file.",
        config::keys_help()
    )
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Runs the command that the arguments name, and says what went wrong.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::User(user) => user.run(),
        Command::Keys(keys) => keys.run(),
        Command::Token(token) => token.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(errors)) => {
            errors.iter().for_each(say_error);
            ExitCode::from(USAGE)
        }
        Err(Failure::Other(error)) => {
            say_error(described(&error));
            ExitCode::from(FAILURE)
        }
    }
}

/// The configuration that the process was started with.
fn load(flags: Flags) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    Config::load(&Sources::of_process(flags))
}

/// Whether there is a database to open. Where there is none, none is made: a command that looks at or
/// changes what is there has nothing to do with a new one.
fn must_have_database(config: &Config) -> anyhow::Result<()> {
    let (file, way) = match &config.database_url {
        None => (
            Some(config.data_dir.join(DATABASE_FILE)),
            "run this where the server runs, or name its folder with --data-dir",
        ),
        Some(url) => (
            store::sqlite_file(url.expose()),
            "`database.url` has to name the one of the servers, and this makes none",
        ),
    };
    match file {
        Some(file) if !file.exists() => {
            anyhow::bail!("there is no database at {}: {way}", file.display())
        }
        _ => Ok(()),
    }
}

/// An error and its causes, a line each.
fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some libraries repeat the cause in the message before it.
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += "\n  because: ";
        }
        text += &cause;
    }
    text
}

fn say_error(error: impl Display) {
    say(format_args!("error: {error}\n"));
}

/// To people, on standard error. Where nobody can read it there is nobody to tell.
fn say(text: impl Display) {
    writeln!(io::stderr(), "{text}").ok();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_stand_below_the_error_and_none_twice() {
        let error = anyhow::Error::new(io::Error::other("disk full"))
            .context("disk full")
            .context("cannot open the database");

        assert_eq!(
            described(&error),
            "cannot open the database\n  because: disk full"
        );
    }

    #[test]
    fn address_and_port_exclude_each_other() {
        let refused = Cli::try_parse_from([
            "countersign",
            "serve",
            "--listen",
            "127.0.0.1:1",
            "--port",
            "2",
        ])
        .unwrap_err();

        assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict);
    }
}
