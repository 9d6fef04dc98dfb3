//! What test programs say about their tests, counted.

use std::fmt;
use std::ops::AddAssign;

/// Tests, counted by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ended well.
    pub(crate) passed: u64,
    /// Ended badly, or not at all.
    pub(crate) failed: u64,
    /// Were not run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// A part that could not even begin.
    pub(crate) const BROKEN: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    /// Whether nothing failed.
    pub(crate) fn is_good(self) -> bool {
        self.failed == 0
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Sums the summaries of cargo-nextest, `cargo test` and the browser's suite in an output.
pub(crate) fn parse(output: &str) -> Option<Counts> {
    let mut sum = None;
    for line in output.lines() {
        let line = line.trim();
        let counted = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
            .map(|(_, rest)| count(rest, ';'))
            .or_else(|| nextest(line).map(|rest| count(rest, ',')))
            .or_else(|| is_closing(line).then(|| count(line, ',')));
        if let Some(counted) = counted {
            *sum.get_or_insert_with(Counts::default) += counted;
        }
    }
    sum
}

/// `Summary [   0.005s] 3 tests run: 2 passed (1 slow), 1 failed, 0 skipped`.
fn nextest(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("Summary [")?;
    let (_, rest) = rest.split_once("run: ")?;
    Some(rest)
}

/// `5 passed, 0 failed`, alone on its line.
fn is_closing(line: &str) -> bool {
    let mut parts = line.split(", ");
    let mut is = |word: &str| {
        parts
            .next()
            .and_then(|part| part.split_once(' '))
            .is_some_and(|(number, rest)| {
                rest == word && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    is("passed") && is("failed")
}

/// Counts `2 passed; 1 failed; …`. What was filtered out was not asked for, so it does not count.
fn count(list: &str, separator: char) -> Counts {
    let mut counts = Counts::default();
    for part in list.split(separator) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
            continue;
        };
        match words.next() {
            Some("passed") => counts.passed += number,
            // nextest counts apart what died, hung or did not start.
            Some("failed" | "timed" | "exec") => counts.failed += number,
            Some("skipped" | "ignored") => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn cargo_test_is_summed_over_its_binaries() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; \
                      finished in 0.00s\nrunning 2 tests\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered \
                      out; finished in 0.10s\n";

        assert_eq!(parse(output), Some(counts(4, 2, 1)));
    }

    #[test]
    fn nextest_is_read_with_all_its_words() {
        let summary = |rest: &str| parse(&format!("     Summary [   0.512s] 9 tests run: {rest}"));

        assert_eq!(summary("9 passed, 0 skipped"), Some(counts(9, 0, 0)));
        assert_eq!(
            summary("6 passed (1 slow), 1 failed, 2 timed out, 3 skipped"),
            Some(counts(6, 3, 3))
        );
        assert_eq!(
            summary("1 passed, 1 exec failed, 0 skipped"),
            Some(counts(1, 1, 0))
        );
        assert_eq!(
            parse("     Summary [   0.1s] 3/9 tests run: 2 passed, 1 failed, 0 skipped"),
            Some(counts(2, 1, 0))
        );
    }

    #[test]
    fn a_closing_line_is_read_and_prose_is_not() {
        assert_eq!(
            parse("ok sign in\n12 passed, 1 failed\n"),
            Some(counts(12, 1, 0))
        );
        assert_eq!(
            parse("12 passed, 0 failed, 2 skipped"),
            Some(counts(12, 0, 2))
        );
        assert_eq!(parse("nothing passed, 1 failed"), None);
    }

    #[test]
    fn the_closing_line_names_what_was_skipped_only_where_something_was() {
        assert_eq!(
            Counts {
                passed: 5,
                failed: 1,
                skipped: 0
            }
            .to_string(),
            "5 passed, 1 failed"
        );
        assert_eq!(
            Counts {
                passed: 5,
                failed: 0,
                skipped: 2
            }
            .to_string(),
            "5 passed, 0 failed, 2 skipped"
        );
    }
}
