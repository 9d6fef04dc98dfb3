//! Where values come from, and which one holds.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use toml_edit::{Document, Item, TableLike, Value};
use zeroize::Zeroizing;

use super::{
    ConfigError, Secret, Warning,
    excerpt::{Excerpt, Span},
    keys::{self, Fallback, Key, Kind, PREFIX},
};

/// The file in the working directory.
const FILE: &str = "countersign.toml";
/// Names the file where no flag does.
const CONFIG: &str = "COUNTERSIGN_CONFIG";
/// Variables of the build, of tests and of xtask, which are none of ours.
const OTHERS: [&str; 7] = [
    "TEST",
    "XTASK",
    "PAGES",
    "BIN",
    "CONFIG",
    "SCREENSHOTS",
    "SOAK",
];

/// What flags say. Everything is text here; the configuration reads it like any other source.
#[derive(Debug, Default, clap::Args)]
pub struct Flags {
    /// Read this file instead of countersign.toml in the working directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep database and master key in this folder [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Use this database: sqlite:… or postgres://… [default: SQLite in the data folder]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<Secret>,
    /// The address people use, such as `https://auth.example.com`; its presence means production
    #[arg(long, value_name = "ORIGIN")]
    pub public_url: Option<String>,
    /// Address and port to listen on.
    #[arg(skip)]
    pub listen: Option<String>,
    /// Port to listen on, at whatever address is configured.
    #[arg(skip)]
    pub port: Option<u16>,
}

/// All that a configuration is made from, so that a test needs no process environment.
#[derive(Debug, Default)]
pub struct Sources {
    /// What the command line says.
    pub flags: Flags,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// The folder that relative names are looked up in; empty for the process' own.
    pub folder: PathBuf,
}

impl Sources {
    /// This process' environment and working directory.
    pub fn of_process(flags: Flags) -> Self {
        Self {
            flags,
            env: std::env::vars_os().collect(),
            folder: PathBuf::new(),
        }
    }
}

/// Where a value comes from. Shown below an error, on lines of its own.
#[derive(Debug)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The file.
    File(Box<Excerpt>),
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
    /// The program that mounts us, and the key that it may have meant.
    Program(Option<&'static str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::File(excerpt) => write!(f, "\n{excerpt}"),
            Self::Variable(name) => write!(f, "\n --> the variable {name}"),
            Self::Flag(name) => write!(f, "\n --> the flag {name}"),
            Self::Program(None) => f.write_str("\n --> the builder"),
            Self::Program(Some(meant)) => write!(f, "\n --> the builder; did you mean `{meant}`?"),
        }
    }
}

/// A value that somebody gave.
struct Given {
    raw: Raw,
    origin: Origin,
}

/// A value whose type is right, and nothing else known about it.
enum Raw {
    One(Zeroizing<String>),
    Many(Vec<String>),
}

/// The values that hold, and what was wrong on the way.
#[derive(Default)]
pub(super) struct Settings {
    given: HashMap<&'static str, Given>,
    /// What relative names are looked up in.
    folder: PathBuf,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl Settings {
    /// Gathers from the weakest source to the strongest.
    pub(super) fn gather(sources: &Sources) -> Self {
        let mut settings = Self {
            folder: sources.folder.clone(),
            ..Self::default()
        };
        settings.read_file(sources);
        settings.read_variables(sources);
        settings.read_flags(&sources.flags);
        settings
    }

    /// What a program says, and nothing else: neither file nor environment is read.
    pub(super) fn of_program(values: &[(String, String)]) -> Self {
        let mut settings = Self::default();
        for (name, text) in values {
            match keys::find(name) {
                Some(key) => settings.read_text(key, text, Origin::Program(None)),
                None => settings.errors.push(ConfigError::UnknownKey {
                    key: name.clone(),
                    origin: Origin::Program(keys::nearest(name)),
                }),
            }
        }
        settings
    }

    /// The value of a key that has no default in words.
    pub(super) fn get<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>) -> T {
        self.find(name, parse)
            .or_else(|| match key(name).fallback {
                Fallback::Value(text) => parse(text),
                Fallback::Derived(_) => None,
            })
            .expect("the table has a default for it, and a test reads them all")
    }

