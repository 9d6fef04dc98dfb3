//! Text as HTML.

/// Appends to a text. Writing to a `String` cannot fail.
macro_rules! push {
    ($text:expr, $($format:tt)*) => {{
        use std::fmt::Write as _;
        write!($text, $($format)*).ok();
    }};
}
pub(super) use push;

/// Text for the content of an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            character => escaped.push(character),
        }
    }
    escaped
}

/// Escaped text whose `` `code` `` is code. The doc comments that descriptions come from link some
/// of it to items of the library, which mean nothing here: `` [`Item`] `` is code like any other.
pub(super) fn inline(text: &str) -> String {
    let text = text.replace("[`", "`").replace("`]", "`");
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let part = escape(part);
        if number % 2 == 1 {
            push!(html, "<code>{part}</code>");
        } else {
            html += &part;
        }
    }
    html
}

/// Paragraphs, with an empty line between them.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n").map(str::trim) {
        if !paragraph.is_empty() {
            push!(html, "<p>{}</p>\n", inline(paragraph));
        }
    }
    html
}

/// A name for a place on the page, from words that it is about: `post-auth-logout-all`.
pub(super) fn anchor(words: &[&str]) -> String {
    words
        .iter()
        .flat_map(|word| word.split(|character: char| !is_plain(character)))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

const fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_is_marked_and_links_of_the_library_are_only_code() {
        assert_eq!(
            inline("See [`Rules`], or `<code>` & more."),
            "See <code>Rules</code>, or <code>&lt;code&gt;</code> &amp; more."
        );
    }

    #[test]
    fn paragraphs_are_parted_by_an_empty_line() {
        assert_eq!(
            prose("one\ntwo\n\n\n\nthree"),
            "<p>one\ntwo</p>\n<p>three</p>\n"
        );
        assert_eq!(prose(""), "");
    }

    #[test]
    fn anchor_names_method_and_path() {
        for (method, path, expected) in [
            ("post", "/auth", "post-auth"),
            ("delete", "/auth/sessions/{id}", "delete-auth-sessions-id"),
            ("get", "/.well-known/jwks.json", "get-.well-known-jwks.json"),
        ] {
            assert_eq!(anchor(&[method, path]), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in r#"[<>&"'a-z`\[\] \n]{0,60}"#) {
            let html = prose(&text)
                .replace("<p>", "").replace("</p>", "")
                .replace("<code>", "").replace("</code>", "");

            prop_assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
        }

        #[test]
        fn anchor_needs_no_quoting(word in any::<String>()) {
            prop_assert!(anchor(&[&word]).chars().all(is_plain));
        }
    }
}
