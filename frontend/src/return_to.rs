//! Where to go after signing in. Pure; the guard against open redirects.

/// A path of this origin, or `None` where the text could lead anywhere else.
///
/// It must start with exactly one `/`; browsers read `//host` and `/\host` as another host, and
/// drop tabs and line breaks before they look.
///
/// ```
/// use countersign_leptos::return_to;
///
/// assert_eq!(return_to::parse("/index?tab=1"), Some("/index?tab=1"));
/// assert_eq!(return_to::parse("https://evil.example"), None);
/// assert_eq!(return_to::parse("//evil.example"), None);
/// ```
pub fn parse(text: &str) -> Option<&str> {
    let is_local = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains(|c: char| c == '\\' || c.is_control());
    is_local.then_some(text)
}

/// A page's path with the place to return to in its query, where there is one worth returning to.
pub fn link(page: &str, target: Option<&str>) -> String {
    match target.and_then(parse) {
        Some(target) if target != "/" => format!("{page}?return_to={}", encode(target)),
        _ => page.to_owned(),
    }
}

/// Percent-encoding of all but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(HEX[usize::from(byte >> 4)]);
            encoded.push(HEX[usize::from(byte & 15)]);
        }
    }
    encoded
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_this_origin_are_taken() {
        for path in ["/", "/index", "/a/b?c=d#e", "/a//b", "/ä"] {
            assert_eq!(parse(path), Some(path));
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        for text in [
            "",
            "index",
            "https://evil.example",
            "javascript:alert(1)",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /index",
            "/a\\b",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_link_carries_its_target_encoded() {
        assert_eq!(
            link("/sign-in", Some("/index?a=b&c")),
            "/sign-in?return_to=%2Findex%3Fa%3Db%26c"
        );
        assert_eq!(link("/sign-in", Some("/")), "/sign-in");
        assert_eq!(link("/sign-in", Some("//evil.example")), "/sign-in");
        assert_eq!(link("/sign-in", None), "/sign-in");
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_on_this_origin(text in "[/\\\\a.:\t\n?#@%]{0,12}") {
            if let Some(path) = parse(&text) {
                // As WHATWG URL reads it: without tabs and line breaks, `\` being `/`.
                let seen: String = path.chars().filter(|c| !"\t\r\n".contains(*c)).collect();
                let seen = seen.replace('\\', "/");
                prop_assert!(seen.starts_with('/') && !seen.starts_with("//"));
            }
        }

        #[test]
        fn an_encoded_target_has_no_character_with_a_meaning(text in "/.{0,40}") {
            prop_assert!(encode(&text).bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}
