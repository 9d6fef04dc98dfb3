//! JSON schemas, as people and as examples.

use serde_json::{Map, Value};

use super::{
    html::{anchor, escape, prose, push},
    list, members, text,
};

/// How deep an example may nest: a schema may refer to itself.
const DEPTH: usize = 8;

/// The schemas that others refer to by name.
pub(super) struct Schemas<'a>(&'a Value);

/// Where a named schema is on the page.
pub(super) fn anchor_of(name: &str) -> String {
    anchor(&["type", name])
}

impl<'a> Schemas<'a> {
    pub(super) fn of(document: &'a Value) -> Self {
        Self(&document["components"]["schemas"])
    }

    /// What is in a schema: the members of an object, or the values there are.
    pub(super) fn members(&self, schema: &Value) -> String {
        let schema = self.resolved(schema);
        let values: Vec<_> = list(&schema["enum"])
            .map(|value| format!("<code>{}</code>", escape(text(value))))
            .collect();
        if !values.is_empty() {
            return format!("<p>One of {}.</p>\n", values.join(", "));
        }
        let required: Vec<_> = list(&schema["required"]).map(text).collect();
        let mut properties: Vec<_> = members(&schema["properties"])
            .map(|(name, property)| (required.contains(&name), name, property))
            .collect();
        if properties.is_empty() {
            return match name_of(schema).as_str() {
                "object" | "" => String::new(),
                name => format!("<p>A {name}.</p>\n"),
            };
        }
        // What has to be there comes first.
        properties.sort_by_key(|(is_required, _, _)| !is_required);
        let items: String = properties
            .into_iter()
            .map(|(is_required, name, property)| self.member(name, property, None, is_required))
            .collect();
        format!("<ul class=\"members\">\n{items}</ul>\n")
    }

    /// One member, or one parameter.
    pub(super) fn member(
        &self,
        name: &str,
        schema: &Value,
        description: Option<&str>,
        is_required: bool,
    ) -> String {
        let required = if is_required { "required" } else { "optional" };
        let description = description.unwrap_or_else(|| description_of(schema));
        let mut html = format!(
            "<li><code class=\"name\">{}</code> <span class=\"of\">{}</span> \
             <span class=\"{required}\">{required}</span>\n{}",
            escape(name),
            name_of(schema),
            prose(description)
        );
        let values: Vec<_> = list(&self.resolved(schema)["enum"])
            .map(|value| format!("<code>{}</code>", escape(text(value))))
            .collect();
        if !values.is_empty() {
            push!(html, "<p>One of {}.</p>\n", values.join(", "));
        }
        if let Some(example) = schema.get("example") {
            push!(
                html,
                "<p class=\"example\">Example: <code>{}</code></p>\n",
                escape(&plain(example))
            );
        }
        html + "</li>\n"
    }

    /// A value that fits, with the optional members or without.
    pub(super) fn example(&self, schema: &Value, is_full: bool) -> Value {
        self.example_at(schema, is_full, DEPTH)
    }

    fn example_at(&self, schema: &Value, is_full: bool, depth: usize) -> Value {
        let given = ["example", "default"]
            .iter()
            .find_map(|name| schema.get(*name));
        if let Some(given) = given {
            return given.clone();
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Value::Null;
        };
        if let Some(first) = choices(schema).and_then(|choices| choices.into_iter().next()) {
            return self.example_at(first, is_full, depth);
        }
        if reference(schema).is_some() {
            return self.example_at(self.resolved(schema), is_full, depth);
        }
        if let Some(value) = list(&schema["enum"]).next() {
            return value.clone();
        }
        match type_of(schema) {
            "object" => {
                let required: Vec<_> = list(&schema["required"]).map(text).collect();
                let example: Map<_, _> = members(&schema["properties"])
                    .filter(|(name, _)| is_full || required.contains(name))
                    .map(|(name, property)| {
                        (name.to_owned(), self.example_at(property, is_full, depth))
                    })
                    .collect();
                example.into()
            }
            "array" => vec![self.example_at(&schema["items"], is_full, depth)].into(),
            "boolean" => true.into(),
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
            "string" if schema["format"] == "uuid" => "019b7a3c-8f00-7000-8000-000000000001".into(),
            "string" => "…".into(),
            _ => Value::Null,
        }
    }

    /// The schema that a reference names, where null is no choice.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let schema = without_null(schema);
        reference(schema)
            .and_then(|name| self.0.get(name))
            .unwrap_or(schema)
    }
}

/// What a schema is called: a link where it has a name, else its type in words.
pub(super) fn name_of(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return format!("<a href=\"#{}\">{}</a>", anchor_of(name), escape(name));
    }
    if let Some(choices) = choices(schema) {
        let names: Vec<_> = choices.iter().map(|choice| name_of(choice)).collect();
        return names.join(" or ");
    }
    let format = match text(&schema["format"]) {
        "" | "int32" | "int64" => String::new(),
        format => format!(" ({})", escape(format)),
    };
    let types: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        kinds => list(kinds).map(text).collect(),
    };
    let types: Vec<_> = types
        .into_iter()
        .map(|kind| match kind {
            "array" => format!("list of {}", name_of(&schema["items"])),
            kind => escape(kind),
        })
        .collect();
    format!("{}{format}", types.join(" or "))
}

/// The one schema beside null, where that is the choice; else the schema itself.
pub(super) fn without_null(schema: &Value) -> &Value {
    match choices(schema).as_deref() {
        Some([only]) => only,
        Some([one, other]) if other["type"] == "null" => one,
        _ => schema,
    }
}

/// The name that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    text(&schema["$ref"]).strip_prefix("#/components/schemas/")
}

/// The schemas of which one has to hold.
fn choices(schema: &Value) -> Option<Vec<&Value>> {
    ["oneOf", "anyOf", "allOf"]
        .iter()
        .find_map(|name| schema[*name].as_array())
        .map(|choices| choices.iter().collect())
}

/// The description of a member, also where it stands beside a reference inside of a choice.
fn description_of(schema: &Value) -> &str {
    match text(&schema["description"]) {
        "" => choices(schema)
            .into_iter()
            .flatten()
            .map(|choice| text(&choice["description"]))
            .find(|description| !description.is_empty())
            .unwrap_or_default(),
        description => description,
    }
}

/// The type, or the first of several.
fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        kinds => list(kinds).next().map(text).unwrap_or_default(),
    }
}

/// Text without quotes; all else as JSON has it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
