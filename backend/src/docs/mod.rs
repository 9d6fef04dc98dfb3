//! The page at `/docs`: the OpenAPI document, readable without a network and without a script.
//!
//! Made once, from the document itself, so that it cannot tell anything else. The usual readers of
//! such documents are scripts of megabytes that want a looser content security policy than pages of
//! sign-in should have; and most of what they add is a form that sends requests, for which people
//! have curl. Knows neither axum nor any feature.

mod html;
pub(crate) mod http;
mod schema;

use countersign_types::{ProblemCode, problem::CONTENT_TYPE};
use serde_json::Value;
use utoipa::openapi::{OpenApi, RefOr, Schema};

use self::{
    html::{anchor, escape, prose, push},
    schema::Schemas,
};

/// What a reader needs to know of every operation.
const INTRODUCTION: &str = "User authentication with JSON Web Tokens.

Bodies are JSON, sent with `Content-Type: application/json` and at most 16 KiB; members that are not \
known here are refused. Times are RFC 3339 in UTC. Answers may gain members in a minor version, so \
no reader should refuse those that it does not know.

Every error is a [`Problem`] (RFC 9457): `code` is stable and for programs, `detail` is for people. Every \
answer has an `X-Request-Id`, every 401 a `WWW-Authenticate`, every 429 and 503 a `Retry-After`. \
Besides what an operation lists, any may answer 400 `invalid_request`, 405 `method_not_allowed`, 408 \
`request_timeout`, 414 `uri_too_long`, 500 `internal_error` and 503 `unavailable`.";

/// The order in which a reader meets the operations, and what each group is about.
const TAGS: [(&str, &str); 4] = [
    ("sessions", "Signing in, staying signed in, signing out."),
    (
        "accounts",
        "Creating an account, and what there is to know of it.",
    ),
    (
        "keys",
        "For services that verify access tokens by themselves.",
    ),
    ("health", "For whoever watches the process."),
];

/// Adds to a document what no single operation says.
pub(crate) fn complete(document: &mut OpenApi) {
    document.info.description = Some(INTRODUCTION.to_owned());
    document.tags = Some(
        TAGS.iter()
            .map(|(name, description)| {
                utoipa::openapi::tag::TagBuilder::new()
                    .name(*name)
                    .description(Some(*description))
                    .build()
            })
            .collect(),
    );
    let Some(components) = &mut document.components else {
        return;
    };
    for schema in components.schemas.values_mut() {
        // What a reader takes the words of a newer server for; no server sends it.
        if let RefOr::T(Schema::Object(object)) = schema
            && let Some(values) = &mut object.enum_values
        {
            values.retain(|value| value != "unknown");
        }
    }
}

/// The page of a document. Everything from the document is escaped.
pub(crate) fn page(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let version = text(&document["info"]["version"]);
    let mut page = Page {
        document,
        schemas: Schemas::of(document),
        html: String::new(),
    };
    page.push(&format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} API</title>\n<link rel=\"icon\" href=\"{ICON}\">\n\
         <link rel=\"stylesheet\" href=\"docs/style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">Skip to the content</a>\n",
        title = escape(title),
    ));
    page.push(&format!(
        "<header>\n<h1>{} API</h1>\n\
         <p class=\"version\">Version {} · <a href=\"openapi.json\">openapi.json</a></p>\n</header>\n",
        escape(title),
        escape(version),
    ));
    page.contents();
    page.push(&format!(
        "<main id=\"content\" tabindex=\"-1\">\n\
         <section id=\"introduction\">\n<h2 class=\"unseen\">Introduction</h2>\n{}</section>\n",
        prose(text(&document["info"]["description"])),
    ));
    page.credentials();
    for tag in tags(document) {
        page.group(tag);
    }
    page.problems();
    page.types();
    page.push("</main>\n</body>\n</html>\n");
    page.html
}