    /// The value of a key, where one was given that holds.
    pub(super) fn find<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        let text = match &self.given.get(name)?.raw {
            Raw::One(text) => text.clone(),
            Raw::Many(_) => return None,
        };
        let value = parse(&text);
        if value.is_none() {
            self.refuse(name, &text);
        }
        value
    }

    /// The values of a list.
    pub(super) fn list<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>) -> Vec<T> {
        self.find_list(name, parse).unwrap_or_default()
    }

    /// The values of a list, where one was given.
    pub(super) fn find_list<T>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let texts = match self.given.get(name).map(|given| &given.raw) {
            Some(Raw::Many(texts)) => texts.clone(),
            _ => return None,
        };
        let mut values = Vec::new();
        for text in texts {
            let Some(value) = parse(&text) else {
                self.refuse(name, &text);
                break;
            };
            values.push(value);
        }
        Some(values)
    }

    /// Where a value came from; asked once, by the error about it.
    pub(super) fn take_origin(&mut self, name: &str) -> Origin {
        self.given
            .remove(name)
            .map_or(Origin::Default, |given| given.origin)
    }

    /// The text of a file that a value names, or as much of it as shows that it is too long.
    pub(super) fn read_named(&mut self, name: &str, path: &str, limit: usize) -> Option<String> {
        let path = self.folder.join(path);
        let mut text = String::new();
        let read = fs::File::open(&path).and_then(|file| {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            file.take(limit.saturating_add(1)).read_to_string(&mut text)
        });
        match read {
            Ok(_) => Some(text),
            Err(cause) => {
                let origin = self.take_origin(name);
                self.errors.push(ConfigError::Unreadable {
                    path,
                    origin,
                    cause,
                });
                None
            }
        }
    }

    /// Whether every value given so far was understood, so that rules about several make sense.
    pub(super) fn all_hold(&self) -> bool {
        !self
            .errors
            .iter()
            .any(|error| matches!(error, ConfigError::Invalid { .. }))
    }

    pub(super) fn refuse(&mut self, name: &str, text: &str) {
        let origin = self.take_origin(name);
        self.invalid(key(name), Some(format!("`{text}`")), origin);
    }

    fn invalid(&mut self, key: &'static Key, found: Option<String>, origin: Origin) {
        self.errors.push(ConfigError::Invalid {
            key: key.name,
            expected: key.expected,
            found: found.filter(|_| !key.is_secret()),
            origin,
        });
    }

    fn set(&mut self, key: &'static Key, raw: Raw, origin: Origin) {
        self.given.insert(key.name, Given { raw, origin });
    }

    fn read_flags(&mut self, flags: &Flags) {
        let given = [
            ("data_dir", flags.data_dir.as_deref()),
            (
                "database.url",
                flags.database_url.as_ref().map(Secret::expose),
            ),
            ("public_url", flags.public_url.as_deref()),
            ("server.listen", flags.listen.as_deref()),
        ];
        for (name, text) in given {
            if let Some(text) = text {
                let key = key(name);
                let origin = Origin::Flag(key.flag.unwrap_or_default());
                self.set(key, Raw::One(text.to_owned().into()), origin);
            }
        }
    }

    fn read_variables(&mut self, sources: &Sources) {
        let is_set = |name: &str| sources.env.iter().any(|(other, _)| other == name);
        for (name, value) in &sources.env {
            // A name that is not UTF-8 is no key's.
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let of = |name: &str| keys::ALL.iter().find(|key| key.variable() == name);
            let file_of = || of(name.strip_suffix("_FILE")?).filter(|key| key.is_secret());
            if let Some(key) = of(name) {
                self.read_variable(key, name, value);
            } else if let Some(key) = file_of() {
                if is_set(&key.variable()) {
                    let variable = key.variable();
                    self.errors.push(ConfigError::GivenTwice { variable });
                } else {
                    self.read_secret_file(key, name, &sources.folder.join(value));
                }
            } else if !OTHERS.iter().any(|other| rest.starts_with(other)) {
                let dotted = rest.replace("__", ".").to_lowercase();
                let nearest = keys::nearest(&dotted).and_then(keys::find);
                self.warnings.push(Warning::UnknownVariable {
                    name: name.to_owned(),
                    nearest: nearest.map(Key::variable),
                });
            }
        }
    }

    fn read_variable(&mut self, key: &'static Key, name: &str, value: &OsStr) {
        let Some(text) = value.to_str() else {
            let variable = name.to_owned();
            self.errors.push(ConfigError::NotText { variable });
            return;
        };
        self.read_text(key, text, Origin::Variable(name.to_owned()));
    }

    /// A value as text; of a list, as a TOML array.
    fn read_text(&mut self, key: &'static Key, text: &str, origin: Origin) {
        if key.kind != Kind::List {
            self.set(key, Raw::One(text.to_owned().into()), origin);
            return;
        }
        match text.parse::<Value>().ok().and_then(|value| texts(&value)) {
            Some(texts) => self.set(key, Raw::Many(texts), origin),
            None => self.invalid(key, Some(format!("`{text}`")), origin),
        }
    }

    fn read_secret_file(&mut self, key: &'static Key, name: &str, path: &Path) {
        let origin = Origin::Variable(name.to_owned());
        match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => self.set(key, Raw::One(text.trim().to_owned().into()), origin),
            Err(cause) => self.errors.push(ConfigError::Unreadable {
                path: path.to_owned(),
                origin,
                cause,
            }),
        }
    }

    fn read_file(&mut self, sources: &Sources) {
        let named = sources
            .flags
            .config
            .clone()
            .map(|path| (path, Origin::Flag("--config")))
            .or_else(|| {
                let (_, path) = sources.env.iter().find(|(name, _)| name == CONFIG)?;
                Some((path.into(), Origin::Variable(CONFIG.to_owned())))
            });
        let may_be_missing = named.is_none();
        let (path, origin) = named.unwrap_or_else(|| (FILE.into(), Origin::Default));
        let path = sources.folder.join(path);

        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                let file = File {
                    path: &path,
                    text: &text,
                };
                match Document::parse(text.as_str()) {
                    Ok(document) => self.read_table(&file, "", document.as_table()),
                    Err(error) => self.errors.push(ConfigError::Syntax {
                        message: error.message().replace('\n', ", "),
                        origin: file.origin(error.span(), Span::Hidden, String::new()),
                    }),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => {}
            Err(cause) => self.errors.push(ConfigError::Unreadable {
                path,
                origin,
                cause,
            }),
        }
    }

    fn read_table(&mut self, file: &File<'_>, section: &str, table: &dyn TableLike) {
        for (last, item) in table.iter() {
            let name = match section {
                "" => last.to_owned(),
                section => format!("{section}.{last}"),
            };
            match (keys::find(&name), item.as_table_like()) {
                (Some(key), _) => self.read_item(file, key, item),
                (None, Some(below)) if keys::is_section(&name) => {
                    self.read_table(file, &name, below);
                }
                _ => {
                    let note = keys::nearest(&name)
                        .filter(|nearest| *nearest != name)
                        .map(|nearest| format!("did you mean `{nearest}`?"))
                        .unwrap_or_default();
                    let span = table.key(last).and_then(toml_edit::Key::span);
                    let origin = file.origin(span, Span::Key, note);
                    self.errors
                        .push(ConfigError::UnknownKey { key: name, origin });
                }
            }
        }
    }

    fn read_item(&mut self, file: &File<'_>, key: &'static Key, item: &Item) {
        let span = if key.is_secret() {
            Span::Hidden
        } else {
            Span::Value
        };
        let origin = file.origin(item.span(), span, String::new());
        let one = |text: &dyn ToString| Raw::One(text.to_string().into());
        let raw = match (key.kind, item.as_value()) {
            (Kind::Text | Kind::Secret, Some(Value::String(text))) => Some(one(text.value())),
            (Kind::Number, Some(Value::Integer(number))) => Some(one(number.value())),
            (Kind::Number, Some(Value::Float(number))) => Some(one(number.value())),
            (Kind::Flag, Some(Value::Boolean(flag))) => Some(one(flag.value())),
            (Kind::List, Some(list)) => texts(list).map(Raw::Many),
            _ => None,
        };
        match raw {
            Some(raw) => self.set(key, raw, origin),
            None => self.invalid(key, Some(article(item.type_name())), origin),
        }
    }
}

/// The names are our own, written beside the table's.
fn key(name: &str) -> &'static Key {
    keys::find(name).expect("every key that is read is in the table, and a test reads them all")
}

/// The texts of a list; `None` where it is none, or has something else in it.
fn texts(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_name}")
}

/// The file that is being read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, range: Option<Range<usize>>, span: Span, note: String) -> Origin {
        let range = range.unwrap_or_default();
        Origin::File(Box::new(Excerpt::new(
            self.path, self.text, &range, span, note,
        )))
    }
}
