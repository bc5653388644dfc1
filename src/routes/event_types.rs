//! `/event-types`: the catalog of an environment.

mod trial;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::catalog::{self, CatalogLimits, DefinitionError, DefinitionProblem, TypeDefinition, pointer_below, system};
use crate::domain::{AuditAction, EventType, FieldPointer, FieldPointerError};
use crate::routes::extract::{self, Caller};
use crate::routes::problem::{Answer, FieldProblem, Kind, Problem};
use crate::routes::retry::{self, RetryLimits};
use crate::routes::{Api, openapi, page, settings, to_the_end};
use crate::store::Page;

fn show(definition: &TypeDefinition) -> Value {
    json!({
        "name": definition.name.as_str(),
        "description": definition.description,
        "schema": definition.schema,
        "example": definition.example,
        "retry": definition.retry.as_ref().map(retry::show),
        "indexed": definition.indexed.iter().map(FieldPointer::as_str).collect::<Vec<_>>(),
        "built_in": system::is_built_in(definition.name.as_str()),
    })
}

/// What is said of a name that operators cannot have.
fn reserved(name: &EventType) -> String {
    DefinitionError { name: name.clone(), problem: DefinitionProblem::SystemName }.to_string()
}

/// Lists the catalog by name: what events are checked against, or, if that is asked
/// for, what Posthaste says itself.
#[utoipa::path(
    get, path = "/event-types", operation_id = "list_event_types", tag = "event types",
    params(openapi::BuiltIn, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::EventTypes))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadEventTypes)?;
    caller.query().only(&["limit", "cursor", "built_in"])?;
    let built_in = caller.query().parsed::<bool>("built_in")?.unwrap_or(false);
    let wanted = page::request::<EventType>(caller.query(), &api.limits)?;
    let catalog = api.catalogs.of(caller.catalog_environment()?);
    let behind = |definition: &&TypeDefinition| wanted.after.as_ref().is_none_or(|after| definition.name > *after);
    let listed = |definition: &&TypeDefinition| system::is_built_in(definition.name.as_str()) == built_in;
    let found: Vec<&TypeDefinition> = catalog.iter().filter(listed).filter(behind).take(wanted.limit + 1).collect();
    let found = Page::from_overread(found, wanted.limit);
    Ok(page::answer(&found, |definition| definition.name.to_string(), |definition| show(definition)))
}

/// One event type.
#[utoipa::path(
    get, path = "/event-types/{name}", operation_id = "read_event_type", tag = "event types",
    params(("name" = openapi::EventTypeName, Path, description = "Which type."), openapi::ForPartners),
    responses((status = 200, description = "The type.", body = openapi::EventTypeShown))
)]
pub async fn read(api: web::Data<Api>, caller: Caller, name: web::Path<String>) -> Answer {
    caller.may(Permission::ReadEventTypes)?;
    caller.query().only(&[])?;
    let name: EventType = name.parse().map_err(|_| Problem::not_found("event type"))?;
    let catalog = api.catalogs.of(caller.catalog_environment()?);
    let definition = catalog.get(&name).ok_or_else(|| Problem::not_found("event type"))?;
    Ok(HttpResponse::Ok().json(show(definition)))
}

/// Adds an event type, or replaces it: 201 or 200.
#[utoipa::path(
    put, path = "/event-types/{name}", operation_id = "put_event_type", tag = "event types",
    params(("name" = openapi::EventTypeName, Path, description = "Which type. Names that begin with `posthaste.` are Posthaste's own."), openapi::ForPartners),
    request_body(content = openapi::PutEventType, description = "The whole type, at most <<event_type_bytes>> bytes."),
    responses((status = 200, description = "The type was replaced.", body = openapi::EventTypeShown), (status = 201, description = "The type is new.", body = openapi::EventTypeShown))
)]
pub async fn put(
    api: web::Data<Api>,
    caller: Caller,
    name: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::WriteEventTypes)?;
    caller.query().only(&[])?;
    let environment = caller.catalog_environment()?;
    let name = name_of(&name)?;
    let checked = checked(&api, name, &request, &mut payload).await?;
    let known = api.catalogs.of(environment).get(&checked.name).cloned();
    let is_new = known.is_none();
    let entry = caller.did(AuditAction::EventTypePut).belonging_to(Some(environment), None);
    let entry = entry.about(&checked.name).with(what_is_put(known.as_ref(), &checked));
    let types = vec![checked.clone()];
    to_the_end(async move {
        let put = api.journal.change(move |transaction| {
            if transaction.put_event_types(environment, &types)? > 0 {
                transaction.audit(&entry);
            }
            Ok(())
        });
        put.await?;
        Ok(api.catalogs.reload(&api.store, environment).await?)
    })
    .await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(show(&checked)))
}