/// The pages' own icon. Brought along, since an application that mounts the API has other pages.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
    %3Crect width='32' height='32' rx='8' fill='%231b1c1a'/%3E\
    %3Cpath d='M21.5 11.2a7.4 7.4 0 1 0 0 9.6' fill='none' stroke='%23f6f3ec' stroke-width='2.8' \
    stroke-linecap='round'/%3E%3Cpath d='m13.5 16.2 3.4 3.4 8.6-9.4' fill='none' stroke='%23ff6a4d' \
    stroke-width='2.8' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// An operation with where it is.
struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        anchor(&[self.method, self.path])
    }

    fn has_tag(&self, tag: &str) -> bool {
        list(&self.value["tags"]).any(|of| of == tag)
    }

    /// The credentials that it takes, each by the name of its scheme; `None` for none at all.
    fn credentials(&self) -> Vec<Option<&str>> {
        list(&self.value["security"])
            .map(|way| {
                way.as_object()
                    .and_then(|way| way.keys().next())
                    .map(String::as_str)
            })
            .collect()
    }
}

struct Page<'a> {
    document: &'a Value,
    schemas: Schemas<'a>,
    html: String,
}

impl<'a> Page<'a> {
    fn push(&mut self, html: &str) {
        self.html += html;
    }

    /// The operations by path, and those of a path in the order of [`METHODS`].
    fn operations(&self) -> Vec<Operation<'a>> {
        members(&self.document["paths"])
            .flat_map(|(path, item)| {
                METHODS.into_iter().filter_map(move |method| {
                    item.get(method).map(|value| Operation {
                        method,
                        path,
                        value,
                    })
                })
            })
            .collect()
    }

    /// The table of contents.
    fn contents(&mut self) {
        let mut html = "<nav aria-label=\"Contents\">\n<ul>\n\
                        <li><a href=\"#introduction\">Introduction</a></li>\n\
                        <li><a href=\"#credentials\">Credentials</a></li>\n"
            .to_owned();
        for tag in tags(self.document) {
            let name = text(&tag["name"]);
            push!(
                html,
                "<li><a href=\"#{}\">{}</a>\n<ul>\n",
                anchor(&["tag", name]),
                escape(&capitalised(name))
            );
            for operation in self.operations() {
                if operation.has_tag(name) {
                    push!(
                        html,
                        "<li><a href=\"#{}\">{}</a></li>\n",
                        operation.anchor(),
                        request_line(&operation)
                    );
                }
            }
            html += "</ul></li>\n";
        }
        html += "<li><a href=\"#problems\">Problems</a></li>\n\
                 <li><a href=\"#types\">Types</a></li>\n</ul>\n</nav>\n";
        self.push(&html);
    }

    /// How a request proves who sent it, and what the examples take for granted.
    fn credentials(&mut self) {
        let mut html = "<section id=\"credentials\">\n<h2>Credentials</h2>\n<dl>\n".to_owned();
        for (name, scheme) in members(&self.document["components"]["securitySchemes"]) {
            let how = match text(&scheme["type"]) {
                "http" => "In the header <code>Authorization: Bearer …</code>.".to_owned(),
                _ => format!(
                    "In the {} <code>{}</code>.",
                    escape(text(&scheme["in"])),
                    escape(text(&scheme["name"]))
                ),
            };
            push!(
                html,
                "<dt id=\"{}\">{}</dt>\n<dd><p>{how}</p>\n{}</dd>\n",
                anchor(&["credential", name]),
                escape(&spoken(name)),
                prose(text(&scheme["description"]))
            );
        }
        html += "</dl>\n<p>The examples below expect the server's address and an access token in two \
                 variables of the shell:</p>\n\
                 <pre><code>server=http://localhost:3000\ntoken=eyJ…</code></pre>\n</section>\n";
        self.push(&html);
    }

    /// The operations of a tag.
    fn group(&mut self, tag: &Value) {
        let name = text(&tag["name"]);
        self.push(&format!(
            "<section id=\"{}\">\n<h2>{}</h2>\n{}",
            anchor(&["tag", name]),
            escape(&capitalised(name)),
            prose(text(&tag["description"]))
        ));
        for operation in self.operations() {
            if operation.has_tag(name) {
                self.operation(&operation);
            }
        }
        self.push("</section>\n");
    }

    fn operation(&mut self, operation: &Operation<'a>) {
        let id = operation.anchor();
        let mut html = format!(
            "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{}</a></h3>\n{}{}",
            request_line(operation),
            prose(text(&operation.value["summary"])).replacen("<p>", "<p class=\"summary\">", 1),
            prose(text(&operation.value["description"])),
        );
        html += &needs(operation);
        let parameters: Vec<_> = list(&operation.value["parameters"]).collect();
        if !parameters.is_empty() {
            html += "<h4>Parameters</h4>\n<ul class=\"members\">\n";
            for parameter in parameters {
                html += &self.schemas.member(
                    text(&parameter["name"]),
                    &parameter["schema"],
                    Some(text(&parameter["description"])),
                    parameter["required"] == true,
                );
            }
            html += "</ul>\n";
        }
        let body = &operation.value["requestBody"];
        let body_schema = content(body).map(|(_, media)| schema::without_null(&media["schema"]));
        if let Some(schema) = body_schema {
            let optional = if body["required"] == true {
                ""
            } else {
                ", which may be left out"
            };
            push!(
                html,
                "<h4>Body</h4>\n<p class=\"of\">{}{optional}</p>\n{}",
                schema::name_of(schema),
                self.schemas.members(schema)
            );
        }
        html += "<h4>Answers</h4>\n<ul class=\"answers\">\n";
        for (status, answer) in members(&operation.value["responses"]) {
            html += &answer_of(status, answer);
        }
        push!(
            html,
            "</ul>\n<h4>Example</h4>\n<pre><code>{}</code></pre>\n",
            escape(&self.curl(operation, body_schema))
        );
        html += &self.example_answer(operation);
        html += "</article>\n";
        self.push(&html);
    }

    /// The body of the answer that people hope for.
    fn example_answer(&self, operation: &Operation<'a>) -> String {
        let Some((_, media)) = members(&operation.value["responses"])
            .find(|(status, _)| status.starts_with('2'))
            .and_then(|(_, answer)| content(answer))
        else {
            return String::new();
        };
        let example = media
            .get("example")
            .cloned()
            .unwrap_or_else(|| self.schemas.example(&media["schema"], true));
        let text = serde_json::to_string_pretty(&example).unwrap_or_default();
        format!(
            "<pre class=\"answer\"><code>{}</code></pre>\n",
            escape(&text)
        )
    }

    /// The request as somebody types it.
    fn curl(&self, operation: &Operation<'a>, body: Option<&Value>) -> String {
        let body = body
            .map(|schema| self.schemas.example(schema, false))
            // A body of optional members alone is left out.
            .filter(|example| {
                example
                    .as_object()
                    .is_none_or(|members| !members.is_empty())
            });
        let method = match (operation.method, &body) {
            ("get", _) | ("post", Some(_)) => String::new(),
            (method, _) => format!("-X {} ", method.to_uppercase()),
        };
        let path = operation.path.replace('{', "$").replace('}', "");
        let mut text = format!("curl {method}\"$server{path}\"");
        if operation.credentials().first() == Some(&Some("bearer")) {
            text += " \\\n  -H \"Authorization: Bearer $token\"";
        }
        if let Some(body) = body {
            let body = body.to_string().replace('\'', r"'\''");
            push!(
                text,
                " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
            );
        }
        text
    }

    /// Every code there is, which no operation lists alone.
    fn problems(&mut self) {
        let mut html = "<section id=\"problems\">\n<h2>Problems</h2>\n\
                        <p>What went wrong, as <code>code</code> says it. The status and the title go \
                        with the code; <code>type</code> is <code>urn:countersign:problem:</code> and \
                        the code.</p>\n<table>\n<thead><tr><th scope=\"col\">Code</th>\
                        <th scope=\"col\">Status</th><th scope=\"col\">Title</th></tr></thead>\n<tbody>\n"
            .to_owned();
        for code in ProblemCode::ALL {
            push!(
                html,
                "<tr id=\"{}\"><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td></tr>\n",
                anchor(&["problem", code.as_str()]),
                code.as_str().replace('_', "_<wbr>"),
                code.status(),
                escape(code.title())
            );
        }
        html += "</tbody>\n</table>\n</section>\n";
        self.push(&html);
    }

    fn types(&mut self) {
        let mut html = "<section id=\"types\">\n<h2>Types</h2>\n".to_owned();
        for (name, schema) in members(&self.document["components"]["schemas"]) {
            let id = schema::anchor_of(name);
            push!(
                html,
                "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{}</a></h3>\n{}{}</article>\n",
                escape(name),
                prose(text(&schema["description"])),
                self.schemas.members(schema)
            );
        }
        html += "</section>\n";
        self.push(&html);
    }
}

