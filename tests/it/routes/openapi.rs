//! `/openapi.json` and `/docs`: complete, as committed, and true of what the node answers.

use std::collections::BTreeSet;
use std::path::Path;

use actix_web::introspection::IntrospectionTree;
use actix_web::{App, test as actix_test, web};
use posthaste::routes::{self, openapi};
use serde_json::{Value, json};

use crate::routes::walk::ROWS;
use crate::support::contract::Contract;
use crate::support::http::exchange;
use crate::support::node::{Node, SharedNode};

static NODE: SharedNode = SharedNode::new();

/// Where a node tells others of its cluster; no part of the API.
const INTERNAL: [&str; 3] = ["/cluster/hints", "/cluster/actors", "/cluster/node"];

#[test]
fn the_committed_document_is_the_nodes() {
    let node = NODE.get();
    let answer = node.nobody().get("/openapi.json");
    answer.expect(200);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("POSTHASTE_RENEW_SNAPSHOTS").is_some() {
        std::fs::write(&path, &answer.body).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(answer.body.lines()).position(|(one, other)| one != other);
    assert!(
        committed == answer.body,
        "docs/openapi.json is not what a node says (from line {:?} on); if the change is meant, renew it: \
         POSTHASTE_RENEW_SNAPSHOTS=1 cargo test --test it routes::openapi::the_committed",
        differs.map(|line| line + 1)
    );
}

/// Every method of every path that the server has been built with.
fn routing_table() -> BTreeSet<(String, String)> {
    async fn tell(tree: web::Data<IntrospectionTree>) -> String {
        tree.report_as_json()
    }
    let report = actix_rt::System::new().block_on(async {
        let told = web::resource("/tell-of-routes").route(web::get().to(tell));
        let app = actix_test::init_service(App::new().configure(routes::configure).service(told)).await;
        let request = actix_test::TestRequest::get().uri("/tell-of-routes").to_request();
        actix_test::call_and_read_body(&app, request).await
    });
    let report: Vec<Value> = serde_json::from_slice(&report).unwrap();
    let mut table = BTreeSet::new();
    for item in report.iter().filter(|item| item["resource_type"] == "resource") {
        let path = item["full_path"].as_str().unwrap();
        if INTERNAL.contains(&path) || path == "/tell-of-routes" {
            continue;
        }
        let methods = item["methods"].as_array().unwrap();
        assert!(!methods.is_empty(), "{path} takes whatever method: which ones, the document could not say");
        for method in methods {
            table.insert((path.to_owned(), method.as_str().unwrap().to_owned()));
        }
    }
    table
}

#[test]
fn every_route_is_told_of_and_no_other() {
    let node = NODE.get();
    let contract = Contract::of(&node);
    let told: BTreeSet<(String, String)> =
        contract.operations().into_iter().map(|operation| (operation.path, operation.method)).collect();
    let table = routing_table();
    assert!(table.len() > 30, "{table:?}");
    assert_eq!(told, table, "the routes of src/routes/mod.rs, and the operations of src/routes/openapi");

    // Each operation has its row, and each row its operation.
    let ids: Vec<String> = contract.operations().into_iter().map(|operation| operation.id).collect();
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an `operationId` is given twice");
    let walked: BTreeSet<String> = ROWS.iter().map(|row| row.id.to_owned()).collect();
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), walked, "the rows of tests/it/routes/walk.rs");
    let known: BTreeSet<String> = openapi::OPERATIONS.iter().map(|operation| operation.id.to_owned()).collect();
    let ids: BTreeSet<String> = ids.into_iter().filter(|id| !id.ends_with("_head")).collect();
    assert_eq!(ids, known, "the rows of src/routes/openapi/operations.rs");
}