/// Says what would come of adding or replacing an event type, and changes nothing: which
/// changes of its schema may break somebody, and which of its newest events it would
/// refuse.
#[utoipa::path(
    post, path = "/event-types/{name}/check", operation_id = "check_event_type", tag = "event types",
    params(("name" = openapi::EventTypeName, Path, description = "Which type."), openapi::ForPartners),
    request_body(content = openapi::PutEventType, description = "The whole type, as it would be put: at most <<event_type_bytes>> bytes."),
    responses((status = 200, description = "What would come of it.", body = openapi::EventTypeChecked))
)]
pub async fn check(
    api: web::Data<Api>,
    caller: Caller,
    name: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::WriteEventTypes)?;
    caller.query().only(&[])?;
    let environment = caller.catalog_environment()?;
    let name = name_of(&name)?;
    let checked = checked(&api, name, &request, &mut payload).await?;
    let known = api.catalogs.of(environment).get(&checked.name).cloned();
    let (before, after) = (known.as_ref().map(|known| known.schema.clone()), checked.schema.clone());
    // Of large schemas this takes a while.
    let found = web::block(move || before.map_or_else(Vec::new, |before| catalog::breaks(&before, &after)));
    let found = found.await.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let breaking: Vec<Value> = found
        .iter()
        .map(|found| json!({ "pointer": format!("/schema{}", found.pointer), "detail": found.detail, "whom": found.whom.as_str() }))
        .collect();
    let changed = known.as_ref().map_or_else(Vec::new, |known| parts_changed(known, &checked));
    let recent = trial::of_recent_events(&api, environment, checked).await?;
    Ok(HttpResponse::Ok().json(json!({
        "is_new": known.is_none(),
        "changed": changed,
        "breaking": breaking,
        "recent": recent,
    })))
}

fn name_of(name: &str) -> Result<EventType, Problem> {
    let name: EventType = name.parse().map_err(|error| Problem::invalid_field("", format!("{error}")))?;
    if name.is_system() { Err(Problem::invalid_field("", reserved(&name))) } else { Ok(name) }
}

/// The definition that a body has, if it can be one.
async fn checked(
    api: &Api,
    name: EventType,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<TypeDefinition, Problem> {
    let limits = CatalogLimits::default();
    let most = most_bytes(&limits);
    let body = extract::body(request, payload, &["application/json"], "event_type_bytes", most).await?;
    let definition = parse(name, &body, &api.limits.retries)?;
    // Compiling a hostile schema takes time that other requests should have.
    web::block(move || definition.checked(&limits))
        .await
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?
        .map_err(|error| match &error.problem {
            DefinitionProblem::Schema(field) => {
                Problem::invalid_field(format!("/schema{}", field.pointer), field.detail.clone())
            }
            DefinitionProblem::Example(fields) => Problem::invalid(
                fields
                    .iter()
                    .map(|field| FieldProblem::new(format!("/example{}", field.pointer), field.detail.clone()))
                    .collect(),
            ),
            DefinitionProblem::Indexed(_) | DefinitionProblem::TooManyIndexed => {
                Problem::invalid_field("/indexed", error.problem.to_string())
            }
            _ => Problem::invalid_field("", error.to_string()),
        })
}

/// Which parts of a definition are others than before: what is in them is too much for
/// the audit log.
fn what_is_put(known: Option<&TypeDefinition>, put: &TypeDefinition) -> Value {
    let Some(known) = known else { return json!({ "is_new": true }) };
    json!({ "is_new": false, "changed": parts_changed(known, put) })
}

fn parts_changed(known: &TypeDefinition, put: &TypeDefinition) -> Vec<&'static str> {
    let parts = [
        ("description", known.description != put.description),
        ("schema", known.schema != put.schema),
        ("example", known.example != put.example),
        ("retry", known.retry != put.retry),
        ("indexed", known.indexed != put.indexed),
    ];
    parts.into_iter().filter(|(_, is_other)| *is_other).map(|(name, _)| name).collect()
}

