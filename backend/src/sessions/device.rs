//! Which device a session is on: what it calls itself, and that in plain words.

/// How much of a `User-Agent` is kept, in bytes. Browsers send some 120.
const KEPT: usize = 256;

/// What a client calls itself, shortened, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// Reads the header; `None` where nothing is left of it.
    pub fn parse(text: &str) -> Option<Self> {
        let clean = text.trim().replace(char::is_control, "");
        let end = clean.floor_char_boundary(KEPT);
        (end > 0).then(|| Self(clean[..end].to_owned()))
    }

    pub(super) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text as it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In plain words, such as `Firefox on Windows`; `None` where it says nothing we know.
    ///
    /// It is what the client says of itself, so nothing may depend on it.
    pub fn device(&self) -> Option<String> {
        let has = |word: &&(&str, &str)| self.0.contains(word.0);
        let system = SYSTEMS.iter().find(has).map(|(_, name)| *name);
        let program = PROGRAMS.iter().find(has).map(|(_, name)| *name);
        match (program, system) {
            (Some(program), Some(system)) => Some(format!("{program} on {system}")),
            (Some(name), None) | (None, Some(name)) => Some(name.to_owned()),
            (None, None) => None,
        }
    }
}

/// The first that is found counts: most programs also name those that they want to be taken for.
const PROGRAMS: [(&str, &str); 16] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python", "Python"),
    ("okhttp/", "An Android app"),
    ("node", "Node.js"),
];

const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("FreeBSD", "FreeBSD"),
    ("Linux", "Linux"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(text: &str) -> Option<String> {
        UserAgent::parse(text)?.device()
    }

    #[test]
    fn browsers_and_systems_have_plain_names() {
        for (text, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
                "Safari on Mac",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.14.1", "curl"),
        ] {
            assert_eq!(device(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(device("something else"), None);
    }

    #[test]
    fn long_or_empty_text_is_cut_or_nothing() {
        assert_eq!(UserAgent::parse(" \t\u{1b}"), None);
        assert_eq!(UserAgent::parse("").map(|agent| agent.0), None);
        assert_eq!(UserAgent::parse("a\u{1b}[31mb").unwrap().as_str(), "a[31mb");
        let long = UserAgent::parse(&"ä".repeat(300)).unwrap();
        assert_eq!(long.as_str(), "ä".repeat(128));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,400}") {
            if let Some(agent) = UserAgent::parse(&text) {
                prop_assert!(agent.as_str().len() <= KEPT);
                drop(agent.device());
            }
        }
    }
}
