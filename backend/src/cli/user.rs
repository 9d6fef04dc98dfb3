//! `countersign user …`

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    sync::Arc,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use countersign_types::{Email, Password, PasswordRules};
use zeroize::Zeroizing;

use super::{Failure, load, say};
use crate::{
    accounts::{self, NewAccount, NewAccountErrors, RegisterError},
    app::App,
    clock::SystemClock,
    config::{Config, Flags},
};

/// More is no password, whatever its characters.
const MAX_PASSWORD_BYTES: u64 = 4 * 1024;

/// What `user` takes.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Create an account, also where registration is closed
    ///
    /// Asks for the password twice, or reads it from standard input:
    ///
    ///   countersign user create --email ada@example.com
    ///   pwgen 20 1 | countersign user create --email ada@example.com --password-stdin
    #[command(verbatim_doc_comment)]
    Create(Create),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The address that signs in
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    flags: Flags,
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let (config, warnings) = load(self.flags)?;
        for warning in warnings {
            say(format_args!("warning: {warning}\n"));
        }
        let rules = PasswordRules {
            min_length: config.password.min_length,
            ..PasswordRules::default()
        };
        // Before anybody types a password for nothing.
        Email::parse(&self.email).map_err(|error| anyhow!("--email {}: {error}", self.email))?;
        let password = if self.password_stdin {
            read_password(io::stdin().lock())?
        } else {
            ask_password(&rules)?
        };
        let new = NewAccount::parse(&rules, &self.email, password).map_err(explain)?;
        let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
        runtime.block_on(create(&config, new, &self.email))?;
        Ok(())
    }
}

async fn create(config: &Config, new: NewAccount, email: &str) -> anyhow::Result<()> {
    let port = config.server.listen.port();
    let app = App::open(config, Arc::new(SystemClock::new()), port).await?;
    let created = accounts::create_by_operator(&app, new).await;
    app.db.close().await;
    let account = created.map_err(|error| match error {
        RegisterError::EmailTaken => anyhow!("{email} has an account already"),
        error => anyhow::Error::new(error).context("the account was not created"),
    })?;
    writeln!(
        io::stdout(),
        "Created the account {} ({}).",
        account.email,
        account.id
    )
    .context("the account was created, but standard output cannot be written")
}

/// What the API would say beside the field.
fn explain(errors: NewAccountErrors) -> anyhow::Error {
    match errors {
        NewAccountErrors {
            email: Some(error), ..
        } => anyhow!("--email: {error}"),
        NewAccountErrors {
            password: Some(error),
            ..
        } => anyhow!("the password is refused: {error}"),
        errors => anyhow::Error::new(errors),
    }
}

/// Everything up to the end, without the one line end that `echo` adds.
fn read_password(input: impl io::Read) -> anyhow::Result<Password> {
    let mut text = Zeroizing::new(String::new());
    input
        .take(MAX_PASSWORD_BYTES + 1)
        .read_to_string(&mut text)
        .context("the password cannot be read from standard input")?;
    if text.len() as u64 > MAX_PASSWORD_BYTES {
        bail!("standard input has more than {MAX_PASSWORD_BYTES} bytes: that is no password");
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

fn ask_password(rules: &PasswordRules) -> anyhow::Result<Password> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password: use --password-stdin");
    }
    say(rules.hint());
    let ask = |prompt| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .context("the password cannot be read from the terminal")
    };
    let password = ask("Password: ")?;
    let again = ask("Again: ")?;
    if password != again {
        bail!("the two passwords differ: nothing was created");
    }
    Ok(password.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_from_a_pipe_loses_one_line_end_and_nothing_else() {
        for (piped, password) in [
            ("violet tram 1923", "violet tram 1923"),
            ("violet tram 1923\n", "violet tram 1923"),
            ("violet tram 1923\r\n", "violet tram 1923"),
            (" violet tram 1923 \n\n", " violet tram 1923 \n"),
            ("", ""),
        ] {
            let read = read_password(piped.as_bytes()).unwrap();
            assert_eq!(read.expose(), password, "{piped:?}");
        }
    }

    #[test]
    fn endless_input_is_no_password() {
        let refused = read_password(io::repeat(b'a')).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "standard input has more than 4096 bytes: that is no password"
        );
    }

    #[test]
    fn refused_password_says_what_a_form_would_say() {
        let rules = PasswordRules::default();
        let errors = NewAccount::parse(&rules, "ada@example.com", "violet".into()).unwrap_err();

        assert_eq!(
            explain(errors).to_string(),
            "the password is refused: This has 6 characters; 15 are needed."
        );
    }
}