/// Method and path.
fn request_line(operation: &Operation<'_>) -> String {
    format!(
        "<b>{}</b> <code>{}</code>",
        operation.method.to_uppercase(),
        // A long path may break behind its slashes.
        escape(operation.path).replace('/', "/<wbr>")
    )
}

/// One of the answers.
fn answer_of(status: &str, answer: &Value) -> String {
    let kind = if status.starts_with('2') {
        "good"
    } else {
        "bad"
    };
    let mut html = html::inline(text(&answer["description"]));
    match content(answer) {
        // That every error has this form is said once.
        Some((CONTENT_TYPE, _)) => {
            for code in ProblemCode::ALL {
                let word = format!("<code>{code}</code>");
                let place = anchor(&["problem", code.as_str()]);
                html = html.replace(&word, &format!("<a href=\"#{place}\">{word}</a>"));
            }
        }
        Some((_, media)) => {
            let name = schema::name_of(&media["schema"]);
            push!(html, ": <span class=\"of\">{name}</span>");
        }
        None => {}
    }
    let status = escape(status);
    format!("<li><b class=\"{kind}\">{status}</b> <span>{html}</span></li>\n")
}

/// What a request has to bring along.
fn needs(operation: &Operation<'_>) -> String {
    let ways = operation.credentials();
    if ways.is_empty() {
        return "<p class=\"needs\">Open to everybody.</p>\n".to_owned();
    }
    let ways: Vec<_> = ways
        .into_iter()
        .map(|name| {
            name.map_or_else(
                || "what the body says".to_owned(),
                |name| {
                    format!(
                        "<a href=\"#{}\">{}</a>",
                        anchor(&["credential", name]),
                        escape(&spoken(name).to_lowercase())
                    )
                },
            )
        })
        .collect();
    format!("<p class=\"needs\">Needs: {}.</p>\n", ways.join(", or "))
}

