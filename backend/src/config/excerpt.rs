//! A line of the file with a mark under what is meant, as compilers show it.

use std::{fmt, ops::Range, path::Path};

/// A place in a file, with its line.
#[derive(Debug)]
pub struct Excerpt {
    file: String,
    line: usize,
    column: usize,
    /// Nothing of the line where it might show a secret.
    shown: Option<Shown>,
    /// Stands behind the mark.
    note: String,
}

#[derive(Debug)]
struct Shown {
    before: String,
    marked: String,
    after: &'static str,
}

/// What a span of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// A key. Its value is not shown: whose key is misspelt may be a secret.
    Key,
    /// A value that may be shown.
    Value,
    /// A value that must not be shown, or text of unknown kind.
    Hidden,
}

impl Excerpt {
    pub(super) fn new(
        path: &Path,
        text: &str,
        range: &Range<usize>,
        span: Span,
        note: String,
    ) -> Self {
        let start = text.floor_char_boundary(range.start);
        let end = text.floor_char_boundary(range.end).max(start);
        let (above, rest) = text.split_at(start);
        let line_start = above.rfind('\n').map_or(0, |newline| newline + 1);
        let before = above.get(line_start..).unwrap_or_default();
        let marked = text.get(start..end).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default();
        let after = rest.get(marked.len()..).unwrap_or_default();
        Self {
            file: path.display().to_string(),
            line: above.matches('\n').count() + 1,
            column: before.chars().count() + 1,
            shown: shown(before, marked, after, span),
            note,
        }
    }
}

/// What of a line can be shown. A secret is text, so it is in quotes, and what stands before in the
/// same line may be one, too (`token = { secret = "…", leway = "5s" }`).
fn shown(before: &str, marked: &str, after: &str, span: Span) -> Option<Shown> {
    let before = if before.contains(['"', '\'']) {
        "… ".to_owned()
    } else {
        before.replace('\t', " ")
    };
    let (marked, after) = match span {
        Span::Key if after.starts_with(']') => (marked, "]"),
        Span::Key => (marked, " = …"),
        Span::Value => (marked, ""),
        Span::Hidden => return None,
    };
    Some(Shown {
        before,
        marked: marked.to_owned(),
        after,
    })
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            shown,
            note,
        } = self;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "{gutter}--> {file}:{line}:{column}")?;
        match shown {
            Some(Shown {
                before,
                marked,
                after,
            }) => {
                let indent = " ".repeat(before.chars().count());
                let mark = "^".repeat(marked.chars().count().max(1));
                write!(f, "\n{gutter} |")?;
                write!(f, "\n{number} | {before}{marked}{after}")?;
                write!(f, "\n{gutter} | {indent}{mark}")?;
                if !note.is_empty() {
                    write!(f, " {note}")?;
                }
                Ok(())
            }
            None if note.is_empty() => Ok(()),
            None => write!(f, "\n{gutter}  = {note}"),
        }
    }
}
