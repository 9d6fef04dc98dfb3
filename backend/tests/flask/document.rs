//! `docs/from-flask.md` stays true: it answers everything, and what it calls the same is tested.

use std::{collections::BTreeSet, fs, path::Path};

/// What of the extension there is: the document's headings, and how many rows each must have.
const TABLES: [(&str, usize); 4] = [
    ("## Options", 43),
    ("## Functions", 19),
    ("## Loaders", 15),
    ("## Behaviours", 135),
];

/// A row of one of the tables: theirs, the answer, ours or why not, the tests.
struct Row {
    table: &'static str,
    cells: Vec<String>,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of a line of a table; a bar that is escaped is text.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    let line = line.replace("\\|", "\u{0}");
    line.split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

fn rows() -> Vec<Row> {
    let document = read("../docs/from-flask.md");
    let mut rows = Vec::new();
    let mut table = None;
    for line in document.lines() {
        if line.starts_with("## ") {
            let known = TABLES.iter().find(|(heading, _)| *heading == line);
            table = known.map(|(heading, _)| *heading);
        }
        // The title of a table has no code in its first cell.
        if let Some(table) = table
            && line.starts_with("| `")
        {
            let cells = cells(line);
            rows.push(Row { table, cells });
        }
    }
    rows
}

/// Texts in code quotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The tests of a file, by what makes a function one.
fn tests_of(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        let name = line.strip_prefix("async fn ").or(line.strip_prefix("fn "));
        let Some((name, rest)) = name.and_then(|name| name.split_once('(')) else {
            continue;
        };
        // Those that run on both databases are within a macro, each with its application.
        if is_test || rest == "app: TestApp) {" {
            found.insert(name.to_owned());
        }
        is_test = false;
    }
    found
}

/// Where a test is that the document names as `file::test`, or `it::test` for those with a server.
fn file_of(module: &str) -> String {
    match module {
        "it" => "tests/it/flask.rs".to_owned(),
        module => format!("tests/flask/{module}.rs"),
    }
}

#[test]
fn document_answers_everything_once() {
    let rows = rows();

    for (table, count) in TABLES {
        let of_table = rows.iter().filter(|row| row.table == table);
        let names: BTreeSet<_> = of_table.clone().map(|row| &row.cells[0]).collect();
        assert_eq!(of_table.count(), count, "{table}");
        assert_eq!(names.len(), count, "{table}: one is there twice");
    }
}

#[test]
fn document_has_no_empty_cell_and_no_third_answer() {
    for Row { table, cells } in rows() {
        assert_eq!(cells.len(), 4, "{table}: {cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
        assert!(["same", "different"].contains(&&*cells[1]), "{cells:?}");
    }
}

#[test]
fn what_the_document_calls_the_same_has_a_test_and_every_test_it_names_exists() {
    for Row { cells, .. } in rows() {
        let names: Vec<_> = quoted(&cells[3]).collect();
        assert!(cells[1] != "same" || !names.is_empty(), "{cells:?}");
        assert!(!names.is_empty() || cells[3] == "none", "{cells:?}");
        for name in names {
            let (module, test) = name.split_once("::").unwrap_or_else(|| panic!("{name}"));
            let tests = tests_of(&file_of(module));
            assert!(tests.contains(test), "there is no test {name}");
        }
    }
}

#[test]
fn document_names_every_test_of_this_program() {
    let rows = rows();
    let named: BTreeSet<_> = rows.iter().flat_map(|row| quoted(&row.cells[3])).collect();

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flask");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        if ["document", "main", "support"].contains(&module) {
            continue;
        }
        for test in tests_of(&file_of(module)) {
            let name = format!("{module}::{test}");
            assert!(named.contains(&*name), "the document does not name {name}");
        }
    }
}
