//! What a form shows and the server enforces: addresses and password lengths.

use std::{fmt, str::FromStr};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

use crate::text::{lower_case, nfc};

/// The longest address in bytes: 254 is what fits an SMTP path (RFC 5321 §4.5.3.1.3).
pub const EMAIL_MAX_BYTES: usize = 254;

/// An e-mail address: trimmed, in NFC, at most [`EMAIL_MAX_BYTES`] long, with a domain of at least
/// two labels. Two addresses are the same account when their [`Email::key`]s are.
///
/// ```
/// use countersign_types::Email;
///
/// let email: Email = " Ada@Example.com ".parse()?;
/// assert_eq!(email.as_str(), "Ada@Example.com");
/// assert_eq!(email.key(), "ada@example.com");
/// # Ok::<(), countersign_types::EmailError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Reads an address as somebody typed it.
    ///
    /// # Errors
    ///
    /// [`EmailError`] where it is empty, too long, or no address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        // Before normalising, which is work in proportion to the length.
        if text.len() > EMAIL_MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let text = nfc(text);
        if text.len() > EMAIL_MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        // Neither `"quoted locals"@` nor `@[192.0.2.1]` belongs to a person who signs in, and both
        // bring spaces and control characters into headers.
        let options = Options::default()
            .with_required_tld()
            .without_domain_literal()
            .without_display_text();
        let parsed =
            EmailAddress::parse_with_options(&text, options).map_err(|_| EmailError::Malformed)?;
        if parsed.local_part().starts_with('"')
            || text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
        {
            return Err(EmailError::Malformed);
        }
        Ok(Self(text))
    }

    /// The address as it was typed, but trimmed and in NFC. Mail goes here.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What addresses are compared by: folded to one case, so that `Ada@` and `ada@` are one.
    ///
    /// Upper case first and lower case after it is full case folding for every letter that has
    /// two cases (`ß` and `SS` meet, as do the three forms of sigma); character by character,
    /// because lower-casing whole words gives sigma another form at their end.
    pub fn key(&self) -> String {
        let folded: String = self
            .0
            .chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect();
        nfc(&folded)
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0
            .rsplit_once('@')
            .map_or(self.as_str(), |(local, _)| local)
    }
}

/// Characters without width or with an effect on direction: two addresses could look the same.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no [`Email`]. The messages are for people and stand beside the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Nothing was typed.
    #[error("Enter your e-mail address.")]
    Empty,
    /// Longer than [`EMAIL_MAX_BYTES`].
    #[error("This address is too long; at most 254 bytes fit.")]
    TooLong,
    /// Not an address.
    #[error("This is not an e-mail address. It should look like name@example.com.")]
    Malformed,
}

impl EmailError {
    /// The word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "email_missing",
            Self::TooLong => "email_too_long",
            Self::Malformed => "email_malformed",
        }
    }
}

/// How long a password must and may be, in characters (code points after NFC).
///
/// No rules on composition: NIST SP 800-63B-4 §3.1.1.2 forbids them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordRules {
    /// At least this many characters.
    #[cfg_attr(feature = "openapi", schema(example = 15))]
    pub min_length: usize,
    /// At most this many characters.
    #[cfg_attr(feature = "openapi", schema(example = 256))]
    pub max_length: usize,
}

impl PasswordRules {
    /// The most characters a password may have.
    pub const MAX_LENGTH: usize = 256;
    /// The fewest characters that may be configured as the least (NIST SP 800-63B-4).
    pub const LOWEST_MIN_LENGTH: usize = 8;

    /// Checks what needs no list and no server: the length, and that it is not the address, where
    /// one is known already.
    ///
    /// ```
    /// use countersign_types::{Email, PasswordError, PasswordRules};
    ///
    /// let email: Email = "ada@example.com".parse().unwrap();
    /// let refused = PasswordRules::default().check("violet", Some(&email)).unwrap_err();
    /// assert_eq!(refused.to_string(), "This has 6 characters; 15 are needed.");
    /// ```
    ///
    /// # Errors
    ///
    /// [`PasswordError`] says which rule does not hold.
    pub fn check(&self, password: &str, email: Option<&Email>) -> Result<(), PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        let password = nfc(password);
        let length = password.chars().count();
        if length < self.min_length {
            return Err(PasswordError::TooShort {
                has: length,
                needs: self.min_length,
            });
        }
        if length > self.max_length {
            return Err(PasswordError::TooLong {
                has: length,
                allowed: self.max_length,
            });
        }
        let folded = lower_case(password.trim());
        let is_email = |email: &Email| {
            folded == lower_case(email.as_str()) || folded == lower_case(email.local_part())
        };
        if email.is_some_and(is_email) {
            return Err(PasswordError::IsEmail);
        }
        Ok(())
    }

    /// The sentence that stands under the field before anyone types.
    pub fn hint(&self) -> String {
        format!(
            "{} characters or more. A few words work well.",
            self.min_length
        )
    }
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            min_length: 15,
            max_length: Self::MAX_LENGTH,
        }
    }
}