/// Largest body that a definition within its limits needs.
pub(super) fn most_bytes(limits: &CatalogLimits) -> usize {
    limits.schema_bytes + limits.example_bytes + 4 * limits.description_chars
}

fn parse(name: EventType, body: &[u8], retries: &RetryLimits) -> Result<TypeDefinition, Problem> {
    let mut fields = settings::object(body)?;
    let mut errors = Vec::new();
    if let Some(stated) = fields.remove("name")
        && stated != json!(name.as_str())
    {
        errors
            .push(FieldProblem::new("/name", format!("the path says `{name}`; leave `name` out, or make it the same")));
    }
    // A definition may be put back as it was read.
    if fields.remove("built_in").is_some_and(|stated| stated != Value::Bool(false)) {
        errors.push(FieldProblem::new("/built_in", "expected false: no other type is built in"));
    }
    let description = match fields.remove("description") {
        None => String::new(),
        Some(Value::String(text)) => {
            errors.extend(settings::not_text(&text));
            text
        }
        Some(_) => {
            errors.push(FieldProblem::new("/description", "expected a string"));
            String::new()
        }
    };
    let retry = retry::read(&fields.remove("retry").unwrap_or_default(), retries).unwrap_or_else(|problems| {
        errors.extend(problems);
        None
    });
    let indexed = indexed(&fields.remove("indexed").unwrap_or_default()).unwrap_or_else(|problems| {
        errors.extend(problems);
        Vec::new()
    });
    let mut required = |field: &str| {
        fields.remove(field).unwrap_or_else(|| {
            errors.push(FieldProblem::new(format!("/{field}"), format!("`{field}` is required")));
            Value::Null
        })
    };
    let (schema, example) = (required("schema"), required("example"));
    for unknown in fields.keys() {
        errors.push(FieldProblem::new(
            pointer_below("", unknown),
            "unknown field; there is `description`, `schema`, `example`, `retry` and `indexed`",
        ));
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    Ok(TypeDefinition { name, description, schema, example, retry, indexed })
}

/// The fields that events are found by.
fn indexed(value: &Value) -> Result<Vec<FieldPointer>, Vec<FieldProblem>> {
    let pointers = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(pointers) => pointers,
        _ => return Err(vec![FieldProblem::new("/indexed", "expected an array of JSON pointers such as `/id`")]),
    };
    let mut problems = Vec::new();
    let mut indexed = Vec::new();
    for (place, pointer) in pointers.iter().enumerate() {
        let pointer = pointer.as_str().ok_or_else(|| "expected a string".to_owned());
        match pointer.and_then(|text| text.parse().map_err(|error: FieldPointerError| error.to_string())) {
            Ok(pointer) => indexed.push(pointer),
            Err(detail) => problems.push(FieldProblem::new(format!("/indexed/{place}"), detail)),
        }
    }
    if problems.is_empty() { Ok(indexed) } else { Err(problems) }
}

/// Takes an event type out. Endpoints may go on naming it; no event of it is
/// accepted any more.
#[utoipa::path(
    delete, path = "/event-types/{name}", operation_id = "delete_event_type", tag = "event types",
    params(("name" = openapi::EventTypeName, Path, description = "Which type."), openapi::ForPartners),
    responses((status = 204, description = "It is gone."))
)]
pub async fn delete(api: web::Data<Api>, caller: Caller, name: web::Path<String>) -> Answer {
    caller.may(Permission::WriteEventTypes)?;
    caller.query().only(&[])?;
    let environment = caller.catalog_environment()?;
    let name: EventType = name.parse().map_err(|_| Problem::not_found("event type"))?;
    if system::is_built_in(name.as_str()) {
        return Err(Problem::new(Kind::Conflict, reserved(&name)));
    }
    let entry = caller.did(AuditAction::EventTypeDeleted).belonging_to(Some(environment), None).about(&name);
    let gone = to_the_end(async move {
        let gone = api.journal.change(move |transaction| {
            let gone = transaction.delete_event_type(environment, &name)?;
            if gone {
                transaction.audit(&entry);
            }
            Ok(gone)
        });
        let gone = gone.await?;
        api.catalogs.reload(&api.store, environment).await?;
        Ok(gone)
    })
    .await?;
    if !gone {
        return Err(Problem::not_found("event type"));
    }
    Ok(HttpResponse::NoContent().finish())
}
