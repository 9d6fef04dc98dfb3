//! Sets up, runs, tests, checks and builds Countersign: the one entry beyond plain cargo.

mod check;
mod counts;
mod dev;
mod directions;
mod dist;
mod job;
mod pages;
mod peers;
mod postgres;
mod readme;
mod serve;
mod setup;
mod test;
mod tools;
mod ui;
mod wasm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::job::Interrupted;
use crate::setup::Workspace;
use crate::ui::Steps;

/// Sets up, runs, tests, checks and builds Countersign.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds pages and server and starts the server on port 3000
    Serve {
        /// Arguments of `countersign serve`, such as `--port 3001`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Starts the server on port 3000 and `trunk serve` on port 8080, with live reload
    Dev,
    /// Runs the tests, all of them or one part, and ends with their count
    Test {
        /// The part
        part: Option<Part>,
    },
    /// Checks form, lints for both targets, documentation and who may call whom
    Check,
    /// Builds one stripped binary with the pages inside: target/dist/countersign
    Dist,
    /// Finds or installs what building the pages needs: the WebAssembly target, Trunk, wasm-bindgen
    Setup,
    /// Builds the pages into frontend/dist
    Pages {
        /// Builds beside another process of xtask, for the server at this address
        #[arg(long, hide = true)]
        beside: Option<String>,
    },
}

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Rules, parsers and documentation, without a server
    Unit,
    /// The HTTP surface, on `SQLite` and on `PostgreSQL`
    Http,
    /// The pages in a real Chromium
    Browser,
    /// Tokens that other people's libraries issue and accept: `PyJWT`, jose, flask-jwt-extended
    Peers,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            ui::talk("Interrupted.");
            ExitCode::from(130)
        }
        Err(error) => {
            ui::talk(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::detect()?;
    match task {
        Task::Serve { arguments } => serve::run(&workspace, &arguments)?,
        Task::Dev => dev::run(&workspace)?,
        Task::Test { part } => return test::run(&workspace, part),
        Task::Check => return check::run(&workspace),
        Task::Dist => dist::run(&workspace)?,
        Task::Setup => {
            pages::Kit::ensure(&workspace, &mut Steps::new(3))?;
        }
        Task::Pages {
            beside: Some(address),
        } => serve::beside(&workspace, &address)?,
        Task::Pages { beside: None } => {
            let mut steps = Steps::new(pages::steps(&workspace)?);
            pages::build_if_stale(&workspace, &mut steps)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
