//! What a start says: an overview for people at a terminal, a log line a fact for everybody else.
//!
//! Only of what exists.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    net::SocketAddr,
};

use countersign_types::routes;

use super::say;
use crate::{
    accounts::Registration,
    app::{App, DATABASE_FILE},
    config::{Config, LogFormat},
    telemetry,
};

/// The facts of a start.
struct Facts<'a> {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    public_url: Option<&'a str>,
    data_dir: String,
    database: String,
    algorithm: &'static str,
    key: &'static str,
    registration: Registration,
    pages: bool,
}

/// Says where everything is.
pub(super) fn show(config: &Config, app: &App, address: SocketAddr, metrics: Option<SocketAddr>) {
    let facts = Facts {
        metrics,
        ..Facts::of(config, app, address)
    };
    if io::stderr().is_terminal() && telemetry::format(&config.log) == LogFormat::Pretty {
        say(facts.overview());
    } else {
        facts.log();
    }
}

impl<'a> Facts<'a> {
    fn of(config: &'a Config, app: &App, address: SocketAddr) -> Self {
        let database = match &config.database_url {
            None => config.data_dir.join(DATABASE_FILE).display().to_string(),
            // A URL may have a password in it.
            Some(url) if url.expose().starts_with("sqlite:") => "SQLite by database.url".to_owned(),
            Some(_) => "PostgreSQL by database.url".to_owned(),
        };
        Self {
            address,
            metrics: None,
            public_url: config
                .public_url
                .as_ref()
                .map(crate::config::PublicUrl::as_str),
            data_dir: config.data_dir.display().to_string(),
            database,
            // What signs now: after a change of the algorithm that is for a while another one.
            algorithm: (app.keys.current()).map_or("none", |key| key.algorithm().as_str()),
            key: match (&config.token.secret, &config.token.private_key) {
                (Some(_), _) => "from token.secret",
                (None, Some(_)) => "from token.private_key",
                (None, None) if app.key_created => "created",
                (None, None) => "loaded",
            },
            registration: config.registration,
            pages: app.assets.are_built(),
        }
    }

    fn overview(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let (mode, url) = match self.public_url {
            Some(url) => ("", url.to_owned()),
            None => (
                "  (development: no public_url)",
                format!("http://{}", self.address),
            ),
        };
        let mut lines = vec![
            ("API", format!("{url}{}", routes::DOCS)),
            ("Data folder", self.data_dir.clone()),
        ];
        if self.public_url.is_some() {
            lines.push(("Listens on", self.address.to_string()));
        }
        lines.push(("Database", self.database.clone()));
        lines.push(("Signing key", format!("{} ({})", self.algorithm, self.key)));
        lines.push((
            "Registration",
            match self.registration {
                Registration::Open => {
                    "open: anybody who gets here may create an account".to_owned()
                }
                Registration::Closed => "closed: countersign user create --email E".to_owned(),
            },
        ));
        if let Some(address) = self.metrics {
            lines.push(("Metrics", format!("http://{address}{}", routes::METRICS)));
        }
        if !self.pages {
            lines.push(("Pages", "not built: cargo xtask serve".to_owned()));
        }

        let mut text = format!("\n  countersign {version}{mode}\n\n  ➜  {url}\n\n");
        for (name, fact) in lines {
            // Writing to a `String` cannot fail.
            writeln!(text, "  {name:<14}{fact}").ok();
        }
        text += "\n  Stop with Ctrl-C.\n";
        text
    }

    fn log(&self) {
        if self.public_url.is_none() {
            tracing::info!("development: there is no public_url");
        }
        tracing::info!(
            data_dir = self.data_dir,
            database = self.database,
            algorithm = self.algorithm,
            key = self.key,
            "opened"
        );
        tracing::info!(
            registration = match self.registration {
                Registration::Open => "open",
                Registration::Closed => "closed",
            },
            pages = self.pages,
            public_url = self.public_url,
            "ready"
        );
        if let Some(address) = self.metrics {
            tracing::info!(metrics = %address, "listening for whoever reads metrics");
        }
        // Tests and supervisors wait for this one.
        tracing::info!(address = %self.address, "listening");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            address: "127.0.0.1:3000".parse().unwrap(),
            metrics: None,
            public_url: None,
            data_dir: "./data".to_owned(),
            database: "./data/countersign.db".to_owned(),
            algorithm: "ES256",
            key: "created",
            registration: Registration::Open,
            pages: false,
        }
    }

    #[test]
    fn overview_of_a_first_start() {
        let text = facts().overview();

        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "X.Y.Z"), @r"

        countersign X.Y.Z  (development: no public_url)

        ➜  http://127.0.0.1:3000

        API           http://127.0.0.1:3000/docs
        Data folder   ./data
        Database      ./data/countersign.db
        Signing key   ES256 (created)
        Registration  open: anybody who gets here may create an account
        Pages         not built: cargo xtask serve

        Stop with Ctrl-C.
        ");
    }

    #[test]
    fn overview_in_production() {
        let text = Facts {
            public_url: Some("https://auth.example.com"),
            registration: Registration::Closed,
            key: "loaded",
            pages: true,
            metrics: Some("127.0.0.1:9464".parse().unwrap()),
            ..facts()
        }
        .overview();

        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "X.Y.Z"), @r"

        countersign X.Y.Z

        ➜  https://auth.example.com

        API           https://auth.example.com/docs
        Data folder   ./data
        Listens on    127.0.0.1:3000
        Database      ./data/countersign.db
        Signing key   ES256 (loaded)
        Registration  closed: countersign user create --email E
        Metrics       http://127.0.0.1:9464/metrics

        Stop with Ctrl-C.
        ");
    }
}
