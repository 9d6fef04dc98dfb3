//! Passwords that anyone would try first.
//!
//! The list is Django's (`django/contrib/auth/common-passwords.txt.gz`, 20 000 lower-case entries
//! by Royce Williams, BSD-3-Clause), cut to the 8 346 in ASCII that have the eight characters which
//! are the least that can be configured: 80 KiB. Few reach the fifteen that are needed by default;
//! what people write to get there is a short one over and over, or a walk along the keyboard, and
//! that is looked for too. The whole password is compared, never parts (NIST SP 800-63B-4
//! §3.1.1.2).

/// Sorted by bytes, a line each.
static LIST: &str = include_str!("common.txt");

/// What fingers run along, in both directions and over the end.
const WALKS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "1234567890qwertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
];

/// Whether anyone would try this password first.
pub(super) fn is_common(password: &str) -> bool {
    let folded = password.trim().to_lowercase();
    is_listed(&folded) || is_walk(&folded) || is_repetition(&folded)
}

/// One piece over and over, where the piece is common itself or has at most four characters;
/// the last one may be cut short.
fn is_repetition(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=chars.len() / 2).any(|length| {
        let (piece, rest) = chars.split_at(length);
        let repeats = rest.iter().zip(piece.iter().cycle()).all(|(a, b)| a == b);
        repeats
            && (length <= 4 || {
                let piece: String = piece.iter().collect();
                is_listed(&piece) || is_walk(&piece)
            })
    })
}

fn is_walk(text: &str) -> bool {
    let mut chars = text.chars();
    if chars.clone().count() < 4 {
        return false;
    }
    WALKS.iter().any(|walk| {
        let forward = walk.repeat(2 + text.len() / walk.len());
        let backward: String = forward.chars().rev().collect();
        forward.contains(text) || backward.contains(text)
    }) || chars.next().is_some_and(|first| chars.all(|c| c == first))
}

fn is_listed(text: &str) -> bool {
    // A binary search over the text itself: no table to build at start, none to keep in memory.
    let (list, wanted) = (LIST.as_bytes(), text.as_bytes());
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low.midpoint(high);
        let start = list[low..middle]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(low, |at| low + at + 1);
        let end = list[middle..high]
            .iter()
            .position(|b| *b == b'\n')
            .map_or(high, |at| middle + at);
        match list[start..end].cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_list_is_found() {
        assert!(LIST.lines().all(is_listed));
        assert_eq!(LIST.lines().count(), 8_346);
    }

    #[test]
    fn what_anyone_would_try_is_common() {
        for password in [
            "password",
            "PassWord",
            " password ",
            "1q2w3e4r5t6y7u8i9o0p",
            "aaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "passwordpassword",
            "PasswordPasswordPass",
            "123456789012345678",
            "987654321098765",
            "abcdefghijklmnop",
            "qwertyuiopasdfghjkl",
            "qwertyqwertyqwerty",
            "poiuytrewq0987654321",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn what_takes_thought_is_not_common() {
        for password in [
            "violet tractor sings 47 lullabies",
            "correct horse battery staple",
            "passwort für den großen kahn",
            "lullaby tractor lullaby tractor",
            "zażółć gęślą jaźń",
            "密码密钥安全登录系统测试用户名称",
            "",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }
}
