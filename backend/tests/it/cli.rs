//! The command line, as somebody types it.

use std::{
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use insta::assert_snapshot;

use crate::support::{self, PASSWORD};

/// Runs the binary in a folder, with something on standard input.
fn countersign(folder: &Path, arguments: &[&str], input: &str) -> (i32, String) {
    countersign_with(folder, arguments, input, &[])
}

fn countersign_with(
    folder: &Path,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &str)],
) -> (i32, String) {
    let mut child = support::countersign()
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (status.code().unwrap(), text.concat())
}

/// A folder with an account in its database.
fn with_account() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let create = [
        "user",
        "create",
        "--email",
        "ada@example.com",
        "--password-stdin",
    ];
    let (code, text) = countersign(folder.path(), &create, PASSWORD);
    assert_eq!(code, 0, "{text}");
    folder
}

fn mint(folder: &Path) -> String {
    let arguments = ["token", "mint", "--email", "ada@example.com"];
    let (code, token) = countersign(folder, &arguments, "");
    assert_eq!(code, 0, "{token}");
    token
}

#[test]
fn minted_token_is_accepted_and_says_whose_it_is() {
    let folder = with_account();
    let token = mint(folder.path());

    let (code, text) = countersign(folder.path(), &["token", "verify"], &token);

    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("accepted: ada@example.com, until 20"),
        "{text}"
    );
    let (_, text) = countersign(folder.path(), &["token", "inspect", token.trim()], "");
    assert!(
        text.contains("  email           ada@example.com\n"),
        "{text}"
    );
}

#[test]
fn refused_token_is_explained_with_what_was_expected() {
    let folder = with_account();
    let token = mint(folder.path());
    let settings = [
        ("COUNTERSIGN_TOKEN__ISSUER", "https://auth.example.com"),
        ("COUNTERSIGN_TOKEN__AUDIENCE", "https://api.example.com"),
    ];

    let (code, text) = countersign_with(folder.path(), &["token", "verify"], &token, &settings);

    assert_eq!(code, 1);
    assert_snapshot!(text, @r"
    error: refused: the token is from another issuer
      iss       expected https://auth.example.com
                got http://127.0.0.1:3000
      aud       expected https://api.example.com
                got http://127.0.0.1:3000
    ");
}

#[test]
fn token_of_another_server_is_explained_by_its_key() {
    let (here, there) = (with_account(), with_account());
    let token = mint(there.path());

    let (code, text) = countersign(here.path(), &["token", "verify"], &token);

    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: refused: the token names no key of ours\n  kid "),
        "{text}"
    );
}

#[test]
fn what_is_no_token_is_said_to_be_none() {
    let folder = with_account();
    for command in ["inspect", "verify"] {
        let (code, text) = countersign(folder.path(), &["token", command], "hello");
        assert_eq!(code, 1);
        assert!(text.contains("this is no token"), "{text}");
    }
}

#[test]
fn empty_folder_has_no_token_and_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["token", "verify"] as &[_],
        &["token", "mint", "--email", "ada@example.com"],
    ] {
        let (code, text) = countersign(folder.path(), arguments, "a.b.c");
        assert_eq!(code, 1);
        assert!(
            text.contains("there is no database at ./data/countersign.db"),
            "{text}"
        );
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn nobody_is_minted_a_token_for() {
    let folder = with_account();
    let arguments = ["token", "mint", "--email", "eve@example.com"];

    let (code, text) = countersign(folder.path(), &arguments, "");

    assert_eq!(code, 1);
    assert_snapshot!(text, @"error: there is no account with this address");
}