/// The tags of a document, in its order.
fn tags(document: &Value) -> impl Iterator<Item = &Value> {
    list(&document["tags"])
}

/// The name of a security scheme, for people.
fn spoken(name: &str) -> String {
    match name {
        "bearer" => "Access token".to_owned(),
        name => capitalised(&name.replace('_', " ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + characters.as_str())
        .unwrap_or_default()
}

/// The first media type of a body, and what it says.
fn content(body: &Value) -> Option<(&str, &Value)> {
    members(&body["content"]).next()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One operation, whose words are `text`.
    fn document(text: &str) -> Value {
        json!({
            "info": { "title": "T", "version": "1", "description": text },
            "tags": [{ "name": "notes", "description": text }],
            "paths": { "/notes/{id}": { "post": {
                "tags": ["notes"],
                "summary": text,
                "description": text,
                "security": [{ "bearer": [] }],
                "parameters": [{ "name": "id", "in": "path", "required": true,
                    "description": text, "schema": { "type": "string", "format": "uuid" } }],
                "requestBody": { "required": true, "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Note" } } } },
                "responses": {
                    "201": { "description": text, "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/Note" } } } },
                    "401": { "description": "No token: `token_missing`",
                        "content": { "application/problem+json": { "schema": {} } } },
                },
            } } },
            "components": {
                "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": text } },
                "schemas": { "Note": {
                    "type": "object",
                    "description": text,
                    "required": ["text"],
                    "properties": {
                        "colour": { "type": "string", "enum": ["red", text] },
                        "text": { "type": "string", "description": text, "example": text },
                    },
                } },
            },
        })
    }

    #[test]
    fn operation_is_shown_with_all_that_there_is_to_know_of_it() {
        let page = page(&document("Why not"));
        let start = page.find("<article id=\"post-notes-id\">").unwrap();
        let end = page[start..].find("</article>").unwrap();

        insta::assert_snapshot!(&page[start..start + end], @r###"
        <article id="post-notes-id">
        <h3><a href="#post-notes-id"><b>POST</b> <code>/<wbr>notes/<wbr>{id}</code></a></h3>
        <p class="summary">Why not</p>
        <p>Why not</p>
        <p class="needs">Needs: <a href="#credential-bearer">access token</a>.</p>
        <h4>Parameters</h4>
        <ul class="members">
        <li><code class="name">id</code> <span class="of">string (uuid)</span> <span class="required">required</span>
        <p>Why not</p>
        </li>
        </ul>
        <h4>Body</h4>
        <p class="of"><a href="#type-Note">Note</a></p>
        <ul class="members">
        <li><code class="name">text</code> <span class="of">string</span> <span class="required">required</span>
        <p>Why not</p>
        <p class="example">Example: <code>Why not</code></p>
        </li>
        <li><code class="name">colour</code> <span class="of">string</span> <span class="optional">optional</span>
        <p>One of <code>red</code>, <code>Why not</code>.</p>
        </li>
        </ul>
        <h4>Answers</h4>
        <ul class="answers">
        <li><b class="good">201</b> <span>Why not: <span class="of"><a href="#type-Note">Note</a></span></span></li>
        <li><b class="bad">401</b> <span>No token: <a href="#problem-token_missing"><code>token_missing</code></a></span></li>
        </ul>
        <h4>Example</h4>
        <pre><code>curl &quot;$server/notes/$id&quot; \
          -H &quot;Authorization: Bearer $token&quot; \
          -H &#39;Content-Type: application/json&#39; \
          -d &#39;{&quot;text&quot;:&quot;Why not&quot;}&#39;</code></pre>
        <pre class="answer"><code>{
          &quot;colour&quot;: &quot;red&quot;,
          &quot;text&quot;: &quot;Why not&quot;
        }</code></pre>
        "###);
    }

    #[test]
    fn request_is_shown_as_somebody_types_it_with_what_is_required_alone() {
        let document = document("it's");
        let page = Page {
            document: &document,
            schemas: Schemas::of(&document),
            html: String::new(),
        };
        let operation = page.operations().remove(0);
        let schema = json!({ "$ref": "#/components/schemas/Note" });

        let curl = page.curl(&operation, Some(&schema));

        insta::assert_snapshot!(curl, @r#"
        curl "$server/notes/$id" \
          -H "Authorization: Bearer $token" \
          -H 'Content-Type: application/json' \
          -d '{"text":"it'\''s"}'
        "#);
    }

    #[test]
    fn words_of_the_document_are_never_markup() {
        let hostile = "<script>alert('`<b>`')</script>\" onclick=\"x";
        let page = page(&document(hostile));

        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("onclick=\"x"), "{page}");
        // Each of its ten places shows it.
        assert!(page.matches("&lt;script&gt;").count() >= 10, "{page}");
    }

    #[test]
    fn schema_that_refers_to_itself_has_an_example_that_ends() {
        let document = json!({ "components": { "schemas": { "Tree": {
            "type": "object",
            "required": ["children"],
            "properties": { "children": {
                "type": "array",
                "items": { "$ref": "#/components/schemas/Tree" },
            } },
        } } } });
        let tree = json!({ "$ref": "#/components/schemas/Tree" });

        let example = Schemas::of(&document).example(&tree, true);

        assert!(example["children"][0].is_object(), "{example}");
    }

    #[test]
    fn document_of_nothing_is_a_page_all_the_same() {
        assert!(page(&Value::Null).ends_with("</html>\n"));
    }
}