/// Why a password is refused. The messages are for people and stand beside the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing was typed.
    #[error("Enter a password.")]
    Empty,
    /// Fewer characters than are needed.
    #[error("This has {has} {}; {needs} are needed.", characters(*has))]
    TooShort {
        /// Characters it has.
        has: usize,
        /// Characters it needs.
        needs: usize,
    },
    /// More characters than are allowed.
    #[error("This has {has} characters; at most {allowed} are allowed.")]
    TooLong {
        /// Characters it has.
        has: usize,
        /// Characters it may have.
        allowed: usize,
    },
    /// It is the address, or the part before the `@`.
    #[error("This is your e-mail address; anyone would try it first. Choose something else.")]
    IsEmail,
    /// It is on the list of common passwords, which only the server has.
    #[error(
        "This password is among the most common ones; anyone would try it. Choose something else."
    )]
    Common,
}

fn characters(count: usize) -> &'static str {
    if count == 1 {
        "character"
    } else {
        "characters"
    }
}

impl PasswordError {
    /// The word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "password_missing",
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong { .. } => "password_too_long",
            Self::IsEmail => "password_is_email",
            Self::Common => "password_common",
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn email(text: &str) -> Email {
        text.parse().unwrap()
    }

    #[test]
    fn address_is_trimmed_and_keeps_its_case() {
        assert_eq!(
            email("  Ada.Lovelace+notes@Example.com\n").as_str(),
            "Ada.Lovelace+notes@Example.com"
        );
    }

    #[test]
    fn addresses_that_differ_in_case_or_composition_have_one_key() {
        assert_eq!(
            email("ADA@EXAMPLE.COM").key(),
            email("ada@example.com").key()
        );
        assert_eq!(
            email("Zo\u{eb}@example.com").key(),
            email("ZOE\u{308}@example.com").key()
        );
        assert_eq!(
            email("straße@example.com").key(),
            email("STRASSE@example.com").key()
        );
        assert_eq!(
            email("οδοσ@example.com").key(),
            email("ΟΔΟΣ@example.com").key()
        );
        assert_eq!(
            email("οδος@example.com").key(),
            email("ΟΔΟΣ@example.com").key()
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(260));
        for (text, why) in [
            ("", EmailError::Empty),
            (" \t ", EmailError::Empty),
            ("ada", EmailError::Malformed),
            ("ada@", EmailError::Malformed),
            ("@example.com", EmailError::Malformed),
            ("ada@localhost", EmailError::Malformed),
            ("ada@@example.com", EmailError::Malformed),
            ("ada@example..com", EmailError::Malformed),
            ("ada@[192.0.2.1]", EmailError::Malformed),
            ("\"a b\"@example.com", EmailError::Malformed),
            ("Ada <ada@example.com>", EmailError::Malformed),
            (
                "ada@example.com\r\nBcc: eve@example.com",
                EmailError::Malformed,
            ),
            ("a\u{0}da@example.com", EmailError::Malformed),
            ("a\u{200b}da@example.com", EmailError::Malformed),
            ("a da@example.com", EmailError::Malformed),
            (long.as_str(), EmailError::TooLong),
        ] {
            assert_eq!(Email::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn password_is_counted_in_composed_characters() {
        let rules = PasswordRules {
            min_length: 15,
            max_length: 20,
        };
        let ada = email("ada@example.com");

        assert_eq!(rules.check(&"e\u{301}".repeat(15), Some(&ada)), Ok(()));
        assert_eq!(
            rules.check(&"e\u{301}".repeat(14), Some(&ada)),
            Err(PasswordError::TooShort { has: 14, needs: 15 })
        );
        assert_eq!(rules.check(&"🦀".repeat(20), Some(&ada)), Ok(()));
        assert_eq!(
            rules.check(&"🦀".repeat(21), Some(&ada)),
            Err(PasswordError::TooLong {
                has: 21,
                allowed: 20
            })
        );
    }

    #[test]
    fn password_that_is_the_address_is_refused() {
        let rules = PasswordRules {
            min_length: 8,
            max_length: 256,
        };
        let ada = email("ada.lovelace@example.com");

        assert_eq!(
            rules.check("ADA.Lovelace@example.com", Some(&ada)),
            Err(PasswordError::IsEmail)
        );
        assert_eq!(
            rules.check("ada.lovelace", Some(&ada)),
            Err(PasswordError::IsEmail)
        );
        assert_eq!(rules.check("ada.lovelace1", Some(&ada)), Ok(()));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn parsing_any_text_never_panics_and_parsed_addresses_are_clean(text in ".{0,300}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().len() <= EMAIL_MAX_BYTES);
                prop_assert!(!email.as_str().contains(char::is_control));
                prop_assert!(email.as_str().contains('@'));
            }
        }

        #[test]
        fn a_parsed_address_parses_to_itself(text in "[a-zA-Z0-9äßÉσς.+_-]{1,20}@[a-z]{1,10}\\.[a-z]{2,5}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }

        #[test]
        fn key_is_stable_and_case_blind(local in "[a-zäöüéß]{1,20}") {
            let lower = email(&format!("{local}@example.com"));
            let upper = email(&format!("{}@EXAMPLE.COM", local.to_uppercase()));
            prop_assert_eq!(lower.key(), upper.key());
            prop_assert_eq!(email(&lower.key()).key(), lower.key());
        }
    }
}