#[test]
fn the_document_is_sound() {
    let node = NODE.get();
    let contract = Contract::of(&node);
    let document = &contract.document;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    each(document, &mut |value| {
        if value["$ref"].is_string() {
            contract.resolved(value);
        }
        // A bound that nobody has put in, or an object that takes anything unsaid.
        assert!(!value.as_str().is_some_and(|text| text.contains("<<")), "{value}");
        if value["type"] == "object" && value["properties"].is_object() {
            assert!(!value["additionalProperties"].is_null(), "open or closed? {value}");
        }
    });
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} is not explained");
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        for example in schema["examples"].as_array().into_iter().flatten() {
            contract.fits(&reference, example).unwrap_or_else(|why| panic!("an example of {name}: {why}"));
        }
        let uses = document.to_string().matches(&format!("\"#/components/schemas/{name}\"")).count();
        assert!(uses > 0, "nobody needs {name}");
    }
    for operation in contract.operations() {
        for field in ["summary", "operationId"] {
            assert!(operation.told[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {}", operation.id);
        }
        assert!(operation.told["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{}", operation.id);
        for parameter in operation.told["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{} of {}", parameter["name"], operation.id);
        }
    }
}

fn each(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| each(item, look)),
        // What an example shows is no schema.
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name != "examples").for_each(|(_, field)| each(field, look));
        }
        _ => {}
    }
}

#[test]
fn bounds_are_those_that_the_node_is_configured_with() {
    let node = Node::start(&[
        ("PAGE_MAX", "7"),
        ("PAGE", "3"),
        ("EVENT_BYTES", "300000"),
        ("MAX_RETRIES", "4"),
        ("RETENTION_DAYS", "2"),
        ("MAX_RETRY_DAYS", "1"),
    ]);
    let document = node.nobody().get("/openapi.json").expect(200);
    let schemas = &document["components"]["schemas"];
    assert_eq!((&schemas["PageLimit"]["maximum"], &schemas["PageLimit"]["default"]), (&json!(7), &json!(3)));
    assert_eq!(schemas["RetrySchedule"]["properties"]["schedule_ms"]["maxItems"], 4);
    assert_eq!(schemas["ExpirySeconds"]["maximum"], 2 * 24 * 3_600);
    let body = document["paths"]["/events"]["post"]["requestBody"]["description"].as_str().unwrap();
    assert!(body.contains("300000 bytes"), "{body}");
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let node = NODE.get();
    let nobody = node.nobody();
    let contract = Contract::of(&node);
    for (path, id) in [("/openapi.json", "describe"), ("/docs", "show_docs"), ("/docs/start.js", "show_docs_file")] {
        let operation = contract.operation(id);
        let first = nobody.get(path);
        let tag = first.header("etag").unwrap().to_owned();
        assert_eq!((first.status, first.header("cache-control")), (200, Some("no-cache")));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = nobody.send("GET", path, &[("if-none-match", &known)], b"");
            assert_eq!(
                (again.status, again.header("etag"), again.body.as_str()),
                (304, Some(tag.as_str()), ""),
                "{known}"
            );
            contract.check(&operation, &again);
        }
        for other in ["\"other\"", "nonsense", ""] {
            assert_eq!(nobody.send("GET", path, &[("if-none-match", other)], b""), first, "{other}");
        }
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let node = NODE.get();
    let page = node.nobody().get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(!page.body.contains("//"), "{}", page.body);
    let linked: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/docs/")).collect();
    assert_eq!(linked.len(), 3, "{linked:?}");
    for path in linked {
        let raw =
            exchange(node.address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(raw[..end].to_vec()).unwrap().to_lowercase();
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("x-content-type-options: nosniff"),
            "{path}: {head}"
        );
        let is_packed = head.contains("content-encoding: gzip");
        assert_eq!(is_packed, raw[end + 4..].starts_with(&[0x1f, 0x8b]), "{path}: {head}");
        assert!(raw.len() - end > 100, "{path} is {} bytes", raw.len() - end);
    }
    for missing in ["index.html", "swagger-initializer.js", "../Cargo.toml", "%2e%2e%2fsrc"] {
        let answer = node.nobody().get(&format!("/docs/{missing}"));
        answer.problem(404, "not-found");
    }
}
