//! Secrets that are none.

/// Examples from manuals, tutorials and templates that people copy; letters and digits only, in
/// lower case. Each was, somewhere, somebody's key in production.
const KNOWN: [&str; 51] = [
    "abcdefghijklmnopqrstuvwxyz",
    // The pages of jwt.io.
    "astringsecretatleast256bitslong",
    "astringsecretatleast384bitslong",
    "astringsecretatleast512bitslong",
    "averylongsecret",
    "avalidstringsecretthatisatleast512bitslongwhichisverylong",
    "changeit",
    "changeme",
    "changethis",
    "changethissecret",
    "default",
    "dev",
    "devsecret",
    "example",
    "insecure",
    "jwtkey",
    // flask-jwt-extended.
    "jwtsecret",
    "jwtsecretkey",
    "jwtsecretstring",
    // Express.
    "keyboardcat",
    "mysecret",
    "mysecretkey",
    "mysupersecret",
    "mysupersecretkey",
    "notasecret",
    "password",
    "pleasechangeme",
    "pleasechangethis",
    "replaceme",
    "secret",
    "secretkey",
    "secretstring",
    // jsonwebtoken for Node.
    "shhhhh",
    "supersecret",
    "supersecretjwt",
    // Supabase.
    "supersecretjwttokenwithatleast32characterslong",
    "supersecretkey",
    "supersecretstring",
    "test",
    "testsecret",
    "thisisasecret",
    "thisismysecret",
    "topsecret",
    "yoursecret",
    "yoursecretkey",
    "yoursecretkeyhere",
    "yourjwtsecret",
    "your256bitsecret",
    "your512bitsecret",
    // FastAPI.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    // Spring.
    "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
];

/// Whether a secret is a known example, perhaps repeated until it was long enough.
///
/// No guess at entropy: that refuses good secrets and lets bad ones pass.
pub(crate) fn is_known_secret(secret: &str) -> bool {
    let plain: String = secret
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let repeats = |unit: &str| {
        !plain.is_empty()
            && plain
                .as_bytes()
                .chunks(unit.len())
                .all(|chunk| unit.as_bytes().starts_with(chunk))
    };
    // One character, again and again, with nothing else between: nobody's key either.
    let first = secret.chars().next();
    secret.chars().all(|c| Some(c) == first) || KNOWN.into_iter().any(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_known_however_they_are_written() {
        for secret in [
            "super-secret-key",
            "Super_Secret_Key!",
            "your-256-bit-secret",
            "secret",
            "changeme",
            "jwt-secret-string",
            "secretsecretsecretsecretsecretsecret",
            "secret-secret-secret-secret-secret-sec",
            "changeme changeme changeme changeme changeme",
            "super-secret-jwt-token-with-at-least-32-characters-long",
            "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "--------------------------------",
        ] {
            assert!(is_known_secret(secret), "{secret}");
        }
    }

    #[test]
    fn other_secrets_are_not() {
        for secret in [
            "3q2+7wAb/8c1Zk0S9p5Y4vXhJtR6uQeLmNoPdWfGiKs=",
            "0123456789abcdef0123456789abcdef",
            "secret of the house of Habsburg, 1273",
            "зашифрованный ключ нашего сервера",
        ] {
            assert!(!is_known_secret(secret), "{secret}");
        }
    }
}
