//! Text that must not leak: redacted in `Debug`, without `Display`, overwritten when dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text itself. Named so that every place that reads it stands out in review.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    };
}

secret! {
    /// A password as somebody typed it, unchecked and not normalised.
    Password
}

secret! {
    /// A bearer token.
    Token
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn debug_form_of_a_secret_hides_it() {
        assert_eq!(format!("{:?}", Password::from("hunter2")), "Password(***)");
        assert_eq!(format!("{:?}", Token::from("eyJ")), "Token(***)");
    }

    #[test]
    fn secret_travels_as_plain_json_text() {
        let json = serde_json::to_string(&Password::from("pass \"word\"")).unwrap();

        assert_eq!(json, r#""pass \"word\"""#);
        assert_eq!(
            serde_json::from_str::<Password>(&json).unwrap().expose(),
            "pass \"word\""
        );
    }
}
