//! What needs Unicode's tables: a server brings them, a browser has them. Everyone who signs in
//! would have to download ours, which were an eighth of the pages.
//!
//! An old browser may not know the newest letters, so the server's word counts.

/// Text in the composed form that Unicode calls NFC, so that what looks the same is the same.
pub fn nfc(text: &str) -> String {
    tables::nfc(text)
}

/// Text in lower case, as no particular language writes it.
pub(crate) fn lower_case(text: &str) -> String {
    tables::lower_case(text)
}

#[cfg(not(target_arch = "wasm32"))]
mod tables {
    use icu_normalizer::ComposingNormalizerBorrowed;

    pub(super) fn nfc(text: &str) -> String {
        ComposingNormalizerBorrowed::new_nfc()
            .normalize(text)
            .into_owned()
    }

    pub(super) fn lower_case(text: &str) -> String {
        text.to_lowercase()
    }
}

#[cfg(target_arch = "wasm32")]
mod tables {
    use js_sys::JsString;

    pub(super) fn nfc(text: &str) -> String {
        JsString::from(text).normalize("NFC").into()
    }

    pub(super) fn lower_case(text: &str) -> String {
        JsString::from(text).to_lower_case().into()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn composed_text_is_the_same_on_both_sides() {
        for (text, composed) in [
            ("ada", "ada"),
            ("Zoe\u{308}", "Zo\u{eb}"),
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{212b}", "\u{c5}"),
            ("\u{2126}\u{fb01}🦀\0", "\u{3a9}\u{fb01}🦀\0"),
        ] {
            assert_eq!(nfc(text), composed, "{text:?}");
        }
    }

    #[test]
    fn lower_case_is_the_same_on_both_sides() {
        for (text, lower) in [
            ("ADA@Example.com", "ada@example.com"),
            ("ΟΔΟΣ ΣΑΣ", "οδος σας"),
            ("İI", "i\u{307}i"),
            ("STRASSE ẞ", "strasse ß"),
            ("\u{10400}🦀\0", "\u{10428}🦀\0"),
        ] {
            assert_eq!(lower_case(text), lower, "{text:?}");
        }
    }
}
